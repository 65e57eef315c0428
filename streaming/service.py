"""Composition root of the collector: build everything, run it in one task group, stop in order."""

import asyncio
import gc
import signal
from pathlib import Path

import structlog

from shared.clock import Clock, SystemClock
from shared.errors import ConfigurationError
from shared.market.codec import Codec
from shared.market.instruments import Exchange
from shared.settings import Settings
from shared.symbol_manager import load_symbols
from streaming.binance_websocket import plan, protocol
from streaming.config import ConnectionPlan
from streaming.connection import Connection
from streaming.errors import DeliveryError
from streaming.http_server import start_http_server
from streaming.instrumentation import ConnectionStats, StreamingCollector, summary
from streaming.kafka_producer import EventProducer
from streaming.snapshots import SnapshotFetcher


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
        self._fetchers: dict[str, SnapshotFetcher] = {}
        self._log = structlog.get_logger()

    async def run(self, stop: asyncio.Event) -> None:
        """Collect until `stop` is set, then flush.

        Raises:
            DeliveryError: a record could not be delivered.
            ConfigurationError: the symbols file cannot be used at start.
        """
        first = self._plan()
        http = await start_http_server(
            self._settings.streaming.host,
            self._settings.streaming.http_port,
            self.reasons,
            StreamingCollector(self._stats, lambda: self._producer.stats),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = [
                    tasks.create_task(self._producer.failed()),
                    tasks.create_task(self._report()),
                    tasks.create_task(self._follow_symbols(tasks)),
                ]
                await self._adopt(first, tasks)
                gc.freeze()
                await stop.wait()
                for task in [*watch, *self._running.values()]:
                    task.cancel()
        finally:
            for fetcher in self._fetchers.values():
                await fetcher.close()
            left = self._producer.close(self._settings.streaming.shutdown_budget_s)
            await http.cleanup()
            self._log.info("stopped", undelivered=left)
        if left:
            raise DeliveryError("kafka", f"{left} records at shutdown")

    def reasons(self) -> list[str]:
        """Return why the service is not ready."""
        found = ["no connections"] if not self._connections else []
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

    def _plan(self) -> dict[str, ConnectionPlan]:
        symbols = load_symbols(self._settings.paths.symbols_file)
        planned = plan(self._settings.binance, symbols.subscriptions(Exchange.BINANCE))
        return {item.name: item for item in planned}

    async def _adopt(self, planned: dict[str, ConnectionPlan], tasks: asyncio.TaskGroup) -> None:
        for name in set(self._connections) - set(planned):
            self._running.pop(name).cancel()
            del self._connections[name]
        for name, item in planned.items():
            if name in self._connections:
                await self._connections[name].subscribe(item.subscriptions)
            else:
                connection = self._connections[name] = self._connection(item)
                self._running[name] = tasks.create_task(connection.run(), name=name)

    def _connection(self, item: ConnectionPlan) -> Connection:
        rest_url = item.endpoint.rest_url
        if rest_url not in self._fetchers:
            self._fetchers[rest_url] = SnapshotFetcher(rest_url, self._clock)
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
                self._log.info("symbols file changed", connections=sorted(planned))
                await self._adopt(planned, tasks)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(self._settings.streaming.metrics_interval_s)
            self._log.info("metrics", **summary(self._stats(), self._producer.stats))


def _version(path: Path) -> tuple[int, int] | None:
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
