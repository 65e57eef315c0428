"""Keeping one book in step with its venue's sequence of deltas.

A venue sends deltas without a beginning; a snapshot gives the beginning. Deltas that come before the
snapshot are buffered, those it already contains are dropped, and the first one kept must join it.
From there each delta must follow the last. What joins and what follows is the venue's `SequenceRule`.

| state   | delta follows or joins | delta is stale | delta leaves a gap | snapshot joins | snapshot too old |
|---------|------------------------|----------------|--------------------|----------------|------------------|
| WAITING | buffer                 | buffer         | buffer             | LIVE / JOINING | WAITING          |
| JOINING | LIVE                   | drop           | WAITING            | LIVE / JOINING | WAITING          |
| LIVE    | LIVE                   | drop           | WAITING            | (ignored)      | (ignored)        |

JOINING is a snapshot that no delta has reached yet. Before a book is shown it is checked: no venue's
book is crossed, so if this one is, a delta was lost or misread, and that counts as a gap.

A snapshot that is as long as was asked for may have been cut: levels beyond its last one are not
known, and deltas there only say what changed. The book remembers how far it reaches.
"""

from collections import deque
from enum import Enum, auto
from typing import Protocol

import msgspec

from shared.market.events import BookDelta, PriceLevel
from shared.market.instruments import Market
from shared.market.order_book import OrderBook

# Ten minutes of deltas, ten a second: a snapshot that comes later than that is joined by the newest.
_MOST_BUFFERED = 6000


class Step(Enum):
    """How one delta relates to the id the book stands at."""

    ACCEPT = auto()
    STALE = auto()
    GAP = auto()


class SequenceRule(Protocol):
    """A venue's rule for its update ids."""

    def join(self, last_id: int, delta: BookDelta) -> Step:
        """Judge the first delta after a snapshot that stands at `last_id`."""
        ...

    def follow(self, last_id: int, delta: BookDelta) -> Step:
        """Judge a delta after another that ended at `last_id`."""
        ...

    def expected(self, last_id: int) -> int:
        """Return the id that should come after `last_id`, for a gap's report."""
        ...


class SpotRule:
    """Binance spot: ids count per symbol, U of a delta is the previous u + 1.

    Source: Binance's "How to manage a local order book correctly", steps 4 to 6.
    """

    def join(self, last_id: int, delta: BookDelta) -> Step:
        """U <= lastUpdateId + 1 <= u joins, u <= lastUpdateId is in the snapshot already."""
        return self.follow(last_id, delta)

    def follow(self, last_id: int, delta: BookDelta) -> Step:
        """U > last + 1 is a gap, u <= last is stale."""
        if delta.last_update_id <= last_id:
            return Step.STALE
        return Step.GAP if delta.first_update_id > last_id + 1 else Step.ACCEPT

    def expected(self, last_id: int) -> int:
        """The next U."""
        return last_id + 1


class UsdMarginedRule:
    """Binance um: ids are venue-wide, so only `pu` links a delta to the one before it.

    Source: Binance's futures page of the same name; `pu == lastUpdateId` as a join is seen live.
    """

    def join(self, last_id: int, delta: BookDelta) -> Step:
        """U <= lastUpdateId <= u joins, or pu == lastUpdateId; u < lastUpdateId is stale."""
        if delta.last_update_id < last_id:
            return Step.STALE
        if delta.first_update_id <= last_id or delta.previous_update_id == last_id:
            return Step.ACCEPT
        return Step.GAP

    def follow(self, last_id: int, delta: BookDelta) -> Step:
        """Pu must be the last u."""
        if delta.previous_update_id == last_id:
            return Step.ACCEPT
        return Step.STALE if delta.last_update_id <= last_id else Step.GAP

    def expected(self, last_id: int) -> int:
        """The next pu."""
        return last_id


class CoinMarginedRule(UsdMarginedRule):
    """Binance cm: as um, in its own space of ids."""


_RULES: dict[Market, SequenceRule] = {
    Market.SPOT: SpotRule(),
    Market.UM: UsdMarginedRule(),
    Market.CM: CoinMarginedRule(),
}


