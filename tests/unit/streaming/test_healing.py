"""Against the mock exchange, or a server of the test's own, over real sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from msgspec import structs
from structlog.testing import capture_logs

from mock_exchange.listings import LISTINGS
from mock_exchange.server import MockServer
from mock_exchange.simulation import Simulation
from mock_exchange.trade_memory import KEPT_TRADES
from shared.clock import SettableClock, SystemClock
from shared.market.events import (
    AggregateTrade,
    DeadLetter,
    Event,
    Origin,
    Source,
    StreamState,
    StreamStatus,
    Trade,
)
from shared.market.instruments import Exchange, Market
from streaming import healing as module
from streaming.config import RestLimits
from streaming.healing import Healer
from streaming.rest import RestPool

LIMITS = RestLimits(100_000, "x-mbx-used-weight-1m")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def origin(channel: str = "aggTrade", market: Market = Market.SPOT, symbol: str = "BTCUSDT"):
    socket = Source.BINANCE_WEBSOCKET
    return Origin(Exchange.BINANCE, market, symbol, symbol, channel, socket, "c-0", 3)


class Records:
    """Keeps what would go to Kafka; full when it is told, until somebody waits for room."""

    def __init__(self):
        self.events: list[Event] = []
        self.forgotten: list[Origin] = []
        self.is_full, self.waits = False, 0

    def publish_frame(self, origin, frame, received_ns, events):
        raise AssertionError("REST rows are no frames")

    def publish(self, events):
        self.events += events

    def forget(self, origin: Origin) -> None:
        self.forgotten.append(origin)

    async def drained(self):
        self.waits += 1
        self.is_full = False

    def only(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def told(self):
        return [(item.state, item.first_id, item.last_id) for item in self.only(StreamStatus)]


@asynccontextmanager
async def served(app: web.Application):
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    rest = RestPool(f"http://127.0.0.1:{runner.addresses[0][1]}", LIMITS, SystemClock())
    try:
        yield rest
    finally:
        await rest.close()
        await runner.cleanup()


def venue(handler: Handler):
    app = web.Application()
    for path in ("/api/v3/aggTrades", "/fapi/v1/aggTrades"):
        app.router.add_get(path, handler)
    return served(app)


@asynccontextmanager
async def running(healer: Healer):
    task = asyncio.create_task(healer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - looks at objects that tell nobody
            await asyncio.sleep(0.01)


async def pass_time(healer: Healer, clock: SettableClock, seconds: int) -> None:
    """Let the one stream's pause pass, once it has begun."""
    await until(
        lambda: all(item.not_before_ns > clock.now_ns() for item in healer._streams.values())
    )
    clock.advance(seconds * 1_000_000_000)
    healer._added.set()


def rows(call: web.Request, have: set[int]) -> web.Response:
    """Answer `fromId` and `limit` as the venue does."""
    first, limit = int(call.query["fromId"]), int(call.query["limit"])
    found = sorted(number for number in have if number >= first)[:limit]
    fields = {"p": "1.50", "q": "2", "f": 1, "l": 1, "T": 1, "m": True}
    return web.json_response([{"a": number} | fields for number in found])


def simulated(market: Market):
    """Return the application of one market with some thousand trades, and the messages it sent."""
    server = MockServer(SystemClock())
    names = [(market, LISTINGS["BTCUSDT"])]
    server.venue = Simulation(names, 1, 500, KEPT_TRADES, server, SystemClock())
    simulator = server.venue._simulators[market, "BTCUSDT"]
    messages = []
    for step in range(1, 81):
        messages += simulator.advance(simulator.start_ms + step * 100)
    return server.app(market), messages


@pytest.mark.parametrize("market", [Market.SPOT, Market.UM])
async def test_a_hole_of_several_thousand_ids_is_closed_exactly(market):
    app, messages = simulated(market)
    sent = [data for channel, data in messages if channel == "aggTrade"][10:-10]
    assert len(sent) > 3500
    first, last = sent[0]["a"], sent[-1]["a"]
    records = Records()
    async with served(app) as rest:
        healer = Healer(rest, records, SystemClock())
        healer.take(
            StreamStatus(
                origin=origin(market=market),
                received_ns=1,
                event_time=None,
                state=StreamState.GAP,
                reason="trade ids",
                expected=first,
                received=last + 1,
            )
        )
        assert healer.missing == len(sent)
        async with running(healer):
            await until(lambda: not healer.missing)
            await until(lambda: bool(records.told()))
    got = [
        (event.trade_id, event.price, event.quantity, event.first_trade_id, event.trade_time)
        for event in records.only(AggregateTrade)
    ]
    assert got == [
        (str(item["a"]), item["p"], item["q"], str(item["f"]), item["T"] * 1000) for item in sent
    ]
    assert records.told() == [(StreamState.HEALED, first, last)]
    assert (healer.healed, healer.unhealable) == (len(sent), 0)
    healed = structs.replace(origin(market=market), source=Source.BINANCE_REST)
    assert {event.origin for event in records.events} == {healed}
    assert records.forgotten == [healed]


