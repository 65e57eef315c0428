"""One fault with its times and counters, and what it concerns."""

import re
from fnmatch import translate
from typing import Any, Protocol

from mock_exchange.fault_kinds import AnyFault, ServerShutdown
from mock_exchange.outgoing import Outgoing
from shared.market.instruments import Market


class Connection(Protocol):
    """What faults look at in a connection; `opened_ns` in ns since the epoch."""

    number: int
    market: Market
    opened_ns: int
    streams: set[str]


def option(fault: AnyFault, name: str) -> Any:
    """Return a fault's field, None for a kind that has no such field."""
    return getattr(fault, name, None)


class Entry:
    """A fault that waits, is active, or is over.

    Args:
        number: its id on the control port.
        fault: what it does.
        due_ns: when it begins, in ns since the epoch.
    """

    def __init__(self, number: int, fault: AnyFault, due_ns: int) -> None:
        is_shutdown = isinstance(fault, ServerShutdown)
        lasts_s = option(fault, "close_after_s" if is_shutdown else "for_s")
        patterns = (option(fault, name) for name in ("streams", "calls", "symbols", "files"))
        self.number = number
        self.fault = fault
        self.due_ns = due_ns
        self.until_ns = None if lasts_s is None else due_ns + int(lasts_s * 1e9)
        self.left: int | None = option(fault, "count")
        self.applied = 0
        self.targets: list[int] = []
        self.held_from: tuple[int, str] | None = None
        self.held: list[Outgoing] = []
        self._connection = option(fault, "connection")
        self._matches = re.compile(translate(next(filter(None, patterns), "*"))).match

    def concerns(self, market: Market, name: str = "") -> bool:
        """Say whether it is about a market and a stream, call or symbol."""
        return self.fault.market in {None, market} and self._matches(name) is not None

    def carries(self, connection: Connection) -> bool:
        """Say whether it is about a connection: one with a matching stream, or any by `*`."""
        return any(self.touches(connection, stream) for stream in connection.streams or ("",))

    def touches(self, connection: Connection, stream: str) -> bool:
        """Say whether it is about a stream's frames on a connection."""
        is_on = self._connection in {None, connection.number}
        return is_on and self.concerns(connection.market, stream)

    def is_past(self, now_ns: int) -> bool:
        """Say whether its time is over."""
        return self.until_ns is not None and self.until_ns <= now_ns

    def release(self) -> None:
        """Forget the frames it holds and begin to count anew."""
        self.left = option(self.fault, "count")
        self.held_from = None
        self.held.clear()

    def report(self, state: str) -> dict[str, Any]:
        """Return what `GET /faults` shows of it."""
        counters = {"id": self.number, "state": state, "applied": self.applied, "left": self.left}
        return counters | {"fault": self.fault}
