"""What was really sent: compact ranges of ids per stream, by the venue and to each connection.

A range is a chain without a hole: trade ids that count up by one, depth updates of which each joins the
one before (`U` is the previous `u` + 1, or `pu` is the previous `u`). Ranges stand in the order of
sending, so a repeated or late frame begins a new one. The latest thousand of each stream are kept.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from shared.market.instruments import Market

_KEPT_RANGES = 1000
_KEPT_GONE = 50
Ids = tuple[int, int, int | None]
"""First and last id of one message, and the id it says it follows (`pu`), if it says so."""


class _Aggregate(msgspec.Struct):
    a: int


class _Trade(msgspec.Struct):
    t: int


class _AggregateFrame(msgspec.Struct):
    data: _Aggregate


class _TradeFrame(msgspec.Struct):
    data: _Trade


_aggregate_decoder = msgspec.json.Decoder(_AggregateFrame)
_trade_decoder = msgspec.json.Decoder(_TradeFrame)


def ids_of(channel: str, data: Mapping[str, Any]) -> Ids | None:
    """Return the ids of a message; None for a channel whose messages are only counted."""
    if channel == "aggTrade":
        return data["a"], data["a"], None
    if channel == "trade":
        return data["t"], data["t"], None
    if channel.startswith("depth"):
        return data["U"], data["u"], data.get("pu")
    return None


def ids_of_trade(channel: str, frame: str) -> Ids | None:
    """Return the id of a recorded trade or aggregate trade; None for every other channel."""
    if channel == "aggTrade":
        number = _aggregate_decoder.decode(frame).data.a
    elif channel == "trade":
        number = _trade_decoder.decode(frame).data.t
    else:
        return None
    return number, number, None


class Ledger:
    """One stream's account: how many messages, and the ranges of their ids."""

    __slots__ = ("_ranges", "count", "first", "last", "ranges_begun", "spoiled")

    def __init__(self) -> None:
        self._ranges: deque[list[int]] = deque(maxlen=_KEPT_RANGES)
        self.ranges_begun = 0
        self.first: int | None = None
        self.last: int | None = None
        self.count = 0
        self.spoiled = 0

    def add(self, ids: Ids | None) -> None:
        """Count one message that was sent whole."""
        self.count += 1
        if ids is None:
            return
        first, last, follows = ids
        before, self.last = self.last, last
        if before is None:
            self.first = first
        elif first == before + 1 if follows is None else follows == before:
            self._ranges[-1][1] = last
            return
        self._ranges.append([first, last])
        self.ranges_begun += 1

    def account(self) -> dict[str, Any]:
        """Return what `GET /truth` shows of it; `first` and `last` are in the order of sending."""
        return {
            "count": self.count,
            "spoiled": self.spoiled,
            "first": self.first,
            "last": self.last,
            "ranges": list(self._ranges),
            "ranges_forgotten": self.ranges_begun - len(self._ranges),
        }


class Receipts:
    """What one connection was sent, stream by stream; times in ns since the epoch."""

    def __init__(self, number: int, market: Market, opened_ns: int) -> None:
        self.number = number
        self.market = market
        self.opened_ns = opened_ns
        self.closed_ns: int | None = None
        self._ledgers: dict[str, Ledger] = {}

    def add(self, stream: str, ids: Ids | None) -> None:
        """Count one message that was sent whole."""
        self._ledger(stream).add(ids)

    def add_spoiled(self, stream: str) -> None:
        """Count one message that was sent damaged: its ids do not count as delivered."""
        self._ledger(stream).spoiled += 1

    def account(self, stream: str) -> dict[str, Any] | None:
        """Return what `GET /truth` shows of one stream; None if it never got any of it."""
        ledger = self._ledgers.get(stream)
        if ledger is None:
            return None
        times = {"client": self.number, "opened_ns": self.opened_ns, "closed_ns": self.closed_ns}
        return times | ledger.account()

    def _ledger(self, stream: str) -> Ledger:
        ledger = self._ledgers.get(stream)
        if ledger is None:
            ledger = self._ledgers[stream] = Ledger()
        return ledger


class Truth:
    """The accounts of the venue and of its connections, the last fifty that went included."""

    def __init__(self) -> None:
        self._venue: dict[tuple[Market, str], Ledger] = {}
        self._gone: deque[Receipts] = deque(maxlen=_KEPT_GONE)

    def venue(self, market: Market, stream: str) -> Ledger:
        """Return the account of what the venue had to send, whether or not anyone listened."""
        ledger = self._venue.get((market, stream))
        if ledger is None:
            ledger = self._venue[market, stream] = Ledger()
        return ledger

    def gone(self, receipts: Receipts, now_ns: int) -> None:
        """Keep the account of a connection that ended."""
        receipts.closed_ns = now_ns
        self._gone.append(receipts)

    def account(
        self, market: Market, stream: str, present: Iterable[Receipts]
    ) -> dict[str, Any] | None:
        """Return the body of `GET /truth`; None for a stream that the venue never sent."""
        ledger = self._venue.get((market, stream))
        if ledger is None:
            return None
        accounts = (
            item.account(stream) for item in (*self._gone, *present) if item.market is market
        )
        return {
            "market": market,
            "stream": stream,
            "venue": ledger.account(),
            "clients": [account for account in accounts if account is not None],
        }
