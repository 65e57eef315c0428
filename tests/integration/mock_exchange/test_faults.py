"""Faults over real sockets: what a subscriber sees of them, and what `/truth` says of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from mock_exchange.fault_kinds import decode_faults
from mock_exchange.listings import LISTINGS
from mock_exchange.server import MockServer
from mock_exchange.simulation import Simulation
from shared.clock import SystemClock
from shared.market.instruments import Market

TRADES = "btcusdt@aggTrade"
DEPTH = "btcusdt@depth@100ms"
HUGE = {"kind": "huge", "bytes": 100_000}


@dataclass
class Mock:
    spot: str
    control: httpx.AsyncClient

    def connect(self, *streams: str) -> connect:
        # Without a limit of its queue the client reads on while the test does not, as closing needs.
        return connect(f"ws://{self.spot}/stream?streams={'/'.join(streams)}", max_queue=None)

    async def fault(self, **fault: object) -> None:
        answer = await self.control.post("/faults", json=fault)
        assert answer.status_code == 200, answer.text

    async def applied(self) -> list[int]:
        faults = (await self.control.get("/faults")).json()["faults"]
        return [fault["applied"] for fault in faults]

    async def truth(self, stream: str) -> dict:
        answer = await self.control.get("/truth", params={"market": "spot", "stream": stream})
        return answer.json()


@pytest.fixture
def mock_exchange(serving):
    """Runs a simulated venue with a scenario."""

    @asynccontextmanager
    async def run(*scenario: dict) -> AsyncIterator[Mock]:
        server = MockServer(SystemClock(), decode_faults(list(scenario)))
        names = [(Market.SPOT, LISTINGS["BTCUSDT"])]
        server.venue = Simulation(names, 1, 50, 1000, server, SystemClock())
        async with (
            serving(server) as (spot, control),
            httpx.AsyncClient(base_url=f"http://{control}", trust_env=False) as client,
        ):
            yield Mock(spot, client)

    return run


async def messages(client: ClientConnection, count: int) -> list[dict]:
    async with asyncio.timeout(20):
        return [json.loads(await client.recv()) for _ in range(count)]


def ids(frames: list[dict]) -> list[int]:
    return [frame["data"]["a"] for frame in frames]


def chains(numbers: list[int]) -> list[list[int]]:
    """The ranges that /truth should show for ids in this order."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges


async def test_truth_is_what_the_client_received_and_the_venue_had_more(mock_exchange):
    async with mock_exchange() as mock:
        async with mock.connect(TRADES) as client:
            seen = ids(await messages(client, 30))
            await client.close()
            async for text in client:  # what was on its way when the close frame passed it
                seen.append(json.loads(text)["data"]["a"])
        account = (await mock.truth(TRADES))["clients"][0]
        assert account["closed_ns"] > account["opened_ns"]
        assert account["ranges"] == chains(seen) == [[seen[0], seen[-1]]]
        assert account["count"] == len(seen)
        venue = (await mock.truth(TRADES))["venue"]
        assert venue["first"] <= seen[0]
        assert venue["count"] == venue["last"] - venue["first"] + 1
        depth = (await mock.truth(DEPTH))["venue"]
        assert len(depth["ranges"]) == 1  # sent to nobody, but accounted for, and one chain


async def test_a_drop_resets_the_matching_connection_only(mock_exchange):
    async with mock_exchange() as mock, mock.connect(TRADES) as trades, mock.connect(DEPTH) as book:
        await messages(trades, 1)
        await mock.fault(kind="drop", streams="*@aggTrade")
        with pytest.raises(ConnectionClosedError) as ended:
            await messages(trades, 10_000)
        assert ended.value.rcvd is None  # no close frame: cut
        await messages(book, 3)
        assert (await mock.control.get("/clients")).json()["clients"][0]["streams"] == [DEPTH]


async def test_a_close_says_its_code(mock_exchange):
    async with mock_exchange() as mock, mock.connect(TRADES) as client:
        await mock.fault(kind="close", code=1001, reason="24 h")
        with pytest.raises(ConnectionClosed) as ended:
            await messages(client, 10_000)
        assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1001, "24 h")


