"""Composition root of the collector: build everything, run it in one task group, stop in order."""

import asyncio
import gc
import signal
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import structlog
from msgspec import structs

from shared.clock import Clock, SystemClock
from shared.errors import ConfigurationError
from shared.market.codec import Codec
from shared.market.events import StreamStatus
from shared.market.instruments import Exchange
from shared.market.topics import topic_specs
from shared.settings import Settings
from shared.symbol_manager import load_symbols
from streaming.binance_websocket import plan, protocol
from streaming.config import ConnectionPlan, Endpoint, in_shard
from streaming.connection import Connection, unhealthy
from streaming.errors import DeliveryError
from streaming.exchanges.protocol import ExchangeProtocol
from streaming.gate import Gate
from streaming.healing import Healer
from streaming.http_server import Doors, start_http_server
from streaming.instrumentation import (
    ConnectionStats,
    HealingStats,
    Latencies,
    StreamingCollector,
    summary,
)
from streaming.kafka_producer import EventProducer
from streaming.link import Surroundings
from streaming.recorder import Recorder, RecorderState
from streaming.rest import RestPool
from streaming.segment_log import SegmentLog
from streaming.sink import NowhereSink, Sink
from streaming.spill import SpillState


class StreamingService:
    """Every connection of one process, following `symbols.yaml` as it changes."""

    def __init__(
        self, settings: Settings, clock: Clock, sink: Sink, recorder: Recorder | None
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sink = sink
        self._recorder = recorder
        self._latencies = Latencies()
        self._connections: dict[str, Connection] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._healers: dict[str, tuple[RestPool, Healer]] = {}
        self._gates: dict[str, Gate] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._log = structlog.get_logger()
        sink.on_acknowledged = self._latencies.acknowledged

    async def run(self, stop: asyncio.Event) -> None:
        """Collect until `stop` is set, then flush.

        Raises:
            BrokerError: Kafka does not answer at start.
            ConfigurationError: the symbols file, a topic or the HTTP port cannot be used at start.
            DeliveryError: a record could not be delivered.
        """
        first = self._plan()
        await self._sink.check(spec.name for spec in topic_specs(Exchange.BINANCE))
        streaming = self._settings.streaming
        collector = StreamingCollector(
            self._stats, lambda: self._sink.stats, self._states, self._healing
        )
        doors = Doors(self.reasons, self.streams, [collector, *self._latencies.collectors])
        http = await start_http_server(streaming.host, streaming.http_port, doors)
        try:
            await self._collect(first, stop)
        finally:
            left = await self._sink.close(streaming.shutdown_budget_s)
            for rest, _ in self._healers.values():
                await rest.close()
            if self._recorder is not None:
                self._recorder.close()
            await http.cleanup()
            self._log.info("metrics", **summary(self._stats(), self._sink.stats, self._healing()))
            self._log.info("stopped", undelivered=left)
        if left:
            raise DeliveryError("Kafka", f"{left} records at shutdown")

    async def _collect(self, first: list[ConnectionPlan], stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            watch = [
                tasks.create_task(self._sink.run()),
                tasks.create_task(self._report()),
                tasks.create_task(self._follow_symbols()),
            ]
            if self._recorder is not None:
                watch.append(tasks.create_task(self._recorder.run()))
            self._adopt(first)
            # Frames make no cycles, so looking for them every 700 objects finds nothing.
            gc.freeze()
            gc.set_threshold(100_000, 50, 100)
            await stop.wait()
            self._log.info("stopping")
            for task in [*watch, *self._running.values()]:
                task.cancel()

    def reasons(self) -> list[str]:
        """Return why the service is not ready."""
        stats = self._sink.stats
        found = [str(self._sink.failure)] if self._sink.failure is not None else []
        if stats.spill_state is SpillState.FULL:
            found.append("Kafka is away and the spill is full: reading pauses")
        if self._recorder is not None and self._recorder.state is RecorderState.FAILED:
            found.append(f"recording has failed: {self._recorder.reason}")
        if not self._connections:
            found.append("no symbol is enabled")
        for name, connection in self._connections.items():
            if not connection.stats.connected:
                found.append(f"{name}: not connected")
            found += [
                f"{name}: {item.instrument.symbol} {item.channel} is {state}"
                for item, state in unhealthy(connection.streams())
            ]
        return found

    def streams(self) -> Iterator[dict[str, Any]]:
        """Yield what `/status` shows of each subscription; times in seconds."""
        now_ns = self._clock.now_ns()
        for name, connection in self._connections.items():
            for view in connection.streams():
                item, life = view.subscription, view.life
                yield {
                    "connection": name,
                    "market": item.instrument.market,
                    "symbol": item.instrument.symbol,
                    "channel": item.channel,
                    "state": life.state,
                    "silent_s": round((now_ns - life.seen_ns) / 1e9, 3) if life.seen_ns else None,
                    "limit_s": round(life.limit_ns(now_ns) / 1e9, 3),
                }

    def _states(self) -> Iterator[tuple[str, str]]:
        for name, connection in self._connections.items():
            yield from ((name, view.life.state.value) for view in connection.streams())

    def _healing(self) -> HealingStats:
        healers = [healer for _, healer in self._healers.values()]
        return HealingStats(
            missing=sum(healer.missing for healer in healers),
            healed=sum(healer.healed for healer in healers),
            unhealable=sum(healer.unhealable for healer in healers),
        )

    def _stats(self) -> list[ConnectionStats]:
        return [connection.stats for connection in self._connections.values()]

    def _plan(self) -> list[ConnectionPlan]:
        streaming = self._settings.streaming
        symbols = load_symbols(self._settings.paths.symbols_file)
        wanted = [
            item
            for item in symbols.subscriptions(Exchange.BINANCE)
            if in_shard(item.instrument, streaming.shard)
        ]
        present = [connection.plan for connection in self._connections.values()]
        return plan(self._settings.binance, wanted, present, streaming.instance)

    def _adopt(self, planned: list[ConnectionPlan]) -> None:
        for name in set(self._connections) - {item.name for item in planned}:
            connection = self._connections.pop(name)
            connection.subscribe(structs.replace(connection.plan, subscriptions=()))
            self._running.pop(name).cancel()
        for item in planned:
            if item.name in self._connections:
                self._connections[item.name].subscribe(item)
            elif self._tasks is not None:
                connection = self._connections[item.name] = self._connection(item)
                self._running[item.name] = self._tasks.create_task(connection.run(), name=item.name)

    def _connection(self, item: ConnectionPlan) -> Connection:
        rest, healer = self._healer(item.endpoint)
        gate = self._gates.setdefault(
            item.endpoint.name, Gate(item.endpoint.connect_limits, self._clock)
        )

        def heal(status: StreamStatus) -> None:
            healer.take(status)

        around = Surroundings(self._sink, rest, self._clock, self._recorder, self._latencies)
        return Connection(item, self._protocol, around, gate, heal)

    def _protocol(self, item: ConnectionPlan) -> ExchangeProtocol:
        return protocol(item, self._settings.streaming.book_levels)

    def _healer(self, endpoint: Endpoint) -> tuple[RestPool, Healer]:
        found = self._healers.get(endpoint.rest_url)
        if found is None:
            rest = RestPool(endpoint.rest_url, endpoint.rest_limits, self._clock)
            found = rest, Healer(rest, self._sink, self._clock)
            self._healers[endpoint.rest_url] = found
            if self._tasks is not None:
                name = f"healer {endpoint.rest_url}"
                self._running[name] = self._tasks.create_task(found[1].run(), name=name)
        return found

    async def _follow_symbols(self) -> None:
        path = self._settings.paths.symbols_file
        seen = _version(path)
        while True:
            await asyncio.sleep(self._settings.streaming.symbols_poll_s)
            present = _version(path)
            if present == seen:
                continue
            seen = present
            try:
                planned = self._plan()
            except ConfigurationError as error:
                self._log.error("symbols file not used, the last good one stays", error=str(error))
            else:
                names = [item.name for item in planned]
                self._log.info("symbols file changed", connections=names)
                self._adopt(planned)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(self._settings.streaming.metrics_interval_s)
            self._log.info("metrics", **summary(self._stats(), self._sink.stats, self._healing()))


def _version(path: Path) -> tuple[int, int] | None:
    """Return what changes when the file is written or replaced."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_ino


def kafka_sink(settings: Settings, clock: Clock) -> EventProducer:
    """Return the way to Kafka, with a spill on disk unless it is switched off."""
    streaming = settings.streaming
    log = None
    if streaming.spill_bytes:
        log = SegmentLog(
            settings.spill_dir,
            streaming.spill_segment_bytes,
            streaming.spill_bytes,
            streaming.spill_fsync,
        )
    return EventProducer(
        settings.kafka,
        Codec(streaming.pipeline_version),
        clock,
        streaming.high_water_frames,
        streaming.low_water_frames,
        log,
    )


async def serve(settings: Settings, sink: Sink, recorder: Recorder | None, clock: Clock) -> None:
    """Run the service until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await StreamingService(settings, clock, sink, recorder).run(stop)


def collect(settings: Settings) -> Coroutine[Any, Any, None]:
    """Return the work of `crypto-stream run`: to Kafka, recording too if that is switched on."""
    clock = SystemClock()
    recorder = _recorder(settings, clock) if settings.recorder.enabled else None
    return serve(settings, kafka_sink(settings, clock), recorder, clock)


def record_only(settings: Settings) -> Coroutine[Any, Any, None]:
    """Return the work of `crypto-stream record`: frames to files, nothing to Kafka."""
    clock = SystemClock()
    return serve(settings, NowhereSink(), _recorder(settings, clock), clock)


def _recorder(settings: Settings, clock: Clock) -> Recorder:
    return Recorder(settings.recorder_dir, settings.recorder, clock)
