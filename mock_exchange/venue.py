"""What the server asks of whatever stands behind it, a player or a simulation."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from mock_exchange.archive_files import DayFile
from shared.market.instruments import Market


class RestError(Exception):
    """An answer in the venue's error form: HTTP status, and code and text of the body."""

    def __init__(self, status: int, code: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.body = msgspec.json.encode({"code": code, "msg": text})


class Venue(Protocol):
    """A source of frames for subscribed streams and of REST answers."""

    async def rest(self, market: Market, call: str, query: Mapping[str, str]) -> bytes:
        """Return the JSON body of a call such as `depth`; raises RestError."""
        ...

    def old_snapshot(self, market: Market, symbol: str) -> bytes:
        """Return the oldest `depth` body of a listed symbol that is known."""
        ...

    def archived(self, file: DayFile) -> list[Any]:
        """Return REST rows of one closed day, as far as they are kept; none where nothing is."""
        ...

    async def run(self) -> None:
        """Send frames until cancelled."""
        ...

    def subscriptions_changed(self) -> None:
        """Learn that clients subscribed, unsubscribed, came or went."""
        ...

    def status(self) -> dict[str, Any]:
        """Return what `/status` of the control port shows."""
        ...


def invalid_symbol() -> RestError:
    """Return the venue's answer to a symbol that it does not list."""
    return RestError(400, -1121, "Invalid symbol.")


def bad_parameter(name: str) -> RestError:
    """Return the venue's answer to a parameter that is no number, or out of range."""
    return RestError(400, -1100, f"Illegal characters found in parameter '{name}'.")


def refused(status: int) -> RestError:
    """Return the venue's answer while it refuses calls: too many, or no service."""
    if status in {418, 429}:
        return RestError(status, -1003, "Too much request weight used; please wait.")
    return RestError(status, -1001, "Internal error; unable to process your request.")