async def test_silence_stops_one_channel_until_it_is_lifted(mock_exchange):
    async with mock_exchange() as mock, mock.connect(TRADES, DEPTH) as client:
        await mock.fault(kind="silence", streams="*@aggTrade")
        # What comes after this answer was sent after the fault began.
        await client.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 9}))
        async with asyncio.timeout(20):
            while "id" not in json.loads(await client.recv()):
                pass
        frames = [frame["stream"] for frame in await messages(client, 10)]
        assert frames == [DEPTH] * 10
        assert (await mock.applied())[0] > 0
        assert (await mock.control.delete("/faults")).json() == {"lifted": 1}
        async with asyncio.timeout(20):
            while json.loads(await client.recv())["stream"] != TRADES:
                pass
        account = (await mock.truth(TRADES))["clients"][0]
        venue = (await mock.truth(TRADES))["venue"]
        assert account["count"] < venue["count"]


async def test_silent_new_connections_are_acknowledged(mock_exchange):
    async with mock_exchange() as mock, mock.connect(TRADES) as old:
        await mock.fault(kind="silence", new_connections=True)
        async with mock.connect() as new:
            await new.send(json.dumps({"method": "SUBSCRIBE", "params": [TRADES], "id": 1}))
            assert json.loads(await new.recv()) == {"result": None, "id": 1}
            await messages(old, 30)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await new.recv()


async def test_skipped_trades_are_missing_and_rest_still_tells_them(mock_exchange):
    async with mock_exchange() as mock:
        async with mock.connect(TRADES) as client:
            seen = ids(await messages(client, 5))
            await mock.fault(kind="skip", streams=TRADES, count=3)
            while len(ranges := chains(seen)) < 2 or len(seen) < 30:
                seen += ids(await messages(client, 1))
            account = (await mock.truth(TRADES))["clients"][0]
        missing = list(range(ranges[0][1] + 1, ranges[1][0]))
        assert len(missing) == 3
        assert account["ranges"][0] == ranges[0]
        assert account["ranges"][1][0] == ranges[1][0]
        query = f"symbol=BTCUSDT&fromId={missing[0]}&limit=3"
        async with httpx.AsyncClient(trust_env=False) as rest:
            rows = (await rest.get(f"http://{mock.spot}/api/v3/aggTrades?{query}")).json()
            assert [row["a"] for row in rows] == missing
            query = f"symbol=BTCUSDT&fromId={rows[0]['f']}&limit=1000"
            fills = (await rest.get(f"http://{mock.spot}/api/v3/historicalTrades?{query}")).json()
        assert [fill["id"] for fill in fills][:2] == [rows[0]["f"], rows[0]["f"] + 1]


async def test_repeats_and_damage_show_in_the_account(mock_exchange):
    async with mock_exchange() as mock, mock.connect(TRADES) as client:
        await messages(client, 1)
        texts: list[str] = []
        faults = ({"kind": "repeat"}, {"kind": "malform", "how": "text"}, HUGE)
        for number, fault in enumerate(faults, 1):
            await mock.fault(**fault)
            async with asyncio.timeout(20):
                while await mock.applied() != [1] * number:
                    texts.append(await client.recv())
        async with asyncio.timeout(20):
            while len(texts[-1]) < HUGE["bytes"]:
                texts.append(await client.recv())
        seen = [json.loads(text)["data"]["a"] for text in texts if text.startswith("{")]
        assert len(seen) - len(set(seen)) == 1
        account = (await mock.truth(TRADES))["clients"][0]
        assert account["spoiled"] == 1 == sum(not text.startswith("{") for text in texts)