async def test_single_trades_of_spot_are_fetched_too():
    app, messages = simulated(Market.SPOT)
    sent = [data for channel, data in messages if channel == "trade"][5:1505]
    records = Records()
    async with served(app) as rest:
        healer = Healer(rest, records, SystemClock())
        healer.add(origin("trade"), sent[0]["t"], sent[-1]["t"])
        async with running(healer):
            await until(lambda: bool(records.told()))
    got = [(event.trade_id, event.price, event.quantity) for event in records.only(Trade)]
    assert got == [(str(item["t"]), item["p"], item["q"]) for item in sent]


async def test_holes_that_touch_or_overlap_are_asked_for_once():
    asked = []

    async def handler(call):
        asked.append((int(call.query["fromId"]), int(call.query["limit"])))
        return rows(call, set(range(100)))

    records = Records()
    async with venue(handler) as rest:
        healer = Healer(rest, records, SystemClock())
        for first, last in ((10, 19), (20, 29), (15, 40), (60, 61), (5, 4)):
            healer.add(origin(), first, last)
        async with running(healer):
            await until(lambda: len(records.told()) == 2)
    assert asked == [(10, 31), (60, 2)]
    assert records.told() == [(StreamState.HEALED, 10, 40), (StreamState.HEALED, 60, 61)]


async def test_what_the_venue_skips_is_named_by_first_and_last_id():
    async def handler(call):
        return rows(call, {*range(1, 1200), *range(1205, 3000)})

    records = Records()
    async with venue(handler) as rest:
        healer = Healer(rest, records, SystemClock())
        healer.add(origin(), 1, 2000)
        async with running(healer):
            await until(lambda: len(records.told()) == 3)
    assert records.told() == [
        (StreamState.HEALED, 1, 1199),
        (StreamState.UNHEALABLE, 1200, 1204),
        (StreamState.HEALED, 1205, 2000),
    ]
    assert (healer.healed, healer.unhealable, healer.missing) == (1995, 5, 0)
    assert len(records.only(AggregateTrade)) == 1995


async def test_a_long_hole_that_the_venue_has_forgotten_takes_one_call():
    calls = []

    async def handler(call: web.Request) -> web.Response:
        calls.append(int(call.query["fromId"]))
        return rows(call, {500_000, 500_001})

    records = Records()
    async with venue(handler) as rest:
        healer = Healer(rest, records, SystemClock())
        healer.add(origin(), 1, 500_001)
        async with running(healer):
            await until(lambda: healer.healed == 2)
    assert calls == [1, 500_000]
    assert records.told() == [
        (StreamState.UNHEALABLE, 1, 499_999),
        (StreamState.HEALED, 500_000, 500_001),
    ]


async def test_what_futures_rest_has_forgotten_is_left_to_the_archive():
    async def handler(call: web.Request) -> web.Response:
        return rows(call, {500_000, 500_001})

    records = Records()
    async with venue(handler) as rest:
        healer = Healer(rest, records, SystemClock())
        healer.add(origin(market=Market.UM), 1, 500_001)
        async with running(healer):
            await until(lambda: healer.healed == 2)
    assert records.told() == [(StreamState.HEALED, 500_000, 500_001)]
    assert (healer.left, healer.missing, healer.unhealable) == (499_999, 0, 0)


async def test_a_range_that_futures_rest_refuses_is_left_to_the_archive():
    async def handler(_call):
        return web.Response(status=400, text='{"code":-4188,"msg":"too old"}')

    records = Records()
    async with venue(handler) as rest:
        healer = Healer(rest, records, SystemClock())
        healer.add(origin(market=Market.UM), 1, 10)
        async with running(healer):
            await until(lambda: healer.left == 10)
    assert (records.told(), healer.missing) == ([], 0)


async def test_streams_take_turns():
    order = []

    async def handler(call):
        order.append(call.query["symbol"])
        return rows(call, set(range(3001)))

    records = Records()
    async with venue(handler) as rest:
        healer = Healer(rest, records, SystemClock())
        healer.add(origin(symbol="A"), 1, 3000)
        healer.add(origin(symbol="B"), 1, 1)
        async with running(healer):
            await until(lambda: not healer.missing)
    assert order == ["A", "B", "A", "A"]


async def test_while_the_venue_is_in_trouble_it_is_asked_again_and_nothing_is_given_up():
    clock, is_up, calls = SettableClock(0), False, 0

    async def handler(call):
        nonlocal calls
        calls += 1
        # 403 is the firewall's: neither an outage, which the pool repeats, nor a word about ids.
        return rows(call, set(range(10))) if is_up else web.Response(status=403)

    records = Records()
    async with venue(handler) as rest:
        healer = Healer(rest, records, clock)
        healer.add(origin(), 1, 5)
        async with running(healer):
            await until(lambda: calls == 2)
            for number in range(3, 8):
                await pass_time(healer, clock, 400)
                await until(lambda number=number: calls == number)
            assert (records.told(), healer.missing) == ([], 5)
            is_up = True
            await pass_time(healer, clock, 400)
            await until(lambda: not healer.missing)
            await until(lambda: bool(records.told()))
    assert records.told() == [(StreamState.HEALED, 1, 5)]


