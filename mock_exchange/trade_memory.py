"""The latest trades of one symbol, compact: whole numbers in arrays, found by id or by time.

Trade and aggregate ids count up by one, so a trade's place in the arrays tells its id. An aggregate is
one or more trades at one price and time; only the id of its first trade is kept.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

KEPT_TRADES = 200_000
# The oldest are cut off when this share too many are held, so that cutting is rare.
_SLACK = 1.1


class Page(NamedTuple):
    """What REST asks for: at most `limit`, from an id on, or in a span of times, or the latest."""

    limit: int
    from_id: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None


class KeptTrade(NamedTuple):
    """One fill, in ticks and lots."""

    trade_id: int
    ticks: int
    lots: int
    time_ms: int
    is_buy: bool


class KeptAggregate(NamedTuple):
    """The fills of one taker order at one price."""

    aggregate_id: int
    ticks: int
    lots: int
    first_id: int
    last_id: int
    time_ms: int
    is_buy: bool


class TradeMemory:
    """Trades and aggregates as they come.

    Args:
        trade_id: the id that the first trade will have.
        aggregate_id: the id that the first aggregate will have.
        kept: at least so many of the latest trades are kept.
    """

    def __init__(self, trade_id: int, aggregate_id: int, kept: int = KEPT_TRADES) -> None:
        self._kept = kept
        self._trade_id = trade_id
        self._aggregate_id = aggregate_id
        self._ticks = array("q")
        self._lots = array("q")
        self._times = array("q")
        self._buys = bytearray()
        self._starts = array("q")

    def add(self, ticks: int, parts: Sequence[int], time_ms: int, is_buy: bool) -> None:
        """Take one aggregate: the lots of its trades, all at one price and time."""
        self._starts.append(self._trade_id + len(self._ticks))
        for lots in parts:
            self._ticks.append(ticks)
            self._lots.append(lots)
            self._times.append(time_ms)
            self._buys.append(is_buy)
        if len(self._ticks) > self._kept * _SLACK:
            self._forget(len(self._ticks) - self._kept)

    def trades(self, page: Page) -> Iterator[KeptTrade]:
        """Yield trades, oldest first; an id that is forgotten means: from the oldest that is kept."""
        count = len(self._ticks)
        start = max(0, count - page.limit)
        if page.from_id is not None:
            start = min(max(0, page.from_id - self._trade_id), count)
        for place in range(start, min(start + page.limit, count)):
            yield KeptTrade(
                self._trade_id + place,
                self._ticks[place],
                self._lots[place],
                self._times[place],
                bool(self._buys[place]),
            )

    def aggregates(self, page: Page) -> Iterator[KeptAggregate]:
        """Yield aggregates, oldest first, as `trades` does, or those of a span of times."""
        start, stop = self._span(page)
        for place in range(start, stop):
            first, after = self._trades_of(place)
            yield KeptAggregate(
                self._aggregate_id + place,
                self._ticks[first],
                sum(self._lots[first:after]),
                self._trade_id + first,
                self._trade_id + after - 1,
                self._times[first],
                bool(self._buys[first]),
            )

    def _span(self, page: Page) -> tuple[int, int]:
        count = len(self._starts)
        if page.from_id is not None:
            start = min(max(0, page.from_id - self._aggregate_id), count)
            return start, min(start + page.limit, count)
        start, stop = 0, count
        if page.start_ms is not None:
            start = self._aggregate_at(bisect_left(self._times, page.start_ms))
        if page.end_ms is not None:
            stop = self._aggregate_at(bisect_right(self._times, page.end_ms))
        if page.start_ms is not None:
            return start, min(start + page.limit, stop)
        return max(start, stop - page.limit), stop

    def _aggregate_at(self, place: int) -> int:
        return bisect_left(self._starts, self._trade_id + place)

    def _trades_of(self, place: int) -> tuple[int, int]:
        is_last = place + 1 == len(self._starts)
        after = len(self._ticks) if is_last else self._starts[place + 1] - self._trade_id
        return self._starts[place] - self._trade_id, after

    def _forget(self, trades: int) -> None:
        """Cut off at most so many trades, and whole aggregates only."""
        aggregates = bisect_right(self._starts, self._trade_id + trades) - 1
        trades = self._starts[aggregates] - self._trade_id
        for column in (self._ticks, self._lots, self._times, self._buys):
            del column[:trades]
        del self._starts[:aggregates]
        self._trade_id += trades
        self._aggregate_id += aggregates
