"""Composition root of the collector: build everything, run it in one task group, stop in order."""

import asyncio
import gc
import signal
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any

import structlog
from msgspec import structs
from prometheus_client.registry import Collector

from shared.clock import Clock, SystemClock
from shared.errors import ConfigurationError
from shared.market.events import StreamState, StreamStatus
from shared.market.instruments import Exchange
from shared.market.topics import topic_specs
from shared.settings import Settings
from shared.symbol_manager import file_version, load_symbols
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
from streaming.kafka_producer import EventProducer, producer_of
from streaming.link import Surroundings
from streaming.lookback import Lookback
from streaming.memory import keep_freed_memory
from streaming.recorder import Recorder, RecorderCollector, RecorderState
from streaming.rest import RestPool
from streaming.segment_log import SegmentLog
from streaming.sink import NowhereSink, Sink
from streaming.spill import SpillState

_LOOK_S = 0.2


class StreamingService:
    """Every connection of one process, following `symbols.yaml` as it changes.

    Args:
        settings: everything that can be set.
        clock: our time.
        sink: where records go.
        recorder: takes every frame too, if there is one.
        heals: whether missed trades are fetched.
        lookback: finds what fell between the process before and this one.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        sink: Sink,
        recorder: Recorder | None,
        heals: bool = True,
        lookback: Lookback | None = None,
    ) -> None:
        self._settings = settings
        self._heals = heals
        self._clock = clock
        self._sink = sink
        self._recorder = recorder
        self._lookback = lookback
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
        collectors: list[Collector] = [collector, *self._latencies.collectors]
        if self._recorder is not None:
            collectors.append(RecorderCollector(self._recorder))
        doors = Doors(self.reasons, self.streams, collectors)
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
            if self._lookback is not None:
                watch.append(tasks.create_task(self._look_back(self._lookback)))
            self._adopt(first)
            # Frames make no cycles, so looking for them every 700 objects finds nothing.
            keep_freed_memory()
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
        return planned(self._settings, [item.plan for item in self._connections.values()])

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

        around = Surroundings(self._sink, rest, self._clock, self._recorder, self._latencies)
        on_status = healer.take if self._heals else _ignore
        return Connection(item, self._protocol, around, gate, on_status)

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
        seen = file_version(path)
        while True:
            await asyncio.sleep(self._settings.streaming.symbols_poll_s)
            present = file_version(path)
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

    async def _look_back(self, lookback: Lookback) -> None:
        """Once, when everything flows: heal what fell between the process before and this one."""
        await lookback.begin()
        while self._sink.stats.spill_state is not SpillState.OFF or not self._has_begun():  # noqa: ASYNC110 - a counter tells nobody
            await asyncio.sleep(_LOOK_S)
        sent = self._sink.stats.sent
        while self._sink.stats.produced < sent:  # noqa: ASYNC110 - as above
            await asyncio.sleep(_LOOK_S)
        healers = {
            item.plan.endpoint.market: self._healer(item.plan.endpoint)[1]
            for item in self._connections.values()
        }
        for hole in await lookback.holes():
            if hole.origin.market in healers:
                healers[hole.origin.market].add(hole.origin, hole.first_id, hole.last_id)

    def _has_begun(self) -> bool:
        """Say whether each subscription has spoken, or has had its time to."""
        waiting = {StreamState.SUBSCRIBED, StreamState.ACKNOWLEDGED}
        return all(
            connection.stats.connected
            and all(view.life.state not in waiting for view in connection.streams())
            for connection in self._connections.values()
        )

    async def _report(self) -> None:
        opened = 0
        while True:
            await asyncio.sleep(self._settings.streaming.metrics_interval_s)
            before, opened = opened, sum(stats.opened for stats in self._stats())
            if opened != before:
                # A socket that ended leaves cycles behind: tasks, tracebacks, and what they hold.
                gc.collect()
            self._log.info("metrics", **summary(self._stats(), self._sink.stats, self._healing()))


def planned(settings: Settings, present: Iterable[ConnectionPlan] = ()) -> list[ConnectionPlan]:
    """Return the connections that `symbols.yaml` asks of this instance and shard.

    Raises:
        ConfigurationError: the file is not there, or has a fault.
    """
    streaming = settings.streaming
    wanted = [
        item
        for item in load_symbols(settings.paths.symbols_file).subscriptions(Exchange.BINANCE)
        if in_shard(item.instrument, streaming.shard)
    ]
    return plan(settings.binance, wanted, present, streaming.instance)


def _ignore(_status: StreamStatus) -> None:
    """Heal nothing."""


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
    return producer_of(settings, clock, log)


async def serve(service: StreamingService) -> None:
    """Run a service until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await service.run(stop)


def collect(settings: Settings) -> Coroutine[Any, Any, None]:
    """Return the work of `crypto-stream run`: to Kafka, recording too if that is switched on."""
    clock = SystemClock()
    recorder = _recorder(settings, clock) if settings.recorder.enabled else None
    sink = kafka_sink(settings, clock)
    lookback = Lookback(settings.kafka, Exchange.BINANCE)
    return serve(StreamingService(settings, clock, sink, recorder, lookback=lookback))


def record_only(settings: Settings) -> Coroutine[Any, Any, None]:
    """Return the work of `crypto-stream record`: frames to files, nothing to Kafka."""
    clock = SystemClock()
    recorder = _recorder(settings, clock)
    sink = NowhereSink(recorder)
    return serve(StreamingService(settings, clock, sink, recorder, heals=False))


def _recorder(settings: Settings, clock: Clock) -> Recorder:
    return Recorder(settings.recorder_dir, settings.recorder, clock)
