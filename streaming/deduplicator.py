"""Each event once while two sockets carry the same streams.

A planned roll-over opens a second socket before it closes the first; until then everything comes
twice, in any interleaving. What is new is told by the venue's ids, never by order of arrival:

- trades: an id that was not published; one that comes late passes, for consumers go by ids;
- book deltas: ids above the last one published. A delta that leaves a gap passes only from the socket
  that brought the delta before it: from the other one it is early, and the missing ones are on their
  way. So a consumer's book sees every delta in order;
- book snapshots of ours: one that is not behind the deltas published, and not told already;
- best quotes: an update id above the last one;
- mark prices: a time above the last one;
- candles: closed ones once per open time, open ones by event time until theirs is closed.

Statuses and dead letters speak of a socket, not of the market, and always pass.
"""

from collections.abc import Callable
from typing import Any

from shared.market.events import (
    AggregateTrade,
    BestQuote,
    BookDelta,
    BookSnapshot,
    Event,
    Kline,
    MarkPrice,
    Origin,
    Trade,
)
from shared.market.id_ranges import IdRanges

# Ranges of trade ids remembered per stream; ids without losses make one. Beyond it the oldest are
# forgotten, so that a very late copy would pass twice rather than a trade be lost.
_MOST_RANGES = 1024
_NONE = -1


class _Memory:
    """What was published of one stream."""

    __slots__ = (
        "closed_candle",
        "last_id",
        "open_candle",
        "snapshot_id",
        "socket",
        "trade_ids",
    )

    def __init__(self) -> None:
        self.trade_ids = IdRanges()
        self.last_id = _NONE
        self.snapshot_id = _NONE
        self.socket: tuple[str, int] | None = None
        self.open_candle = (_NONE, _NONE)
        self.closed_candle = _NONE


class Deduplicator:
    """Judges the events of two overlapping sockets; idle, it holds nothing and need not be asked.

    Call `begin` before the second socket is opened, so that whatever it brings was preceded by what
    the first had brought, and `end` when one of the two is closed. While `is_idle`, every event is
    new. Memory is bounded: per stream a few ids, and `_MOST_RANGES` ranges of trade ids.
    """

    __slots__ = ("_by_origin", "_by_stream", "is_idle")

    def __init__(self) -> None:
        self.is_idle = True
        self._by_origin: dict[Origin, _Memory] = {}
        self._by_stream: dict[tuple[str, str, str], _Memory] = {}

    def begin(self) -> None:
        """Start to remember what is published."""
        self.is_idle = False

    def end(self) -> None:
        """Forget everything: one socket is left."""
        self.is_idle = True
        self._by_origin.clear()
        self._by_stream.clear()

    def socket_ended(self, origin: Origin) -> None:
        """Learn that a socket will bring nothing more, so that nobody waits for its deltas."""
        gone = (origin.connection, origin.epoch)
        for memory in self._by_stream.values():
            if memory.socket == gone:
                memory.socket = None

    def is_new(self, event: Event) -> bool:
        """Say whether an event is to be published, and remember it if so."""
        judge = _JUDGES.get(type(event))
        if judge is None or self.is_idle:
            return True
        origin = event.origin
        memory = self._by_origin.get(origin)
        if memory is None:
            stream = (origin.market, origin.symbol, origin.channel)
            memory = self._by_stream.setdefault(stream, _Memory())
            self._by_origin[origin] = memory
        return judge(memory, event)


def _is_new_trade(memory: _Memory, event: Trade | AggregateTrade) -> bool:
    number, known = int(event.trade_id), memory.trade_ids
    if number in known:
        return False
    known.add(number, number)
    if len(known) > _MOST_RANGES:
        known.remove(*known.lowest)
    return True


def _is_new_delta(memory: _Memory, event: BookDelta) -> bool:
    last = memory.last_id
    if event.last_update_id <= last:
        return False
    origin = event.origin
    socket = (origin.connection, origin.epoch)
    if event.previous_update_id is None:
        is_next = event.first_update_id <= last + 1
    else:
        is_next = event.previous_update_id <= last
    if not is_next and memory.socket not in {None, socket}:
        return False
    memory.last_id, memory.socket = event.last_update_id, socket
    return True


def _is_new_snapshot(memory: _Memory, event: BookSnapshot) -> bool:
    if event.last_update_id < memory.last_id or event.last_update_id == memory.snapshot_id:
        return False
    memory.snapshot_id = memory.last_id = event.last_update_id
    return True


def _is_new_quote(memory: _Memory, event: BestQuote) -> bool:
    if event.update_id <= memory.last_id:
        return False
    memory.last_id = event.update_id
    return True


def _is_new_mark(memory: _Memory, event: MarkPrice) -> bool:
    time = event.event_time or 0
    if time <= memory.last_id:
        return False
    memory.last_id = time
    return True


def _is_new_candle(memory: _Memory, event: Kline) -> bool:
    if event.open_time <= memory.closed_candle:
        return False
    if event.is_closed:
        memory.closed_candle = event.open_time
        return True
    place = (event.open_time, event.event_time or 0)
    if place <= memory.open_candle:
        return False
    memory.open_candle = place
    return True


_JUDGES: dict[type[Event], Callable[[_Memory, Any], bool]] = {
    Trade: _is_new_trade,
    AggregateTrade: _is_new_trade,
    BookDelta: _is_new_delta,
    BookSnapshot: _is_new_snapshot,
    BestQuote: _is_new_quote,
    MarkPrice: _is_new_mark,
    Kline: _is_new_candle,
}
