"""Trades that a reconnect or a gap missed, fetched by id and published like the others."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import structlog
from msgspec import structs

from shared.clock import Clock
from shared.market.events import DeadLetter, Origin, Source, StreamState, StreamStatus
from shared.market.id_ranges import IdRanges
from shared.market.instruments import Market
from shared.market.numbering import is_fetchable, is_forgotten
from streaming.errors import VenueError
from streaming.exchanges.binance_rest import (
    Outcome,
    is_final,
    read_trades,
    trades_call,
)
from streaming.reconnect import backoff_delays
from streaming.rest import Priority, RestPool
from streaming.sink import PatientPublisher

# Holes that wait, over all streams; a venue that tears more than this is not healed but replaced.
_MOST_HOLES = 10_000
# Looks at ids that the stream has shown and REST does not know yet: over about 75 s.
_MOST_EMPTY_ANSWERS = 6

_Key = tuple[Market, str, str]


@dataclass(slots=True)
class Told:
    """Neighbouring ids with one outcome, told in one status."""

    state: StreamState
    reason: str
    first_id: int
    last_id: int


class _Stream:
    """What is missing of one stream, and when to ask for it."""

    __slots__ = ("delays", "empty_answers", "missing", "not_before_ns", "origin", "told")

    def __init__(self, delays: Iterator[float]) -> None:
        self.missing = IdRanges()
        self.told: Told | None = None
        self.origin: Origin
        self.forget_failures(delays)

    def forget_failures(self, delays: Iterator[float]) -> None:
        """Ask again at once; a failure is followed by the first of these delays."""
        self.delays = delays
        self.empty_answers = 0
        self.not_before_ns = 0


class Healer:
    """Fetches what is missing through one REST address, streams in turn, oldest ids first.

    A range is dropped only when it has come, or when the venue says that it does not have it; while
    the venue is away it is asked for again, later each time. Each range ends in a status, `healed` or
    `unhealable`, that names its first and last id, but for what only the archive still has.
    """

    def __init__(self, rest: RestPool, publisher: PatientPublisher, clock: Clock) -> None:
        self.healed = 0
        self.unhealable = 0
        self.left = 0
        """Ids that are not asked for any more and may yet be found: by the archive, or later."""
        self._rest = rest
        self._publisher = publisher
        self._clock = clock
        self._random = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._streams: dict[_Key, _Stream] = {}
        self._added = asyncio.Event()
        self._log = structlog.get_logger()

    @property
    def missing(self) -> int:
        """How many ids are still to be fetched."""
        ranges = (item for stream in self._streams.values() for item in stream.missing)
        return sum(last - first + 1 for first, last in ranges)

    def take(self, status: StreamStatus) -> None:
        """Heal what a gap in trade ids names; any other status is none of our business."""
        origin, expected, received = status.origin, status.expected, status.received
        if (
            status.state is StreamState.GAP
            and expected is not None
            and received is not None
            and is_fetchable(origin.exchange, origin.market, origin.channel)
        ):
            self.add(origin, expected, received - 1)

    def add(self, origin: Origin, first_id: int, last_id: int) -> None:
        """Ask for the ids from first to last, both included; what waits already is asked once."""
        if first_id > last_id:
            return
        origin = structs.replace(origin, source=Source.BINANCE_REST)
        if not is_fetchable(origin.exchange, origin.market, origin.channel):
            self._refuse(origin, first_id, last_id, "the venue has no call for this channel")
            return
        key = (origin.market, origin.symbol, origin.channel)
        stream = self._streams.get(key) or _Stream(self._delays())
        stream.missing.add(first_id, last_id)
        holes = sum(len(item.missing) for item in {*self._streams.values(), stream})
        if holes > _MOST_HOLES:
            stream.missing.remove(first_id, last_id)
            self._leave(origin, first_id, last_id, f"{_MOST_HOLES} holes wait already")
            return
        if key in self._streams and stream.origin != origin:
            self._publisher.forget(stream.origin)
        stream.origin = origin
        self._streams[key] = stream
        self._added.set()

    async def run(self) -> None:
        """Heal for ever; returns only by cancellation."""
        try:
            while True:
                key = self._due()
                if key is None:
                    await self._wait()
                    continue
                await self._heal(self._streams[key])
                self._end_turn(key)
                if self._publisher.is_full:
                    await self._publisher.drained()
        finally:
            for stream in self._streams.values():
                self._flush(stream)

    def _due(self) -> _Key | None:
        now_ns = self._clock.now_ns()
        due = (key for key, stream in self._streams.items() if stream.not_before_ns <= now_ns)
        return next(due, None)

    async def _wait(self) -> None:
        """Wait until a stream is due or one is added."""
        times = [stream.not_before_ns for stream in self._streams.values()]
        wait_s = (min(times) - self._clock.now_ns()) / 1e9 if times else None
        self._added.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._added.wait()

    async def _heal(self, stream: _Stream) -> None:
        """Make one call for a stream and publish what came."""
        first_id, last_id = stream.missing.lowest
        origin = stream.origin
        call = trades_call(origin, first_id, last_id)
        try:
            body = await self._rest.get(call.path, call.weight, Priority.HEALING)
        except VenueError as error:
            if is_final(error.status):
                self._forgotten(stream, call.first_id, call.last_id, error.reason)
            else:
                self._postpone(stream, error.reason)
            return
        answer = read_trades(call, origin, body, self._clock.now_ns())
        if isinstance(answer, DeadLetter):
            self._publisher.publish([answer])
            self._postpone(stream, answer.reason)
            return
        self._publisher.publish(answer.events)
        if answer.oldest_id is not None and answer.oldest_id > call.last_id + 1:
            # A long hole is given up as far as the venue has forgotten, not a page at a time.
            end = min(last_id, answer.oldest_id - 1)
            self._forgotten(stream, first_id, end, "not among the venue's rows")
        elif answer.outcomes:
            self._settle(stream, answer.outcomes, "not among the venue's rows")
        elif stream.empty_answers + 1 >= _MOST_EMPTY_ANSWERS:
            lost = Outcome(first_id, last_id, is_found=False)
            self._settle(stream, [lost], "the venue has no row from the first id on")
        else:
            stream.empty_answers += 1
            self._postpone(stream, "the venue has no row from the first id on yet")

    def _forgotten(self, stream: _Stream, first_id: int, last_id: int, reason: str) -> None:
        """Give up what the venue tells no more, or leave it for the archive where that has it."""
        origin = stream.origin
        if not is_forgotten(origin.exchange, origin.market, origin.channel):
            self._settle(stream, [Outcome(first_id, last_id, is_found=False)], reason)
            return
        stream.missing.remove(first_id, last_id)
        stream.forget_failures(self._delays())
        self._leave(origin, first_id, last_id, reason)

    def _leave(self, origin: Origin, first_id: int, last_id: int, reason: str) -> None:
        """Tell nobody that a range is lost: its gap stays open, for the lake's ledger to have it healed."""
        self.left += last_id - first_id + 1
        self._log.warning(
            "healing left to the lake",
            symbol=origin.symbol,
            channel=origin.channel,
            first_id=first_id,
            last_id=last_id,
            reason=reason,
        )

    def _settle(self, stream: _Stream, outcomes: list[Outcome], why_not: str) -> None:
        for outcome in outcomes:
            first_id, last_id = outcome.first_id, outcome.last_id
            stream.missing.remove(first_id, last_id)
            if outcome.is_found:
                self.healed += last_id - first_id + 1
                self._tell(stream, Told(StreamState.HEALED, "", first_id, last_id))
            else:
                self._give_up(stream, first_id, last_id, why_not)
        stream.forget_failures(self._delays())

    def _postpone(self, stream: _Stream, reason: str) -> None:
        delay_s = next(stream.delays)
        stream.not_before_ns = self._clock.now_ns() + int(delay_s * 1e9)
        symbol, channel = stream.origin.symbol, stream.origin.channel
        self._log.warning(
            "healing postponed", symbol=symbol, channel=channel, reason=reason, seconds=delay_s
        )

    def _end_turn(self, key: _Key) -> None:
        """Let go of a stream that is whole; another goes behind those that wait."""
        stream = self._streams.pop(key)
        if stream.told is not None and stream.told.last_id + 1 not in stream.missing:
            self._flush(stream)
        if stream.missing:
            self._streams[key] = stream
        else:
            self._publisher.forget(stream.origin)

    def _give_up(self, stream: _Stream, first_id: int, last_id: int, reason: str) -> None:
        self.unhealable += last_id - first_id + 1
        self._tell(stream, Told(StreamState.UNHEALABLE, reason, first_id, last_id))

    def _tell(self, stream: _Stream, news: Told) -> None:
        """Keep an outcome to be told with its neighbours, and tell the one before it."""
        told = stream.told
        if (
            told is not None
            and (told.state, told.reason) == (news.state, news.reason)
            and told.last_id + 1 == news.first_id
        ):
            told.last_id = news.last_id
        else:
            self._flush(stream)
            stream.told = news

    def _flush(self, stream: _Stream) -> None:
        told, stream.told = stream.told, None
        if told is not None:
            publish_outcome(self._publisher, self._clock, stream.origin, told)

    def _refuse(self, origin: Origin, first_id: int, last_id: int, reason: str) -> None:
        self.unhealable += last_id - first_id + 1
        told = Told(StreamState.UNHEALABLE, reason, first_id, last_id)
        publish_outcome(self._publisher, self._clock, origin, told)

    def _delays(self) -> Iterator[float]:
        return backoff_delays(iter(self._random.random, None))


def publish_outcome(publisher: PatientPublisher, clock: Clock, origin: Origin, told: Told) -> None:
    """Publish and log the status that ends a range."""
    status = StreamStatus(
        origin=origin,
        received_ns=clock.now_ns(),
        event_time=None,
        state=told.state,
        reason=told.reason,
        first_id=told.first_id,
        last_id=told.last_id,
    )
    publisher.publish([status])
    structlog.get_logger().info(
        "stream",
        state=told.state,
        symbol=origin.symbol,
        channel=origin.channel,
        reason=told.reason,
        first_id=told.first_id,
        last_id=told.last_id,
    )
