"""Composition root of the collector: build everything, run it in one task group, stop in order."""

import asyncio
import gc
import signal
from pathlib import Path

import structlog
from msgspec import structs

from shared.clock import Clock, SystemClock
from shared.errors import ConfigurationError
from shared.market.codec import Codec
from shared.market.instruments import Exchange
from shared.market.topics import topic_specs
from shared.settings import Settings
from shared.symbol_manager import load_symbols
from streaming.binance_websocket import plan, protocol
from streaming.config import ConnectionPlan
from streaming.connection import Connection
from streaming.errors import DeliveryError
from streaming.http_server import start_http_server
from streaming.instrumentation import ConnectionStats, StreamingCollector, summary
from streaming.kafka_producer import EventProducer
from streaming.rest import RestPool


class StreamingService:
    """Every connection of one process, following `symbols.yaml` as it changes."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._producer = EventProducer(
            settings.kafka,
            Codec(settings.streaming.pipeline_version),
            clock,
            settings.streaming.high_water_frames,
            settings.streaming.low_water_frames,
        )
        self._connections: dict[str, Connection] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._fetchers: dict[str, RestPool] = {}
        self._log = structlog.get_logger()

    async def run(self, stop: asyncio.Event) -> None:
        """Collect until `stop` is set, then flush.

        Raises:
            BrokerError: Kafka does not answer at start.
            ConfigurationError: the symbols file, a topic or the HTTP port cannot be used at start.
            DeliveryError: a record could not be delivered.
        """
        first = self._plan()
        await self._producer.check(spec.name for spec in topic_specs(Exchange.BINANCE))
        streaming = self._settings.streaming
        http = await start_http_server(
            streaming.host,
            streaming.http_port,
            self.reasons,
            StreamingCollector(self._stats, lambda: self._producer.stats),
        )
        try:
            await self._collect(first, stop)
        finally:
            left = await self._producer.close(streaming.shutdown_budget_s)
            for fetcher in self._fetchers.values():
                await fetcher.close()
            await http.cleanup()
            self._log.info("metrics", **summary(self._stats(), self._producer.stats))
            self._log.info("stopped", undelivered=left)
        if left:
            raise DeliveryError("Kafka", f"{left} records at shutdown")

    async def _collect(self, first: list[ConnectionPlan], stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            watch = [
                tasks.create_task(self._producer.run()),
                tasks.create_task(self._report()),
                tasks.create_task(self._follow_symbols(tasks)),
            ]
            await self._adopt(first, tasks)
            # Frames make no cycles, so looking for them every 700 objects finds nothing.
            gc.freeze()
            gc.set_threshold(100_000, 50, 100)
            await stop.wait()
            self._log.info("stopping")
            for task in [*watch, *self._running.values()]:
                task.cancel()

    def reasons(self) -> list[str]:
        """Return why the service is not ready."""
        failure = self._producer.failure
        found = [str(failure)] if failure is not None else []
        if not self._connections:
            found.append("no symbol is enabled")
        for name, connection in self._connections.items():
            if not connection.stats.connected:
                found.append(f"{name}: not connected")
            found += [
                f"{name}: no data yet for {item.instrument.symbol} {item.channel}"
                for item in connection.silent()
            ]
        return found

    def _stats(self) -> list[ConnectionStats]:
        return [connection.stats for connection in self._connections.values()]

    def _plan(self) -> list[ConnectionPlan]:
        symbols = load_symbols(self._settings.paths.symbols_file)
        present = [connection.plan for connection in self._connections.values()]
        return plan(self._settings.binance, symbols.subscriptions(Exchange.BINANCE), present)

    async def _adopt(self, planned: list[ConnectionPlan], tasks: asyncio.TaskGroup) -> None:
        for name in set(self._connections) - {item.name for item in planned}:
            connection = self._connections.pop(name)
            await connection.subscribe(structs.replace(connection.plan, subscriptions=()))
            self._running.pop(name).cancel()
        for item in planned:
            if item.name in self._connections:
                await self._connections[item.name].subscribe(item)
            else:
                connection = self._connections[item.name] = self._connection(item)
                self._running[item.name] = tasks.create_task(connection.run(), name=item.name)

    def _connection(self, item: ConnectionPlan) -> Connection:
        rest_url = item.endpoint.rest_url
        if rest_url not in self._fetchers:
            limits = item.endpoint.rest_limits
            self._fetchers[rest_url] = RestPool(rest_url, limits, self._clock)
        language = protocol(item, self._settings.streaming.book_levels)
        return Connection(item, language, self._producer, self._fetchers[rest_url], self._clock)

    async def _follow_symbols(self, tasks: asyncio.TaskGroup) -> None:
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
                await self._adopt(planned, tasks)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(self._settings.streaming.metrics_interval_s)
            self._log.info("metrics", **summary(self._stats(), self._producer.stats))


def _version(path: Path) -> tuple[int, int] | None:
    """Return what changes when the file is written or replaced."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_ino


async def serve(settings: Settings) -> None:
    """Run the service until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await StreamingService(settings, SystemClock()).run(stop)
