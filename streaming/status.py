"""What `crypto-stream status` shows of a running service."""

from typing import Any

import httpx
from rich.console import Group
from rich.table import Table

from streaming.errors import ServiceError

_ANSWER_S = 5.0
_COLOURS = {
    "first_data": "green",
    "live": "green",
    "quiet": "yellow",
    "stale": "red",
    "unproved": "red",
    "closed": "red",
    "broken": "red",
}


def fetch(url: str) -> dict[str, Any]:
    """Return the service's subscriptions, and why it is not ready.

    Raises:
        ServiceError: nobody answers there.
    """
    try:
        with httpx.Client(base_url=url, timeout=_ANSWER_S) as client:
            return {**client.get("/readyz").json(), **client.get("/status").json()}
    except httpx.HTTPError as error:
        raise ServiceError(url, str(error) or type(error).__name__) from error


def table_of(seen: dict[str, Any]) -> Group:
    """Return a row for each symbol and channel, the troubled first, and what is wrong below."""
    table = Table("connection", "market", "symbol", "channel", "state", "silent", "limit")
    streams = seen["streams"]
    order = {state: place for place, state in enumerate(reversed(_COLOURS))}
    for item in sorted(streams, key=lambda item: (order.get(item["state"], 0), item["symbol"])):
        colour = _COLOURS.get(item["state"], "cyan")
        state = f"[{colour}]{item['state']}[/{colour}]"
        place = (item["connection"], item["market"], item["symbol"], item["channel"])
        silent = "" if item["silent_s"] is None else f"{item['silent_s']:.1f} s"
        table.add_row(*place, state, silent, f"{item['limit_s']:.0f} s")
    return Group(table, *(f"[red]{reason}[/red]" for reason in seen["reasons"]))
