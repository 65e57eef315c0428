"""The loop against a real WebSocket server, speaking a small language of the test's own."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.server import serve

from shared.clock import SystemClock
from shared.market.events import Origin, Source, StreamState, StreamStatus
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from streaming import connection as module
from streaming.config import ConnectionPlan, Endpoint, RestLimits
from streaming.connection import Connection
from streaming.errors import VenueError
from streaming.exchanges.protocol import FetchSnapshot, Reconnect, SendText


def subscription(symbol: str) -> Subscription:
    return Subscription(Instrument(Exchange.BINANCE, Market.SPOT, symbol, symbol), "trade")


class Language:
    """Answers `again` with a reconnect, `book` with a snapshot request, the rest with a status."""

    def __init__(self):
        self.epoch, self.wanted, self.queue = 0, {subscription("A")}, []
        self.snapshots, self.failed, self.closed = [], [], []

    @property
    def control_origin(self):
        return Origin(
            Exchange.BINANCE, Market.SPOT, "-", "-", "control", Source.REPLAY, "c-0", self.epoch
        )

    @property
    def has_commands(self):
        return bool(self.queue)

    def silent(self):
        return sorted(self.wanted)

    def open(self, now_ns):
        self.epoch += 1
        self.queue.append(SendText("hello"))
        return []

    def receive(self, frame, received_ns):
        if frame == b'"again"':
            self.queue.append(Reconnect("x" * 200))
        if frame == b'"book"':
            self.queue.append(FetchSnapshot(subscription("A"), "/book", 1))
        return [self.status("frame", received_ns)]

    def receive_snapshot(self, request, body, received_ns):
        self.snapshots.append(body)
        return []

    def snapshot_failed(self, request, now_ns):
        self.failed.append(request.path)

    def subscribe(self, wanted, now_ns):
        self.wanted = set(wanted)
        self.queue.append(SendText("subscribe"))
        return []

    def close(self, reason, now_ns):
        self.closed.append(reason)
        self.queue.clear()
        return [self.status("closed", now_ns)]

    def commands(self):
        commands, self.queue = self.queue, []
        return commands

    def status(self, reason, now_ns):
        return StreamStatus(
            origin=self.control_origin,
            received_ns=now_ns,
            event_time=None,
            state=StreamState.SUBSCRIBED,
            reason=reason,
        )


class Kafka:
    """Takes records; full for as long as it is told."""

    def __init__(self):
        self.frames, self.is_full, self.emptied = [], False, asyncio.Event()

    def publish_frame(self, origin, frame, received_ns):
        self.frames.append(frame)

    def publish(self, events):
        pass

    async def drained(self):
        await self.emptied.wait()
        self.is_full = False


class Rest:
    """Gives a body, or refuses."""

    def __init__(self, body=b"{}"):
        self.body = body

    async def fetch(self, request):
        if self.body is None:
            raise VenueError(request.path, "no")
        return self.body


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - looks at objects that tell nobody
            await asyncio.sleep(0.01)


class Server:
    """A venue that remembers what it was told on each socket."""

    def __init__(self):
        self.sockets, self.heard = [], []

    async def __call__(self, socket):
        self.sockets.append(socket)
        async for text in socket:
            self.heard.append(text)

    async def send(self, *texts: str) -> None:
        for text in texts:
            await self.sockets[-1].send(text)


@asynccontextmanager
async def running(monkeypatch, kafka=None, rest=None, good_after=0.0):
    """A connection to a server, until both are stopped."""
    monkeypatch.setattr(module, "_GOOD_AFTER_S", good_after)
    server, language, kafka = Server(), Language(), kafka or Kafka()
    async with serve(server, "127.0.0.1", 0) as listening:
        url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        limits = RestLimits(1, "used")
        endpoint = Endpoint("c", Exchange.BINANCE, Market.SPOT, url, "", limits, 10, 60)
        plan = ConnectionPlan("c-0", endpoint, (subscription("A"),))
        driven = Connection(plan, language, kafka, rest or Rest(), SystemClock())
        task = asyncio.create_task(driven.run())
        await until(lambda: server.heard == ["hello"])
        try:
            yield server, language, driven
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_every_frame_is_taken_in_order(monkeypatch):
    kafka = Kafka()
    async with running(monkeypatch, kafka) as (server, _, driven):
        sent = [str(number) for number in range(2000)]
        await server.send(*sent)
        await until(lambda: len(kafka.frames) == 2000)
    assert kafka.frames == [text.encode() for text in sent]
    assert driven.stats.received == driven.stats.processed == 2000


async def test_a_full_buffer_pauses_reading_and_loses_nothing(monkeypatch):
    kafka = Kafka()
    async with running(monkeypatch, kafka) as (server, _, _driven):
        kafka.is_full = True
        frames = ["1" * 10_000] * 2000
        sending = asyncio.create_task(server.send(*frames))
        done, _ = await asyncio.wait([sending], timeout=0.5)
        assert not done, "the sender feels the pause"
        assert len(kafka.frames) == 1
        kafka.emptied.set()
        assert await sending is None
        await until(lambda: len(kafka.frames) == 2000)


async def test_a_cut_socket_is_followed_by_another_and_the_protocol_is_told(monkeypatch):
    async with running(monkeypatch) as (server, language, driven):
        server.sockets[0].transport.abort()
        await until(lambda: len(server.heard) == 2)
        assert language.epoch == 2
        assert "ConnectionClosedError" in language.closed[0]
        await until(lambda: driven.stats.connected)
        assert driven.stats.reconnects == 1
    assert not driven.stats.connected
    assert language.closed[1] == "stopped"


async def test_a_socket_that_soon_ends_is_not_replaced_at_once(monkeypatch):
    async with running(monkeypatch, good_after=30) as (server, _, driven):
        server.sockets[0].transport.abort()
        await until(lambda: not driven.stats.connected)
        await asyncio.sleep(0.5)
        assert len(server.sockets) == 1


async def test_a_protocol_may_ask_for_another_socket_however_long_its_reason(monkeypatch):
    async with running(monkeypatch) as (server, language, _):
        await server.send('"again"')
        await until(lambda: language.epoch == 2)


async def test_a_snapshot_is_fetched_while_frames_flow_on(monkeypatch):
    async with running(monkeypatch, rest=Rest(b"levels")) as (server, language, _):
        await server.send('"book"')
        await until(lambda: language.snapshots == [b"levels"])


async def test_a_snapshot_that_fails_is_told_to_the_protocol(monkeypatch):
    async with running(monkeypatch, rest=Rest(None)) as (server, language, _):
        await server.send('"book"')
        await until(lambda: language.failed == ["/book"])


async def test_a_change_of_subscriptions_is_sent_on_the_open_socket(monkeypatch):
    async with running(monkeypatch) as (server, _, driven):
        wanted = (subscription("A"), subscription("B"))
        await driven.subscribe(ConnectionPlan("c-0", driven.plan.endpoint, wanted))
        await until(lambda: server.heard == ["hello", "subscribe"])
        assert driven.silent() == list(wanted)


async def test_a_change_while_the_socket_is_gone_waits_for_the_next(monkeypatch):
    async with running(monkeypatch, good_after=30) as (server, language, driven):
        server.sockets[0].transport.abort()
        await until(lambda: language.closed != [])
        await driven.subscribe(ConnectionPlan("c-0", driven.plan.endpoint, (subscription("B"),)))
        assert driven.silent() == [subscription("B")]


async def test_an_address_nobody_listens_at_is_tried_again(monkeypatch, unused_tcp_port):
    monkeypatch.setattr(module, "backoff_delays", lambda _: iter([0.0, 0.01, 0.01, 60.0]))
    limits = RestLimits(1, "used")
    url = f"ws://127.0.0.1:{unused_tcp_port}"
    endpoint = Endpoint("c", Exchange.BINANCE, Market.SPOT, url, "", limits, 10, 60)
    language = Language()
    driven = Connection(
        ConnectionPlan("c-0", endpoint, ()), language, Kafka(), Rest(), SystemClock()
    )
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(driven.run(), 0.5)
    assert (driven.stats.reconnects, language.epoch, language.closed) == (0, 0, [])