async def test_a_dripping_stream_is_late_and_in_order_and_others_are_not(mock_exchange):
    async with mock_exchange() as mock, mock.connect(TRADES, DEPTH) as client:
        await mock.fault(kind="drip", streams=TRADES, delay_ms=1500, for_s=3)
        frames = await messages(client, 200)
        trades = [frame["data"] for frame in frames if frame["stream"] == TRADES]
        assert chains([trade["a"] for trade in trades]) == [[trades[0]["a"], trades[-1]["a"]]]
        late = False
        newest = 0
        for frame in frames:
            newest = max(newest, frame["data"]["E"])
            late = late or newest - frame["data"]["E"] > 1000
        assert late


async def test_server_shutdown_gives_notice_and_then_closes(mock_exchange):
    async with (
        mock_exchange({"kind": "server_shutdown", "at_s": 0.2, "close_after_s": 0.5}) as mock,
        mock.connect() as client,
    ):
        await client.send(json.dumps({"method": "SUBSCRIBE", "params": [TRADES], "id": 1}))
        async with asyncio.timeout(20):
            frames = [json.loads(text) async for text in client]
        streams = [frame.get("stream") for frame in frames]
        notice = frames[streams.index("!serverShutdown")]["data"]
        assert notice["e"] == "serverShutdown"
        assert streams[-1] == TRADES  # data went on until the end
        assert client.close_code == 1001


async def test_rest_is_refused_for_as_many_calls_as_asked(mock_exchange):
    async with mock_exchange() as mock, httpx.AsyncClient(trust_env=False) as rest:
        depth = f"http://{mock.spot}/api/v3/depth?symbol=BTCUSDT"
        await mock.fault(kind="rest_error", status=429, retry_after_s=7, calls="depth", count=2)
        answers = [await rest.get(depth) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [429, 429, 200]
        assert answers[0].headers["Retry-After"] == "7"
        assert answers[0].json()["code"] == -1003
        assert (await rest.get(f"http://{mock.spot}/api/v3/time")).status_code == 200


async def test_a_stale_snapshot_is_older_and_a_skewed_clock_is_off(mock_exchange):
    async with mock_exchange() as mock, httpx.AsyncClient(trust_env=False) as rest:
        depth = f"http://{mock.spot}/api/v3/depth?symbol=BTCUSDT"
        async with mock.connect(DEPTH) as client:
            first = (await messages(client, 1))[0]["data"]["U"]
            await mock.fault(kind="snapshot", stale=True, count=1)
            assert (await rest.get(depth)).json()["lastUpdateId"] < first
            assert (await rest.get(depth)).json()["lastUpdateId"] >= first
            await mock.fault(kind="clock_skew", ms=-60_000)
            times = [frame["data"]["E"] for frame in await messages(client, 4)]
        now = (await rest.get(f"http://{mock.spot}/api/v3/time")).json()["serverTime"]
        assert abs(now - times[-1]) < 10_000
        assert SystemClock().now_ns() // 1_000_000 - now > 50_000


async def test_new_connections_are_refused_for_a_time(mock_exchange):
    async with mock_exchange() as mock:
        await mock.fault(kind="refuse", for_s=600, status=403)
        with pytest.raises(InvalidStatus) as refused:
            await mock.connect(TRADES)
        assert refused.value.response.status_code == 403
        await mock.control.delete("/faults")
        async with mock.connect(TRADES) as client:
            await messages(client, 1)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{", "not JSON"),
        ('{"kind": "skip", "count": "2"}', "entry 1: Expected `int`, got `str` - at `$.count`"),
        (
            '[{"kind": "skip"}, {"kind": "drip"}]',
            "entry 2: Object missing required field `delay_ms`",
        ),
    ],
)
async def test_a_bad_fault_is_refused_by_name(mock_exchange, body, text):
    async with mock_exchange() as mock:
        answer = await mock.control.post("/faults", content=body)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith(text)
        assert await mock.applied() == []


async def test_truth_says_what_is_wrong_with_a_question(mock_exchange):
    async with mock_exchange() as mock:
        assert (await mock.control.get("/truth")).json()["error"].startswith("`market` is missing")
        for query, status in (("market=x&stream=y", 400), ("market=spot&stream=y", 404)):
            assert (await mock.control.get(f"/truth?{query}")).status_code == status
