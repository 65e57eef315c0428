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
from streaming.snapshots import SnapshotFetcher

BTC = Subscription(Instrument(Exchange.BINANCE, Market.SPOT, "BTCUSDT", "BTCUSDT"), "depth@100ms")
LIMITS = RestLimits(100, "x-used")


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

    fetcher = SnapshotFetcher(await venue(handler), RestLimits(10_000, "x-used"), SystemClock())
    bodies = await asyncio.gather(*(fetcher.fetch(request(f"/depth?n={n}")) for n in range(5)))
    await fetcher.close()
    assert bodies == [b"0", b"1", b"2", b"3", b"4"]
    assert (most, seen) == (1, ["0", "1", "2", "3", "4"])


async def test_a_call_that_would_exceed_the_minute_waits_for_the_next(venue):
    async def handler(_call):
        return web.Response(body=b"{}")

    fetcher = SnapshotFetcher(await venue(handler), LIMITS, SettableClock(0))
    await fetcher.fetch(request())
    await fetcher.fetch(request())
    third = asyncio.create_task(fetcher.fetch(request()))
    assert await blocked(third)
    third.cancel()
    await fetcher.close()


async def test_a_new_minute_has_its_whole_budget(venue):
    async def handler(_call):
        return web.Response(body=b"{}")

    clock = SettableClock(0)
    fetcher = SnapshotFetcher(await venue(handler), LIMITS, clock)
    for _ in range(2):
        await fetcher.fetch(request())
    clock.advance(60_000_000_000)
    assert await fetcher.fetch(request()) == b"{}"
    await fetcher.close()


async def test_the_venue_is_believed_where_it_counts_more(venue):
    async def handler(_call):
        return web.Response(body=b"{}", headers={"x-used": "99"})

    fetcher = SnapshotFetcher(await venue(handler), LIMITS, SettableClock(0))
    await fetcher.fetch(request(weight=1))
    second = asyncio.create_task(fetcher.fetch(request(weight=2)))
    assert await blocked(second)
    second.cancel()
    await fetcher.close()


@pytest.mark.parametrize(("status", "after"), [(429, "30"), (418, "soon"), (418, None)])
async def test_a_refusal_stops_every_call_until_its_time_is_over(venue, status, after):
    calls = 0

    async def handler(_call):
        nonlocal calls
        calls += 1
        headers = {} if after is None else {"Retry-After": after}
        return web.Response(status=status, text="too much", headers=headers)

    clock = SettableClock(0)
    fetcher = SnapshotFetcher(await venue(handler), RestLimits(10_000, "x-used"), clock)
    with pytest.raises(VenueError, match=f"HTTP {status}: too much"):
        await fetcher.fetch(request())
    held = asyncio.create_task(fetcher.fetch(request()))
    assert await blocked(held)
    held.cancel()
    assert calls == 1
    clock.advance(60_000_000_000)
    with pytest.raises(VenueError):
        await fetcher.fetch(request())
    assert calls == 2
    await fetcher.close()


async def test_a_refetch_is_not_made_before_its_time(venue):
    async def handler(_call):
        return web.Response(body=b"{}")

    fetcher = SnapshotFetcher(await venue(handler), LIMITS, SettableClock(0))
    held = asyncio.create_task(fetcher.fetch(request(not_before_ns=5_000_000_000)))
    assert await blocked(held)
    held.cancel()
    await fetcher.close()


async def test_a_server_that_is_not_there_is_a_venue_error(unused_tcp_port):
    fetcher = SnapshotFetcher(f"http://127.0.0.1:{unused_tcp_port}", LIMITS, SystemClock())
    with pytest.raises(VenueError) as caught:
        await fetcher.fetch(request())
    assert caught.value.url == "/depth"
    await fetcher.close()
