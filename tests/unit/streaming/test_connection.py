"""The loop against a real WebSocket server, speaking a small language of the test's own."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.server import serve

from shared.clock import SystemClock
from shared.market.events import Origin, Source, StreamState, StreamStatus
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from streaming import connection as module
from streaming import link as link_module
from streaming.circuit_breaker import BreakerState
from streaming.config import ConnectionPlan, ConnectLimits, Endpoint, RestLimits
from streaming.connection import Connection, unhealthy
from streaming.errors import VenueError
from streaming.exchanges.liveness import Liveness
from streaming.exchanges.protocol import FetchSnapshot, Reconnect, RollOver, SendText
from streaming.gate import Gate
from streaming.instrumentation import Latencies
from streaming.link import Surroundings


def subscription(symbol: str) -> Subscription:
    return Subscription(Instrument(Exchange.BINANCE, Market.SPOT, symbol, symbol), "trade")


class View:
    """One subscription, as a protocol shows it."""

    def __init__(self, item):
        self.subscription, self.life = item, Liveness()


class Language:
    """Obeys its venue: each frame below is an order to want something of the shell."""

    def __init__(self):
        self.epoch, self.queue = 0, []
        self.views = {subscription("A"): View(subscription("A"))}
        self.snapshots, self.failed, self.closed, self.adopted = [], [], [], []

    @property
    def control_origin(self):
        return Origin(
            Exchange.BINANCE, Market.SPOT, "-", "-", "control", Source.REPLAY, "c-0", self.epoch
        )

    @property
    def has_commands(self):
        return bool(self.queue)

    def streams(self):
        return list(self.views.values())

    def open(self, now_ns, *, beside=False, epoch=None):
        self.epoch = epoch
        for view in self.views.values():
            view.life.ask(now_ns)
        self.queue.append(SendText("beside" if beside else "hello"))
        return []

    def adopt(self, before, now_ns):
        self.adopted.append(before)
        return []

    def joins(self, before):
        return True

    def excuse(self, now_ns):
        self.excused = True

    def tick(self, now_ns):
        return []

    def receive(self, frame, received_ns):
        for view in self.views.values():
            view.life.prove(received_ns)
        if frame == b'"again"':
            self.queue.append(Reconnect("x" * 200))
        if frame == b'"fresh"':
            self.queue.append(RollOver("serverShutdown", is_urgent=True))
        if frame == b'"many"':
            self.queue += [SendText(str(number)) for number in range(5)]
        if frame == b'"book"':
            self.queue.append(FetchSnapshot(subscription("A"), "/book", 1))
        return [self.status("frame", received_ns)]

    def receive_snapshot(self, request, body, received_ns):
        self.snapshots.append(body)
        return []

    def snapshot_failed(self, request, now_ns):
        self.failed.append(request.path)

    def subscribe(self, wanted, now_ns):
        self.views = {item: View(item) for item in wanted}
        self.queue.append(SendText("subscribe"))
        return []

    def close(self, reason, now_ns, *, planned=False):
        self.closed.append((reason, planned))
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
    async with asyncio.timeout(30):
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


def connection(url: str, kafka, rest=None):
    """Return a connection, and the protocols that it has made so far."""
    limits = RestLimits(1, "used")
    endpoint = Endpoint(
        "c", Exchange.BINANCE, Market.SPOT, url, "", limits, 10, 60, 2, ConnectLimits(100, 1), 3600
    )
    languages = []

    def protocol_of(plan):
        languages.append(Language())
        return languages[-1]

    around = Surroundings(kafka, rest or Rest(), SystemClock(), None, Latencies())
    gate = Gate(endpoint.connect_limits, SystemClock())
    plan = ConnectionPlan("c-0", endpoint, (subscription("A"),))
    return Connection(plan, protocol_of, around, gate, lambda _: None), languages


@asynccontextmanager
async def running(kafka=None, rest=None):
    """A connection to a server, until both are stopped."""
    server, kafka = Server(), kafka or Kafka()
    async with serve(server, "127.0.0.1", 0) as listening:
        url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        driven, languages = connection(url, kafka, rest)
        task = asyncio.create_task(driven.run())
        await until(lambda: server.heard == ["hello"])
        try:
            yield server, languages, driven
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_every_frame_is_taken_in_order():
    kafka = Kafka()
    async with running(kafka) as (server, _, driven):
        sent = [str(number) for number in range(2000)]
        await server.send(*sent)
        await until(lambda: len(kafka.frames) == 2000)
    assert kafka.frames == [text.encode() for text in sent]
    assert driven.stats.received == driven.stats.processed == 2000


async def test_a_full_buffer_pauses_reading_and_loses_nothing():
    kafka = Kafka()
    async with running(kafka) as (server, _, _driven):
        kafka.is_full = True
        frames = ["1" * 10_000] * 2000
        sending = asyncio.create_task(server.send(*frames))
        done, _ = await asyncio.wait([sending], timeout=0.5)
        assert not done, "the sender feels the pause"
        assert len(kafka.frames) == 1
        kafka.emptied.set()
        assert await sending is None
        await until(lambda: len(kafka.frames) == 2000)


async def test_a_socket_that_delivered_is_replaced_at_once_and_the_protocol_is_told():
    async with running() as (server, (language,), driven):
        await server.send("1")
        await until(lambda: driven.stats.received == 1)
        driven._link.opened_ns -= 2 * 10**9
        server.sockets[0].transport.abort()
        await until(lambda: len(server.heard) == 2)
        assert language.epoch == 2
        (reason, planned) = language.closed[0]
        assert "ConnectionClosedError" in reason
        assert not planned
        await until(lambda: driven.stats.connected)
        assert driven.stats.reconnects == 1
    assert not driven.stats.connected
    assert language.closed[1] == ("stopped", True)


async def test_a_socket_that_delivered_nothing_is_not_replaced_at_once():
    async with running() as (server, _, driven):
        server.sockets[0].transport.abort()
        await until(lambda: not driven.stats.connected)
        await asyncio.sleep(0.5)
        assert len(server.sockets) == 1


async def test_a_successor_takes_over_only_when_it_has_delivered():
    kafka = Kafka()
    async with running(kafka) as (server, languages, driven):
        await server.send('"fresh"')
        await until(lambda: server.heard == ["hello", "beside"])
        await server.sockets[0].send("1")
        await until(lambda: len(kafka.frames) == 2)
        first, second = languages
        assert (first.closed, second.adopted) == ([], [])
        await server.sockets[1].send("2")
        await until(lambda: second.adopted == [first])
        assert first.closed == [("stopped", True)]
        assert second.epoch == 2
        await server.sockets[1].send("3")
        await until(lambda: len(kafka.frames) == 4)
        assert (driven.stats.rolled_over, driven.stats.reconnects) == (1, 0)
        assert driven.stats.connected


async def test_a_successor_takes_over_at_once_when_the_old_socket_breaks():
    async with running() as (server, languages, driven):
        await server.send('"fresh"')
        await until(lambda: server.heard == ["hello", "beside"])
        server.sockets[0].transport.abort()
        await until(lambda: len(languages) == 2 and languages[1].adopted == [languages[0]])
        assert languages[0].closed[0][1] is False
        await server.sockets[1].send("2")
        await until(lambda: driven.stats.received == 2)


async def test_a_successor_that_breaks_leaves_the_old_socket_alone():
    kafka = Kafka()
    async with running(kafka) as (server, languages, _):
        await server.send('"fresh"')
        await until(lambda: len(server.sockets) == 2)
        server.sockets[1].transport.abort()
        await until(lambda: languages[1].closed != [])
        await server.sockets[0].send("1")
        await until(lambda: len(kafka.frames) == 2)
        assert languages[0].closed == []


async def test_a_successor_that_never_delivers_is_given_up_and_tried_again(monkeypatch):
    monkeypatch.setattr(module, "_PROOF_S", 0.3)
    monkeypatch.setattr(module, "backoff_delays", lambda _: iter([0.0, 0.5, 60.0]))
    kafka = Kafka()
    async with running(kafka) as (server, languages, _):
        await server.send('"fresh"')
        await until(lambda: len(languages) == 2 and languages[1].closed == [("stopped", True)])
        await server.sockets[0].send("1")
        await until(lambda: len(kafka.frames) == 2)
        await until(lambda: len(languages) == 3)
        await server.sockets[2].send("2")
        await until(lambda: languages[2].adopted == [languages[0]])
        assert languages[2].epoch == 3, "no two sockets share a number"


async def test_a_day_old_socket_is_replaced(monkeypatch):
    async with running() as (server, languages, driven):
        driven._link.opened_ns -= 3600 * 10**9
        await until(lambda: server.heard == ["hello", "beside"])
        assert len(languages) == 2


async def test_messages_keep_to_the_venues_pace():
    async with running() as (server, _, _driven):
        began = asyncio.get_running_loop().time()
        await server.send('"many"')
        await until(lambda: server.heard == ["hello", *"01234"])
        assert asyncio.get_running_loop().time() - began > 2, "two in any second"


async def test_a_protocol_may_ask_for_another_socket_however_long_its_reason():
    async with running() as (server, (language,), _):
        await server.send('"again"')
        await until(lambda: language.epoch == 2)


async def test_a_snapshot_is_fetched_while_frames_flow_on():
    async with running(rest=Rest(b"levels")) as (server, (language,), _):
        await server.send('"book"')
        await until(lambda: language.snapshots == [b"levels"])


async def test_a_snapshot_that_fails_is_told_to_the_protocol():
    async with running(rest=Rest(None)) as (server, (language,), _):
        await server.send('"book"')
        await until(lambda: language.failed == ["/book"])


async def test_a_change_of_subscriptions_is_sent_on_the_open_socket():
    async with running() as (server, _, driven):
        wanted = (subscription("A"), subscription("B"))
        driven.subscribe(ConnectionPlan("c-0", driven.plan.endpoint, wanted))
        await until(lambda: server.heard == ["hello", "subscribe"])
        assert [item for item, _ in unhealthy(driven.streams())] == list(wanted)


async def test_a_change_while_the_socket_is_gone_waits_for_the_next():
    async with running() as (server, (language,), driven):
        server.sockets[0].transport.abort()
        await until(lambda: language.closed != [])
        driven.subscribe(ConnectionPlan("c-0", driven.plan.endpoint, (subscription("B"),)))
        assert [item for item, _ in unhealthy(driven.streams())] == [subscription("B")]


async def test_an_address_nobody_listens_at_is_tried_again(monkeypatch, unused_tcp_port):
    monkeypatch.setattr(module, "backoff_delays", lambda _: iter([0.0, 0.01, 0.01, 60.0]))
    driven, (language,) = connection(f"ws://127.0.0.1:{unused_tcp_port}", Kafka())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(driven.run(), 0.5)
    assert (driven.stats.reconnects, language.epoch, language.closed) == (0, 0, [])
    assert driven._gate.breaker.state is BreakerState.CLOSED


async def test_an_endpoint_that_is_away_is_not_knocked_at_by_all(monkeypatch, unused_tcp_port):
    monkeypatch.setattr(module, "backoff_delays", lambda _: iter([0.0] * 99))
    driven, _ = connection(f"ws://127.0.0.1:{unused_tcp_port}", Kafka())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(driven.run(), 0.5)
    assert driven._gate.breaker.state is BreakerState.OPEN


async def test_a_probe_that_got_through_lets_the_others_in():
    gate = Gate(ConnectLimits(100, 1), SystemClock())
    for _ in range(5):
        gate.failed()
    gate.breaker.open_until_ns = 0
    await gate.admitted()
    assert gate.breaker.state is BreakerState.HALF_OPEN
    gate.abandoned()
    assert gate.breaker.state is BreakerState.OPEN
    async with running() as (_, _languages, driven):
        assert driven._gate.breaker.state is BreakerState.CLOSED, "told when opened, not when ended"


async def test_the_old_socket_dying_before_the_new_one_opens_is_a_plain_reconnect(monkeypatch):
    kafka = Kafka()
    async with running(kafka) as (server, languages, driven):
        closed = asyncio.Event()
        monkeypatch.setattr(driven._gate, "admitted", closed.wait)
        await server.send('"fresh"')
        await until(lambda: len(languages) == 2)
        driven._link.opened_ns -= 2 * 10**9
        server.sockets[0].transport.abort()
        await until(lambda: driven._successor is None)
        closed.set()
        await until(lambda: server.heard == ["hello", "hello"])
        assert languages[1].adopted == []


async def test_a_pause_of_ours_is_no_silence_of_the_venue(monkeypatch):
    monkeypatch.setattr(link_module, "_TICK_S", 0.1)
    kafka = Kafka()
    async with running(kafka) as (server, (language,), _):
        kafka.is_full = True
        await server.send("1", "2")
        await asyncio.sleep(0.3)
        assert not hasattr(language, "excused")
        kafka.emptied.set()
        await until(lambda: getattr(language, "excused", False))


async def test_a_fault_of_ours_ends_the_socket_as_broken(monkeypatch):
    async with running() as (server, (language,), _):
        monkeypatch.setattr(language, "receive", lambda frame, received_ns: 1 / 0)
        await server.send("1")
        await until(lambda: language.closed != [])
        (reason, planned) = language.closed[0]
        assert ("ZeroDivisionError" in reason, planned) == (True, False)
