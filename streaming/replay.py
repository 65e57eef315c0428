"""Recorded frames through the same protocol and pipeline as live ones, with their recorded times.

A frame's connection, epoch and receive time come from the recording, and `source` stays that of the
live run: these are the same frames, so silver's rows come out the same, byte for byte. What tells a
replay apart is `pipeline_version`, which ends in `+replay`, and `ingestion_timestamp`.

Streams are subscribed as they turn up in the recording. A book's snapshot is the next recorded depth
body of its symbol, as it was live; a recording of others may hold it before it is asked for.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

import msgspec

from shared.clock import Clock
from shared.errors import ConfigurationError
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from shared.market.recording import Frame, FrameKind, market_of, read_frames
from shared.market.topics import topic_specs
from shared.settings import Settings
from shared.symbol_manager import is_channel, load_symbols
from streaming.deduplicator import Deduplicator
from streaming.exchanges.binance import BinanceProtocol, stream_name
from streaming.exchanges.protocol import FetchSnapshot
from streaming.instrumentation import ConnectionStats, ProducerStats
from streaming.kafka_producer import producer_of
from streaming.pipeline import Pipeline, Publisher
from streaming.sink import PatientPublisher

_HEAD = '{"stream":"'
# A paced replay yields while it waits; an unpaced one has to be told.
_YIELD_EVERY = 256
# As long as a live connection looks for copies after a roll-over.
_OVERLAP_NS = 5_000_000_000
_BookKey = tuple[Market, str]


class Counts(msgspec.Struct, frozen=True):
    """What a replay has done."""

    frames: int
    events: int
    dead_letters: int
    gaps: int
    unanswered: int
    """Books that still wait for a snapshot which the recording does not hold."""


class _Session:
    """One recorded connection."""

    def __init__(
        self,
        market: Market,
        name: str,
        publisher: Publisher,
        levels: int,
        deduplicator: Deduplicator | None = None,
    ) -> None:
        self.market = market
        self.epoch = 0
        self.stats = ConnectionStats(name)
        self.deduplicator = deduplicator or Deduplicator()
        self.protocol = BinanceProtocol(market, name, (), levels)
        self.pipeline = Pipeline(self.protocol, publisher, self.stats, self.deduplicator)
        self._wanted: dict[str, Subscription] = {}
        self._alone_ns = 0

    def reach(self, epoch: int, now_ns: int) -> None:
        """Open this socket; what the last one carried is told to be broken."""
        if self.epoch:
            self.pipeline.forward(self.protocol.close("recorded reconnect", now_ns))
        self.epoch = epoch
        self.pipeline.forward(self.protocol.open(now_ns, epoch=epoch))

    def open_beside(self, other: Self, epoch: int, now_ns: int) -> None:
        """Open this socket while another one carries the same."""
        self._wanted = dict(other._wanted)
        self.protocol.subscribe(self._wanted.values(), now_ns)
        self.deduplicator.begin()
        self.epoch = epoch
        self.pipeline.forward(self.protocol.open(now_ns, beside=True, epoch=epoch))

    def take_over(self, other: Self, now_ns: int) -> None:
        """Go on alone where the other one ends."""
        other.pipeline.forward(other.protocol.close("recorded roll-over", now_ns, planned=True))
        self.deduplicator.socket_ended(other.protocol.control_origin)
        self.pipeline.forward(self.protocol.adopt(other.protocol, now_ns))
        self._alone_ns = now_ns

    def take(self, frame: Frame, known: dict[tuple[Market, str], Subscription]) -> None:
        if frame.raw.startswith(_HEAD):
            name = frame.raw[len(_HEAD) : frame.raw.find('"', len(_HEAD))]
            if name not in self._wanted:
                self._subscribe(name, known, frame.recv_ns)
        if self._alone_ns and frame.recv_ns - self._alone_ns > _OVERLAP_NS:
            self.deduplicator.end()
            self._alone_ns = 0
        self.pipeline.take(frame.raw.encode(), frame.recv_ns)

    def _subscribe(
        self, name: str, known: dict[tuple[Market, str], Subscription], now_ns: int
    ) -> None:
        symbol, _, channel = name.partition("@")
        if is_channel(channel):
            venue_symbol = symbol.upper()
            instrument = Instrument(Exchange.BINANCE, self.market, venue_symbol, venue_symbol)
            given = known.get((self.market, name))
            self._wanted[name] = given or Subscription(instrument, channel)
            self.pipeline.forward(self.protocol.subscribe(self._wanted.values(), now_ns))


class Replay:
    """Feeds frames to the connections they came through.

    Args:
        publisher: where records go.
        subscriptions: say which canonical symbol a stream has; others are named as the venue does.
        book_levels: levels per side of a `BookSnapshot`.
    """

    def __init__(
        self, publisher: Publisher, subscriptions: Iterable[Subscription], book_levels: int
    ) -> None:
        self._publisher = publisher
        self._levels = book_levels
        self._known = {(item.instrument.market, stream_name(item)): item for item in subscriptions}
        self._sessions: dict[str, _Session] = {}
        self._successors: dict[str, _Session] = {}
        self._ended: list[ConnectionStats] = []
        self._asked: dict[_BookKey, deque[tuple[_Session, FetchSnapshot]]] = {}
        self._bodies: dict[_BookKey, Frame] = {}
        self._frames = 0

    @property
    def counts(self) -> Counts:
        """The counters as of now."""
        stats = [*self._ended, *(session.stats for session in self._sessions.values())]
        return Counts(
            frames=self._frames,
            events=sum(item.events for item in stats),
            dead_letters=sum(item.dead_letters for item in stats),
            gaps=sum(item.gaps for item in stats),
            unanswered=sum(map(len, self._asked.values())),
        )

    def feed(self, frame: Frame) -> None:
        """Take one frame of the recording.

        Raises:
            ConfigurationError: it belongs to no market that is collected.
        """
        self._frames += 1
        if frame.kind is FrameKind.HTTP:
            self._take_body(frame)
            return
        session = self._session(frame)
        session.take(frame, self._known)
        self._execute(session, frame.recv_ns)

    def _session(self, frame: Frame) -> _Session:
        market = market_of(frame)
        name = frame.connection or _connection_name(market, frame.url)
        epoch = frame.epoch or 1
        session = self._sessions.get(name)
        if session is None or epoch < session.epoch:
            # A smaller epoch: the collector itself was started anew.
            if session is not None:
                self._end(session)
            session = self._sessions[name] = _Session(market, name, self._publisher, self._levels)
        if epoch == session.epoch:
            return session
        if frame.beside:
            return self._beside(session, name, epoch, frame.recv_ns)
        return self._succeed(session, name, epoch, frame.recv_ns)

    def _beside(self, session: _Session, name: str, epoch: int, now_ns: int) -> _Session:
        """Return the session of a socket that was opened beside another."""
        successor = self._successors.get(name)
        if successor is None or successor.epoch != epoch:
            successor = self._successors[name] = _Session(
                session.market, name, self._publisher, self._levels, session.deduplicator
            )
            successor.open_beside(session, epoch, now_ns)
        return successor

    def _succeed(self, session: _Session, name: str, epoch: int, now_ns: int) -> _Session:
        """Return the session that goes on: the one opened beside, or the same after a break."""
        self._forget(session)
        successor = self._successors.pop(name, None)
        if successor is None or successor.epoch != epoch:
            session.reach(epoch, now_ns)
            return session
        successor.take_over(session, now_ns)
        self._ended.append(session.stats)
        self._sessions[name] = successor
        self._execute(successor, now_ns)
        return successor

    def _end(self, session: _Session) -> None:
        self._forget(session)
        self._ended.append(session.stats)

    def _forget(self, session: _Session) -> None:
        """Drop the requests of a socket that is gone."""
        for key, asked in self._asked.items():
            self._asked[key] = deque(item for item in asked if item[0] is not session)

    def _execute(self, session: _Session, now_ns: int) -> None:
        """Note snapshots asked for; what else a protocol wants was done when it was recorded."""
        for command in session.protocol.commands():
            if isinstance(command, FetchSnapshot):
                key = (session.market, command.subscription.instrument.venue_symbol)
                self._asked.setdefault(key, deque()).append((session, command))
                if (body := self._bodies.pop(key, None)) is not None:
                    self._answer(key, body, now_ns)

    def _take_body(self, frame: Frame) -> None:
        parts = urlsplit(frame.url)
        symbols = parse_qs(parts.query).get("symbol", [])
        if parts.path.endswith("/depth") and symbols:
            key = (market_of(frame), symbols[0])
            if self._asked.get(key):
                self._answer(key, frame, frame.recv_ns)
            else:
                self._bodies[key] = frame

    def _answer(self, key: _BookKey, body: Frame, now_ns: int) -> None:
        session, request = self._asked[key].popleft()
        events = session.protocol.receive_snapshot(request, body.raw.encode(), now_ns)
        session.pipeline.forward(events)
        self._execute(session, now_ns)


def _connection_name(market: Market, url: str) -> str:
    for route in ("public", "market"):
        if f"/{route}/" in url:
            return f"binance-{market}-{route}-0"
    return f"binance-{market}-0"


def recordings(paths: Iterable[Path]) -> list[Path]:
    """Return the files that are named, and those in the folders that are named.

    Raises:
        ConfigurationError: a path is not there, or a folder holds no recording.
    """
    found: list[Path] = []
    for path in paths:
        files = [path] if path.is_file() else sorted(path.rglob("*.jsonl.gz"))
        if not files:
            raise ConfigurationError(str(path), "no recording there", "Name *.jsonl.gz files.")
        found += files
    return list(dict.fromkeys(found))


def merged(files: Iterable[Path], on_done: Callable[[Path], None]) -> Iterator[Frame]:
    """Yield the frames of all files by receive time; a file is opened only when its time comes.

    Args:
        files: recordings, each in receive order.
        on_done: learns of each file that has been read to its end.
    """
    starts = []
    for path in files:
        first = next(read_frames(path, lambda _: None), None)
        if first is None:
            on_done(path)
        else:
            starts.append((first.recv_ns, path))
    waiting = deque(sorted(starts))
    numbers = count()
    heap: list[tuple[int, int, Frame, Iterator[Frame], Path]] = []
    while waiting or heap:
        while waiting and (not heap or waiting[0][0] <= heap[0][0]):
            _, path = waiting.popleft()
            frames = read_frames(path)
            head = next(frames)
            heapq.heappush(heap, (head.recv_ns, next(numbers), head, frames, path))
        _, number, frame, frames, path = heap[0]
        yield frame
        following = next(frames, None)
        if following is None:
            heapq.heappop(heap)
            on_done(path)
        else:
            heapq.heapreplace(heap, (following.recv_ns, number, following, frames, path))


async def play(
    frames: Iterable[Frame],
    replay: Replay,
    sink: PatientPublisher,
    speed: float | None,
    on_frame: Callable[[Frame], None],
) -> None:
    """Feed frames at `speed` times their recorded pace, None for as fast as they are taken.

    Each frame is due at its distance from the first one, so that delays do not add up.
    """
    loop = asyncio.get_running_loop()
    began_s, first_ns = loop.time(), None
    for number, frame in enumerate(frames):
        if first_ns is None:
            began_s, first_ns = loop.time(), frame.recv_ns
        if speed is not None:
            wait_s = began_s + (frame.recv_ns - first_ns) / 1e9 / speed - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
        replay.feed(frame)
        on_frame(frame)
        if sink.is_full:
            await sink.drained()
        if number % _YIELD_EVERY == 0:
            await asyncio.sleep(0)


async def replay_to_kafka(
    settings: Settings,
    clock: Clock,
    files: Iterable[Path],
    speed: float | None,
    on_frame: Callable[[Frame], None],
    on_done: Callable[[Path], None],
) -> tuple[Counts, ProducerStats]:
    """Replay recordings into Kafka and wait for its acknowledgement.

    Raises:
        BrokerError: Kafka does not answer.
        ConfigurationError: a topic is missing, or a recording is of no market that is collected.
        DeliveryError: a record could not be delivered; `ProducerStats.failed` counts the others.
        RecordingError: a recording is damaged.
    """
    streaming = settings.streaming
    producer = producer_of(settings, clock, version_suffix="+replay")
    symbols = load_symbols(settings.paths.symbols_file)
    replay = Replay(producer, symbols.subscriptions(Exchange.BINANCE), streaming.book_levels)
    await producer.check(spec.name for spec in topic_specs(Exchange.BINANCE))
    reports = asyncio.create_task(producer.run())
    try:
        await play(merged(files, on_done), replay, producer, speed, on_frame)
    finally:
        reports.cancel()
        await producer.close(streaming.shutdown_budget_s)
    if producer.failure is not None:
        raise producer.failure
    return replay.counts, producer.stats
