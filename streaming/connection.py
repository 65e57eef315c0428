"""The shell around a protocol: one socket, driven for as long as the service runs."""

import asyncio
import random
from collections.abc import Iterable, Iterator

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from shared.clock import Clock
from shared.market.events import DeadLetter, Event, StreamState, StreamStatus
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
from streaming.kafka_producer import EventProducer, is_spliceable
from streaming.reconnect import backoff_delays
from streaming.snapshots import SnapshotFetcher

# Venue frames stay below 1 MiB; a full-depth message of a large book may exceed the default.
_MAX_FRAME_BYTES = 16 * 1024 * 1024
_OPEN_TIMEOUT_S = 15
_NETWORK_ERRORS = (ConnectionClosed, InvalidHandshake, InvalidURI, OSError, TimeoutError)


class Connection:
    """Keeps one planned connection open: feed, execute commands, forward events."""

    def __init__(
        self,
        plan: ConnectionPlan,
        protocol: ExchangeProtocol,
        producer: EventProducer,
        snapshots: SnapshotFetcher,
        clock: Clock,
    ) -> None:
        self.stats = ConnectionStats(plan.name)
        self._plan = plan
        self._protocol = protocol
        self._producer = producer
        self._snapshots = snapshots
        self._clock = clock
        self._socket: ClientConnection | None = None
        self._log = structlog.get_logger().bind(connection=plan.name)

    async def run(self) -> None:
        """Connect and read for ever; returns only by cancellation."""
        delays = self._delays()
        while True:
            await asyncio.sleep(next(delays))
            received_before = self.stats.received
            reason = "stopped"
            try:
                await self._session()
            except* _NETWORK_ERRORS as group:
                reason = "; ".join(f"{type(error).__name__}: {error}" for error in group.exceptions)
            finally:
                self._end(reason)
            if self.stats.received > received_before:
                delays = self._delays()
            self.stats.reconnects += 1

    def silent(self) -> list[Subscription]:
        """Return the subscriptions without data since the socket opened."""
        return self._protocol.silent()

    async def subscribe(self, wanted: Iterable[Subscription]) -> None:
        """Change what this connection carries; other subscriptions flow on."""
        self._forward(self._protocol.subscribe(wanted, self._clock.now_ns()))
        if self._socket is not None:
            await self._execute(self._socket)

    @staticmethod
    def _delays() -> Iterator[float]:
        generator = random.Random()  # noqa: S311 - spreads retries, guards nothing
        return backoff_delays(iter(generator.random, None))

    async def _session(self) -> None:
        endpoint = self._plan.endpoint
        socket_of = connect(
            endpoint.ws_url,
            compression=None,
            max_size=_MAX_FRAME_BYTES,
            open_timeout=_OPEN_TIMEOUT_S,
            ping_interval=endpoint.ping_interval_s,
        )
        async with socket_of as socket, asyncio.TaskGroup() as tasks:
            self._socket, self._tasks = socket, tasks
            self.stats.connected = True
            self._log.info("connected", url=endpoint.ws_url)
            self._forward(self._protocol.open(self._clock.now_ns()))
            await self._execute(socket)
            await self._read(socket)

    async def _read(self, socket: ClientConnection) -> None:
        stats, producer, protocol = self.stats, self._producer, self._protocol
        now_ns = self._clock.now_ns
        while True:
            frame = await socket.recv(decode=False)
            stats.received += 1
            stats.last_message_ns = received_ns = now_ns()
            events = protocol.receive(frame, received_ns)
            origin = events[0].origin if events else protocol.control_origin
            if is_spliceable(events):
                producer.publish_frame(origin, frame, received_ns)
            self._forward(events)
            stats.processed += 1
            if protocol.has_commands:
                await self._execute(socket)
            if producer.is_full:
                await producer.drained()

    def _forward(self, events: list[Event]) -> None:
        self._producer.publish(events)
        self.stats.events += len(events)
        if len(events) != 1 or isinstance(events[0], DeadLetter):
            for event in events:
                self._note(event)

    def _note(self, event: Event) -> None:
        if isinstance(event, DeadLetter):
            self.stats.dead_letters += 1
            self._log.warning("dead letter", reason=event.reason, payload=event.payload[:500])
        elif isinstance(event, StreamStatus):
            if event.state is StreamState.GAP:
                self.stats.gaps += 1
            self._log.info(
                "stream",
                state=event.state,
                symbol=event.origin.symbol,
                channel=event.origin.channel,
                expected=event.expected,
                received=event.received,
                reason=event.reason,
            )

    async def _execute(self, socket: ClientConnection) -> None:
        for command in self._protocol.commands():
            match command:
                case SendText(text):
                    await socket.send(text)
                case FetchSnapshot():
                    self._tasks.create_task(self._fetch(socket, command))
                case Reconnect(reason):
                    self._log.info("reconnecting", reason=reason)
                    await socket.close(reason=reason)

    async def _fetch(self, socket: ClientConnection, request: FetchSnapshot) -> None:
        try:
            body = await self._snapshots.fetch(request.path, request.not_before_ns)
        except VenueError as error:
            self._log.warning("snapshot failed", path=request.path, reason=str(error))
            self._protocol.snapshot_failed(request, self._clock.now_ns())
        else:
            now_ns = self._clock.now_ns()
            self._forward(self._protocol.receive_snapshot(request, body, now_ns))
        await self._execute(socket)

    def _end(self, reason: str) -> None:
        if self.stats.connected:
            self._log.warning("disconnected", reason=reason)
            self._forward(self._protocol.close(reason, self._clock.now_ns()))
        else:
            self._log.warning("cannot connect", url=self._plan.endpoint.ws_url, reason=reason)
        self._socket = None
        self.stats.connected = False
