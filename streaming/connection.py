"""The shell around a protocol: one socket, driven for as long as the service runs."""

import asyncio
import random
from collections.abc import Iterator

import structlog
from picows.websockets.asyncio.client import ClientConnection, connect
from picows.websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from shared.clock import Clock
from shared.market.instruments import Subscription
from streaming.config import ConnectionPlan
from streaming.errors import VenueError
from streaming.exchanges.protocol import (
    ExchangeProtocol,
    FetchSnapshot,
    Reconnect,
    SendText,
)
from streaming.instrumentation import ConnectionStats
from streaming.kafka_producer import EventProducer
from streaming.pipeline import Pipeline
from streaming.reconnect import backoff_delays
from streaming.rest import RestPool

# What is too large for Kafka must still be seen, to become a dead letter.
_MAX_FRAME_BYTES = 16 * 1024 * 1024
_OPEN_TIMEOUT_S = 15
# Time for the closing handshake: part of the shutdown budget, and nothing waits for it.
_CLOSE_TIMEOUT_S = 2
# A socket that lived this long counts as good, and its end is followed by an immediate retry. A
# venue that accepts and soon hangs up must not be knocked at without a pause.
_GOOD_AFTER_S = 30
_NETWORK_ERRORS = (ConnectionClosed, InvalidHandshake, InvalidURI, OSError, TimeoutError)


class Connection:
    """Keeps one planned connection open: feed, execute commands, forward events."""

    def __init__(
        self,
        plan: ConnectionPlan,
        protocol: ExchangeProtocol,
        producer: EventProducer,
        snapshots: RestPool,
        clock: Clock,
    ) -> None:
        self.plan = plan
        self.stats = ConnectionStats(plan.name)
        self._protocol = protocol
        self._pipeline = Pipeline(protocol, producer, self.stats)
        self._producer = producer
        self._snapshots = snapshots
        self._clock = clock
        self._socket: ClientConnection | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._log = structlog.get_logger().bind(connection=plan.name)

    async def run(self) -> None:
        """Connect and read for ever; returns only by cancellation."""
        loop = asyncio.get_running_loop()
        delays = self._delays()
        while True:
            await asyncio.sleep(next(delays))
            began = loop.time()
            reason = "stopped"
            try:
                await self._session()
            except* _NETWORK_ERRORS as group:
                reason = "; ".join(f"{type(error).__name__}: {error}" for error in group.exceptions)
            finally:
                self._end(reason)
            if loop.time() - began >= _GOOD_AFTER_S:
                delays = self._delays()

    def silent(self) -> list[Subscription]:
        """Return the subscriptions without data since the socket opened."""
        return self._protocol.silent()

    async def subscribe(self, plan: ConnectionPlan) -> None:
        """Change what this connection carries; other subscriptions flow on."""
        self.plan = plan
        now_ns = self._clock.now_ns()
        self._pipeline.forward(self._protocol.subscribe(plan.subscriptions, now_ns))
        if self._socket is not None:
            try:
                await self._execute(self._socket)
            except ConnectionClosed:
                # The reader sees it too; the next socket asks for all that is wanted by then.
                self._log.debug("closed while subscribing")

    @staticmethod
    def _delays() -> Iterator[float]:
        generator = random.Random()  # noqa: S311 - spreads retries, guards nothing
        return backoff_delays(iter(generator.random, None))

    async def _session(self) -> None:
        endpoint = self.plan.endpoint
        async with connect(
            endpoint.ws_url,
            compression=None,
            max_size=_MAX_FRAME_BYTES,
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            ping_interval=endpoint.ping_interval_s,
        ) as socket:
            self.stats.opened += 1
            self.stats.connected = True
            self._log.info("connected", url=endpoint.ws_url)
            async with asyncio.TaskGroup() as tasks:
                self._socket, self._tasks = socket, tasks
                try:
                    self._pipeline.forward(self._protocol.open(self._clock.now_ns()))
                    await self._execute(socket)
                    await self._read(socket)
                finally:
                    self._socket = self._tasks = None

    async def _read(self, socket: ClientConnection) -> None:
        producer, protocol = self._producer, self._protocol
        take, now_ns = self._pipeline.take, self._clock.now_ns
        while True:
            frame = await socket.recv(decode=False)
            take(frame, now_ns())  # type: ignore[arg-type]  # typed wider; undecoded it is bytes
            if protocol.has_commands:
                await self._execute(socket)
            if producer.is_full:
                await producer.drained()

    async def _execute(self, socket: ClientConnection) -> None:
        for command in self._protocol.commands():
            match command:
                case SendText(text):
                    await socket.send(text)
                case FetchSnapshot():
                    if self._tasks is not None:
                        self._tasks.create_task(self._fetch(socket, command))
                case Reconnect(reason):
                    self._log.info("reconnecting", reason=reason)
                    await socket.close()

    async def _fetch(self, socket: ClientConnection, request: FetchSnapshot) -> None:
        try:
            body = await self._snapshots.fetch(request)
        except VenueError as error:
            self._log.warning("snapshot failed", path=request.path, reason=str(error))
            self._protocol.snapshot_failed(request, self._clock.now_ns())
        else:
            now_ns = self._clock.now_ns()
            self._pipeline.forward(self._protocol.receive_snapshot(request, body, now_ns))
        await self._execute(socket)

    def _end(self, reason: str) -> None:
        if self.stats.connected:
            self._log.warning("disconnected", reason=reason)
            self._pipeline.forward(self._protocol.close(reason, self._clock.now_ns()))
        elif reason != "stopped":
            self._log.warning("cannot connect", url=self.plan.endpoint.ws_url, reason=reason)
        self.stats.connected = False
