"""One subscription on a Binance connection: what it has seen, and what an event's place tells. Pure."""

from typing import Any, Self

from shared.market.book_sync import BookSync, Gap, SyncState, binance_rule
from shared.market.events import (
    BookDelta,
    BookSnapshot,
    Event,
    Origin,
    StreamState,
    StreamStatus,
)
from shared.market.instruments import Exchange, Market, Subscription
from shared.market.numbering import Numbering, kind_of, numbering
from streaming.exchanges.binance_events import translator
from streaming.exchanges.liveness import Liveness

# How often a book is looked at, in event time, and every how many looks it is told as a snapshot.
_LOOK_US = 10_000_000
_LOOKS_A_MINUTE = 6
# A book that knows fewer levels than this on a side, for prices have wandered, needs a new snapshot.
_FEWEST_KNOWN_LEVELS = 100
# Trade ids that jump further than this in one step are believed when a second one confirms them.
_LARGEST_JUMP = 10_000_000


class Stream:
    """A subscription's decoder, its ids, its book and its proof of life.

    `wants_snapshot` is raised where the book waits for one that nobody has asked for yet.
    """

    __slots__ = (
        "attempts",
        "book_levels",
        "counts_ids",
        "decoder",
        "first_id",
        "is_followed",
        "is_proved",
        "last_id",
        "life",
        "look",
        "minute",
        "name",
        "origin",
        "subscription",
        "suspect_id",
        "sync",
        "translate",
        "wants_snapshot",
    )

    def __init__(
        self,
        subscription: Subscription,
        name: str,
        market: Market,
        book_levels: int,
        origin: Origin,
    ) -> None:
        self.subscription = subscription
        self.name = name
        self.book_levels = book_levels
        self.decoder, self.translate = translator(subscription.channel)
        channel = subscription.channel
        self.counts_ids = numbering(Exchange.BINANCE, market, channel) is Numbering.TRADES
        self.sync = BookSync(binance_rule(market)) if kind_of(channel) == "depth" else None
        self.first_id: int | None = None
        self.last_id: int | None = None
        self.suspect_id = 0
        self.life = Liveness()
        self.begin(origin, 0)

    def begin(self, origin: Origin, now_ns: int) -> None:
        """Start an epoch; the last trade id stays, to name what a reconnect missed."""
        self.origin = origin
        self.life.ask(now_ns)
        self.first_id = None
        self.is_proved = False
        # True once nothing but the event itself follows from a frame.
        self.is_followed = False
        self.attempts = 0
        self.look = self.minute = -1
        self.wants_snapshot = False
        if self.sync is not None:
            self.sync.reset()

    def follow(self, event: Any, received_ns: int) -> list[Event]:
        """Return the event and what its place in the stream calls for: first data, gap, snapshot."""
        events: list[Event] = [event]
        if not self.is_proved:
            self.is_proved = True
            self.life.prove(received_ns)
            self.is_followed = self.sync is None and not self.counts_ids
            events.append(self.status(StreamState.FIRST_DATA, "", received_ns))
            self.wants_snapshot = self.sync is not None
        if self.counts_ids:
            number, last = int(event.trade_id), self.last_id
            if last is not None and number == last + 1 and self.first_id is not None:
                self.last_id = number
            else:
                events += self._count(number, received_ns)
        elif self.sync is not None:
            events += self._keep_book(self.sync, event, received_ns)
        return events

    def joins(self, before: Self) -> bool:
        """Say whether nothing lies between what came there and what came here."""
        if self.sync is not None and before.sync is not None:
            return self.sync.can_continue_from(before.sync)
        if self.first_id is None or before.last_id is None:
            return True
        return before.last_id >= self.first_id - 1

    def adopt(self, before: Self, now_ns: int) -> list[Event]:
        """Go on where the same subscription stands on a connection that ends: ids, book, usual pace.

        What came here since is joined to it; a hole between the two becomes a gap.
        """
        self.life.learn_from(before.life)
        if self.sync is not None and before.sync is not None:
            if self.sync.state is SyncState.WAITING and before.sync.state is SyncState.LIVE:
                gap = self.sync.continue_from(before.sync)
                self.wants_snapshot = gap is not None
                return [] if gap is None else [self.gap(gap, gap.reason, now_ns)]
            return []
        last = before.last_id
        if last is None or not self.counts_ids:
            return []
        if self.first_id is None or self.last_id is None:
            self.last_id = last
            return []
        self.last_id = max(self.last_id, last)
        if self.first_id <= last + 1:
            return []
        gap = Gap(last + 1, self.first_id, "trade ids")
        return [self.gap(gap, gap.reason, now_ns)]

    @property
    def waiting_book(self) -> BookSync | None:
        """The book that a snapshot would be of use to."""
        sync = self.sync
        return sync if sync is not None and sync.state is SyncState.WAITING else None

    def status(self, state: StreamState, reason: str, now_ns: int) -> StreamStatus:
        """Return a status of this subscription."""
        return StreamStatus(
            origin=self.origin, received_ns=now_ns, event_time=None, state=state, reason=reason
        )

    def gap(self, gap: Gap, reason: str, now_ns: int) -> StreamStatus:
        """Return the status of a break in the sequence of ids."""
        return StreamStatus(
            origin=self.origin,
            received_ns=now_ns,
            event_time=None,
            state=StreamState.GAP,
            reason=reason,
            expected=gap.expected,
            received=gap.received,
        )

    def _count(self, number: int, received_ns: int) -> list[Event]:
        last = self.last_id
        if last is not None and number > last + _LARGEST_JUMP and number > self.suspect_id + 1000:
            # One id that is far off may be a fault; the next one tells.
            self.suspect_id = number
            return []
        if self.first_id is None:
            self.first_id = number
        self.last_id = number if last is None else max(number, last)
        if last is None or number <= last + 1:
            return []
        gap = Gap(last + 1, number, "trade ids")
        return [self.gap(gap, gap.reason, received_ns)]

    def _keep_book(self, sync: BookSync, delta: BookDelta, received_ns: int) -> list[Event]:
        gap = sync.apply(delta)
        look = (delta.event_time or 0) // _LOOK_US
        if gap is None:
            if look == self.look or sync.state is not SyncState.LIVE:
                return []
            if sync.last_update_id != delta.last_update_id:
                return []
            self.look = look
            gap = sync.check()
        if gap is not None:
            self.look = self.minute = -1
            self.wants_snapshot = True
            return [self.gap(gap, gap.reason, received_ns)]
        if look // _LOOKS_A_MINUTE == self.minute:
            return []
        self.minute = look // _LOOKS_A_MINUTE
        return [self._snapshot(sync, delta, received_ns)]

    def _snapshot(self, sync: BookSync, delta: BookDelta, received_ns: int) -> BookSnapshot:
        self.attempts = 0
        snapshot = BookSnapshot(
            origin=self.origin,
            received_ns=received_ns,
            event_time=delta.event_time,
            last_update_id=sync.last_update_id,
            bids=sync.book.best_bids(self.book_levels),
            asks=sync.book.best_asks(self.book_levels),
        )
        if sync.book.has_run_out(_FEWEST_KNOWN_LEVELS):
            sync.reset()
            self.wants_snapshot = True
        return snapshot