async def test_ids_that_rest_does_not_know_yet_are_asked_again_and_at_last_given_up():
    clock, have, calls = SettableClock(0), {1, 2}, 0

    async def handler(call):
        nonlocal calls
        calls += 1
        return rows(call, have)

    records = Records()
    async with venue(handler) as rest:
        healer = Healer(rest, records, clock)
        healer.add(origin(), 1, 4)
        async with running(healer):
            await until(lambda: calls == 3)
            assert healer.missing == 2
            for number in range(4, 8):
                await pass_time(healer, clock, 50)
                await until(lambda number=number: calls == number)
            await until(lambda: not healer.missing)
            await until(lambda: len(records.told()) == 2)
    assert records.told() == [(StreamState.HEALED, 1, 2), (StreamState.UNHEALABLE, 3, 4)]


async def test_a_symbol_that_the_venue_does_not_list_is_given_up_with_its_words():
    async def handler(_call):
        return web.Response(status=400, text='{"code":-1121,"msg":"Invalid symbol."}')

    records = Records()
    async with venue(handler) as rest:
        healer = Healer(rest, records, SystemClock())
        healer.add(origin(), 1, 2500)
        async with running(healer):
            await until(lambda: bool(records.told()))
    assert records.told() == [(StreamState.UNHEALABLE, 1, 2500)]
    assert "Invalid symbol" in records.only(StreamStatus)[0].reason


async def test_a_body_that_cannot_be_read_is_a_dead_letter_and_asked_for_again():
    answers = iter([web.Response(text="<html>")])

    async def handler(call):
        return next(answers, None) or rows(call, {1, 2})

    records = Records()
    async with venue(handler) as rest:
        healer = Healer(rest, records, SystemClock())
        healer.add(origin(), 1, 2)
        async with running(healer):
            await until(lambda: bool(records.told()))
    assert [letter.payload for letter in records.only(DeadLetter)] == ["<html>"]
    assert records.told() == [(StreamState.HEALED, 1, 2)]


async def test_a_publisher_that_is_full_is_waited_for():
    async def handler(call):
        return rows(call, {1})

    records = Records()
    records.is_full = True
    async with venue(handler) as rest:
        healer = Healer(rest, records, SystemClock())
        healer.add(origin(), 1, 1)
        async with running(healer):
            await until(lambda: records.waits == 1)
    assert records.told() == [(StreamState.HEALED, 1, 1)]


async def test_a_stop_tells_what_was_healed_until_then():
    is_second = asyncio.Event()

    async def handler(call):
        if call.query["fromId"] != "1":
            is_second.set()
            await asyncio.sleep(0.2)
        return rows(call, set(range(2001)))

    records = Records()
    async with venue(handler) as rest:
        healer = Healer(rest, records, SystemClock())
        healer.add(origin(), 1, 2000)
        async with running(healer):
            await asyncio.wait_for(is_second.wait(), 10)
    assert records.told() == [(StreamState.HEALED, 1, 1000)]
    assert healer.missing == 1000


async def test_what_cannot_be_fetched_by_id_is_told_at_once():
    records = Records()
    async with served(web.Application()) as rest:
        healer = Healer(rest, records, SystemClock())
        healer.add(origin("trade", Market.UM), 7, 9)
    assert records.told() == [(StreamState.UNHEALABLE, 7, 9)]
    assert healer.missing == 0


async def test_statuses_that_name_no_missing_trades_are_ignored():
    records = Records()
    async with served(web.Application()) as rest:
        healer = Healer(rest, records, SystemClock())
        gap = StreamStatus(
            origin=origin(),
            received_ns=1,
            event_time=None,
            state=StreamState.GAP,
            reason="",
            expected=3,
            received=5,
        )
        healer.take(structs.replace(gap, state=StreamState.BROKEN))
        healer.take(structs.replace(gap, expected=None))
        healer.take(structs.replace(gap, received=None))
        healer.take(structs.replace(gap, origin=origin("depth@100ms")))
        assert healer.missing == 0
        healer.take(gap)
        assert healer.missing == 2


async def test_more_holes_than_may_wait_stay_open_and_merging_ones_still_fit(monkeypatch):
    monkeypatch.setattr(module, "_MOST_HOLES", 2)
    records = Records()
    async with served(web.Application()) as rest:
        with capture_logs() as logs:
            healer = Healer(rest, records, SystemClock())
            healer.add(origin(), 1, 2)
            healer.add(origin(symbol="B"), 1, 2)
            healer.add(origin(), 9, 9)
            healer.add(origin(symbol="C"), 4, 5)
            healer.add(origin(), 3, 4)
    assert [(line["first_id"], line["last_id"]) for line in logs] == [(9, 9), (4, 5)]
    assert records.told() == []
    assert (healer.missing, healer.unhealable) == (6, 0)