def binance_rule(market: Market) -> SequenceRule:
    """Return the rule of one of Binance's markets."""
    return _RULES[market]


class SyncState(Enum):
    """See the module's table."""

    WAITING = auto()
    JOINING = auto()
    LIVE = auto()


class Gap(msgspec.Struct, frozen=True):
    """A break in the sequence: the id that should have come, and the one that did."""

    expected: int
    received: int
    reason: str


class BookSync:
    """One book and its place in the venue's sequence."""

    __slots__ = ("_buffer", "_rule", "book", "last_update_id", "state")

    def __init__(self, rule: SequenceRule) -> None:
        self._rule = rule
        self._buffer: deque[BookDelta] = deque(maxlen=_MOST_BUFFERED)
        self.book = OrderBook()
        self.last_update_id = -1
        self.state = SyncState.WAITING

    def reset(self) -> None:
        """Forget the book and wait for a snapshot."""
        self._buffer.clear()
        self.book.replace((), ())
        self.last_update_id = -1
        self.state = SyncState.WAITING

    def start_from(
        self, last_update_id: int, bids: list[PriceLevel], asks: list[PriceLevel]
    ) -> None:
        """Take a state that is known to be right after update `last_update_id`: LIVE at once.

        This is how a late reader joins: from a `BookSnapshot` event of ours.
        """
        self._buffer.clear()
        self.book.replace(bids, asks)
        self.last_update_id = last_update_id
        self.state = SyncState.LIVE

    def apply(self, delta: BookDelta) -> Gap | None:
        """Take the next delta; a gap resets the book, which then waits for a snapshot."""
        if self.state is SyncState.WAITING:
            self._buffer.append(delta)
            return None
        step = self._judge(delta)
        if step is Step.STALE:
            return None
        if step is Step.GAP:
            gap = Gap(self._rule.expected(self.last_update_id), delta.first_update_id, "sequence")
            self.reset()
            self._buffer.append(delta)
            return gap
        self.book.apply(delta.bids, delta.asks)
        self.last_update_id = delta.last_update_id
        self.state = SyncState.LIVE
        return None

    def breaks(self, delta: BookDelta) -> bool:
        """Say whether `apply` would find a gap before this delta."""
        return self.state is not SyncState.WAITING and self._judge(delta) is Step.GAP

    def check(self) -> Gap | None:
        """Look whether the book can be true, before it is shown; a crossed one is reset."""
        doubt = self.book.doubt
        if doubt is None:
            return None
        gap = Gap(self._rule.expected(self.last_update_id), self.last_update_id, doubt)
        self.reset()
        return gap

    def snapshot(
        self,
        last_update_id: int,
        bids: list[PriceLevel],
        asks: list[PriceLevel],
        limit: int | None = None,
    ) -> Gap | None:
        """Take the venue's snapshot and what was buffered since; a gap means: too old, fetch again.

        `limit` is how many levels a side were asked for, None for all. A book that is LIVE ignores
        the snapshot. After a gap the deltas stay buffered for the next one.
        """
        if self.state is SyncState.LIVE:
            return None
        self.book.replace(bids, asks, limit)
        return self._join(last_update_id)

    def can_continue_from(self, other: "BookSync") -> bool:
        """Say whether nothing lies between another connection's book and what was buffered here."""
        if other.state is not SyncState.LIVE or not self._buffer:
            return True
        return self._rule.join(other.last_update_id, self._buffer[0]) is not Step.GAP

    def continue_from(self, other: "BookSync") -> Gap | None:
        """Take over the book of another connection that is LIVE, and what was buffered here since."""
        self.book = other.book
        return self._join(other.last_update_id)

    def _judge(self, delta: BookDelta) -> Step:
        judge = self._rule.follow if self.state is SyncState.LIVE else self._rule.join
        return judge(self.last_update_id, delta)

    def _join(self, last_update_id: int) -> Gap | None:
        buffered = list(self._buffer)
        self._buffer.clear()
        self.last_update_id = last_update_id
        self.state = SyncState.JOINING
        for delta in buffered:
            gap = self.apply(delta)
            if gap is not None:
                self._buffer.extend(buffered)
                return gap
        return None
