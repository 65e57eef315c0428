"""Against a real HTTP server on loopback; the clock is set by hand where minutes matter."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from shared.clock import SettableClock, SystemClock
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from streaming.config import RestLimits
from streaming.errors import VenueError
from streaming.exchanges.protocol import FetchSnapshot
from streaming.rest import Priority, RestPool

BTC = Subscription(Instrument(Exchange.BINANCE, Market.SPOT, "BTCUSDT", "BTCUSDT"), "depth@100ms")
LIMITS = RestLimits(150, "x-used")


def request(path: str = "/depth", weight: int = 50, not_before_ns: int = 0) -> FetchSnapshot:
    return FetchSnapshot(BTC, path, weight, not_before_ns)


@pytest.fixture
async def venue():
    """Start servers by handler; each returns its address."""
    runners = []

    async def start(handler: Callable[[web.Request], Awaitable[web.Response]]) -> str:
        app = web.Application()
        app.router.add_get("/depth", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def blocked(task: asyncio.Task) -> bool:
    """Say whether a task has to wait for more than the network."""
    done, _ = await asyncio.wait([task], timeout=0.3)
    return not done


async def test_calls_go_one_at_a_time_and_in_order(venue):
    running, most, seen = 0, 0, []

    async def handler(call):
        nonlocal running, most
        running += 1
        most = max(most, running)
        seen.append(call.query["n"])
        await asyncio.sleep(0.02)
        running -= 1
        return web.Response(body=call.query["n"].encode())

    rest = RestPool(await venue(handler), RestLimits(10_000, "x-used"), SystemClock())
    bodies = await asyncio.gather(*(rest.fetch(request(f"/depth?n={n}")) for n in range(5)))
    await rest.close()
    assert bodies == [b"0", b"1", b"2", b"3", b"4"]
    assert (most, seen) == (1, ["0", "1", "2", "3", "4"])


async def test_a_call_that_would_exceed_the_minute_waits_for_the_next(venue):
    async def handler(_call):
        return web.Response(body=b"{}")

    rest = RestPool(await venue(handler), LIMITS, SettableClock(0))
    await rest.fetch(request())
    await rest.fetch(request())
    third = asyncio.create_task(rest.fetch(request()))
    assert await blocked(third)
    third.cancel()
    await rest.close()


async def test_a_new_minute_has_its_whole_budget(venue):
    async def handler(_call):
        return web.Response(body=b"{}")

    clock = SettableClock(0)
    rest = RestPool(await venue(handler), LIMITS, clock)
    for _ in range(2):
        await rest.fetch(request())
    clock.advance(60_000_000_000)
    assert await rest.fetch(request()) == b"{}"
    await rest.close()


async def test_the_venue_is_believed_where_it_counts_more(venue):
    async def handler(_call):
        return web.Response(body=b"{}", headers={"x-used": "149"})

    rest = RestPool(await venue(handler), LIMITS, SettableClock(0))
    await rest.fetch(request(weight=1))
    second = asyncio.create_task(rest.fetch(request(weight=2)))
    assert await blocked(second)
    second.cancel()
    await rest.close()


@pytest.mark.parametrize(
    ("status", "after"), [(429, "30"), (418, "soon"), (418, None), (429, "inf")]
)
async def test_a_refusal_stops_every_call_until_its_time_is_over(venue, status, after):
    calls = 0

    async def handler(_call):
        nonlocal calls
        calls += 1
        headers = {} if after is None else {"Retry-After": after}
        return web.Response(status=status, text="too much", headers=headers)

    clock = SettableClock(0)
    rest = RestPool(await venue(handler), RestLimits(10_000, "x-used"), clock)
    with pytest.raises(VenueError, match=f"HTTP {status}: too much"):
        await rest.fetch(request())
    held = asyncio.create_task(rest.fetch(request()))
    assert await blocked(held)
    held.cancel()
    assert calls == 1
    clock.advance(60_000_000_000)
    with pytest.raises(VenueError):
        await rest.fetch(request())
    assert calls == 2
    await rest.close()


async def test_a_refetch_is_not_made_before_its_time(venue):
    async def handler(_call):
        return web.Response(body=b"{}")

    rest = RestPool(await venue(handler), LIMITS, SettableClock(0))
    held = asyncio.create_task(rest.fetch(request(not_before_ns=5_000_000_000)))
    assert await blocked(held)
    held.cancel()
    await rest.close()


async def test_a_server_that_is_not_there_is_a_venue_error(unused_tcp_port):
    rest = RestPool(f"http://127.0.0.1:{unused_tcp_port}", LIMITS, SystemClock())
    with pytest.raises(VenueError) as caught:
        await rest.fetch(request(weight=1))
    assert (caught.value.url, caught.value.status, caught.value.is_outage) == ("/depth", None, True)
    await rest.close()


async def test_a_server_in_trouble_is_asked_again(venue):
    answers = iter([web.Response(status=503), web.Response(status=502), web.Response(body=b"{}")])

    async def handler(_call):
        return next(answers)

    rest = RestPool(await venue(handler), LIMITS, SystemClock())
    assert await rest.fetch(request(weight=1)) == b"{}"
    assert next(answers, None) is None
    await rest.close()


async def test_a_call_that_the_venue_refuses_is_not_repeated(venue):
    calls = 0

    async def handler(_call):
        nonlocal calls
        calls += 1
        return web.Response(status=400, text='{"code":-1121,"msg":"Invalid symbol."}')

    rest = RestPool(await venue(handler), LIMITS, SystemClock())
    with pytest.raises(VenueError, match="Invalid symbol") as caught:
        await rest.fetch(request())
    assert (calls, caught.value.status, caught.value.is_outage) == (1, 400, False)
    await rest.close()


async def test_snapshots_overtake_the_healing_that_waits_and_each_kind_keeps_its_order(venue):
    seen, is_free = [], asyncio.Event()

    async def handler(call):
        seen.append(call.query["n"])
        await is_free.wait()
        return web.Response(body=b"{}")

    rest = RestPool(await venue(handler), RestLimits(10_000, "x-used"), SystemClock())
    asked = [("h0", 1), ("h1", 1), ("s0", 0), ("h2", 1), ("s1", 0)]
    calls = [
        asyncio.create_task(rest.get(f"/depth?n={n}", 1, Priority(priority)))
        for n, priority in asked
    ]
    await asyncio.wait(calls, timeout=0.2)
    is_free.set()
    await asyncio.gather(*calls)
    assert seen in (["h0", "s0", "s1", "h1", "h2"], ["s0", "s1", "h0", "h1", "h2"])
    await rest.close()


async def test_healing_and_snapshots_leave_each_other_a_part_of_the_minute(venue):
    async def handler(_call):
        return web.Response(body=b"{}")

    rest = RestPool(await venue(handler), LIMITS, SettableClock(0))
    await rest.get("/depth", 75, Priority.HEALING)
    held = asyncio.create_task(rest.get("/depth", 1, Priority.HEALING))
    assert await blocked(held)
    assert await rest.fetch(request()) == b"{}", "a snapshot passes the healing that waits"
    held.cancel()
    await rest.close()
    rest = RestPool(await venue(handler), LIMITS, SettableClock(0))
    for _ in range(2):
        await rest.fetch(request())
    held = asyncio.create_task(rest.fetch(request()))
    assert await blocked(held)
    assert await rest.get("/depth", 50, Priority.HEALING) == b"{}", "healing passes it in turn"
    held.cancel()
    await rest.close()


async def test_while_nobody_answers_calls_wait_until_one_probe_comes_through(venue):
    seen, is_up = [], False

    async def handler(call):
        seen.append(call.query["n"])
        return web.Response(status=200 if is_up else 500)

    clock = SettableClock(0)
    rest = RestPool(await venue(handler), RestLimits(10_000, "x-used"), clock)
    failed = await asyncio.gather(
        *(rest.fetch(request(f"/depth?n={n}")) for n in range(2)), return_exceptions=True
    )
    assert [error.status for error in failed] == [500, 500]
    held = [asyncio.create_task(rest.fetch(request(f"/depth?n={n}"))) for n in "ab"]
    assert await blocked(held[0])
    assert len(seen) == 6
    is_up = True
    clock.advance(7_000_000_000)
    last = asyncio.create_task(rest.fetch(request("/depth?n=c")))
    await asyncio.wait_for(asyncio.gather(*held, last), 5)
    assert seen[6:] == ["a", "b", "c"]
    await rest.close()


async def test_a_call_whose_asker_went_away_is_not_made(venue):
    seen, is_free = [], asyncio.Event()

    async def handler(call):
        seen.append(call.query["n"])
        await is_free.wait()
        return web.Response(body=call.query["n"].encode())

    rest = RestPool(await venue(handler), RestLimits(10_000, "x-used"), SystemClock())
    calls = [asyncio.create_task(rest.fetch(request(f"/depth?n={n}"))) for n in range(3)]
    await asyncio.wait(calls, timeout=0.2)
    calls[0].cancel()
    calls[1].cancel()
    is_free.set()
    assert await calls[2] == b"2"
    assert seen == ["0", "2"]
    await rest.close()


async def test_closing_cancels_whoever_waits(venue):
    is_over = asyncio.Event()

    async def handler(_call):
        await is_over.wait()
        return web.Response()

    rest = RestPool(await venue(handler), LIMITS, SystemClock())
    calls = [asyncio.create_task(rest.fetch(request())) for _ in range(2)]
    await asyncio.wait(calls, timeout=0.2)
    await rest.close()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2
    is_over.set()


async def test_calls_share_one_connection_that_stays_open(venue):
    ports = set()

    async def handler(call):
        ports.add(call.transport.get_extra_info("peername")[1])
        return web.Response(body=b"{}")

    rest = RestPool(await venue(handler), LIMITS, SystemClock())
    for _ in range(3):
        await rest.fetch(request(weight=1))
    assert len(ports) == 1
    await rest.close()


async def test_what_nobody_foresaw_reaches_the_asker_and_the_next_call_goes_on(venue):
    async def handler(_call):
        return web.Response(body=b"{}")

    rest = RestPool(await venue(handler), LIMITS, SystemClock())
    with pytest.raises(VenueError, match="InvalidURL"):
        await rest.fetch(request("/\x00", weight=1))
    assert await rest.fetch(request()) == b"{}"
    await rest.close()


async def test_http_2_is_offered_to_a_venue_that_speaks_tls():
    hellos = []

    async def take_hello(reader, writer):
        hellos.append(await reader.read(4096))
        writer.close()

    async with await asyncio.start_server(take_hello, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        rest = RestPool(f"https://127.0.0.1:{port}", LIMITS, SystemClock())
        with pytest.raises(VenueError):
            await rest.fetch(request(weight=1))
        await rest.close()
    protocols = b"\x02h2"  # as the ALPN extension writes it, length first
    assert all(protocols in hello for hello in hellos)
    assert hellos
