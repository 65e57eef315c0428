"""A recording that is played: REST and `/truth` tell what was sent, faults apply as in a simulation."""

import asyncio
import gzip
import io
import json
import zipfile
from pathlib import Path

import httpx
from aiohttp import web
from websockets.asyncio.client import connect

from mock_exchange.fault_kinds import decode_faults
from mock_exchange.player import Player
from mock_exchange.server import MockServer
from shared.clock import SystemClock
from shared.market.instruments import Market
from shared.market.recording import Frame, FrameKind, write_frame

TRADES = "btcusdt@aggTrade"
DEPTH = "btcusdt@depth@100ms"


def trade(number: int) -> dict:
    return {"e": "aggTrade", "E": number, "s": "BTCUSDT", "a": number, "p": "1.0", "q": "2.0"} | {
        "f": number * 2,
        "l": number * 2 + 1,
        "T": 1000 + number,
        "m": True,
    }


def delta(number: int) -> dict:
    return {"e": "depthUpdate", "U": number, "u": number, "b": [["1.0", "1.0"]], "a": []}


def recording(path: Path) -> Path:
    """Twenty trades and deltas of spot, with the snapshot that the deltas join."""
    ws, rest = "wss://stream.binance.com/stream", "https://api.binance.com/api/v3/depth"
    with gzip.open(path, "wb") as file:
        for number in range(1, 21):
            for stream, data in ((TRADES, trade(number)), (DEPTH, delta(number))):
                text = json.dumps({"stream": stream, "data": data}, separators=(",", ":"))
                write_frame(file, Frame(number * 1000, FrameKind.WS, ws, text))
            if number == 5:
                book = json.dumps({"lastUpdateId": 5, "bids": [["1.0", "1.0"]], "asks": []})
                url = f"{rest}?symbol=BTCUSDT&limit=1000"
                write_frame(file, Frame(number * 1000, FrameKind.HTTP, url, book))
    return path


async def test_coin_margined_frames_of_our_own_recorder_are_played(tmp_path):
    path = tmp_path / "own.jsonl.gz"
    stream = "btcusd_perp@depth@100ms"
    address, connection = "ws://127.0.0.1:9472/stream", "binance-cm-0"
    book = json.dumps({"lastUpdateId": 1, "bids": [["1.0", "1.0"]], "asks": []})
    asked = "http://127.0.0.1:9472/dapi/v1/depth?symbol=BTCUSD_PERP&limit=1000"
    with gzip.open(path, "wb") as file:
        write_frame(file, Frame(1, FrameKind.HTTP, asked, book, connection, 1))
        for number in (1, 2, 3):
            data = delta(number) | {"pu": number - 1}
            text = json.dumps({"stream": stream, "data": data}, separators=(",", ":"))
            write_frame(file, Frame(number, FrameKind.WS, address, text, connection, 1))
    server = MockServer(SystemClock())
    server.venue = Player([path], server, SystemClock())
    runner = web.AppRunner(server.app(Market.CM), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    running = asyncio.create_task(server.run())
    place = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with (
            asyncio.timeout(20),
            httpx.AsyncClient(trust_env=False) as http,
            connect(f"ws://{place}/stream?streams={stream}") as client,
        ):
            depth = f"http://{place}/dapi/v1/depth?symbol=BTCUSD_PERP"
            assert (await http.get(depth)).json()["lastUpdateId"] == 1
            seen = [json.loads(await client.recv())["data"]["u"] for _ in range(3)]
            assert seen == [1, 2, 3]
            assert (await http.get(depth)).json()["lastUpdateId"] == 3
    finally:
        running.cancel()
        await runner.cleanup()


async def test_what_was_played_can_be_told_again_by_id(serving, tmp_path):
    server = MockServer(
        SystemClock(),
        decode_faults(
            [
                {"kind": "skip", "streams": TRADES, "count": 2},
                {"kind": "snapshot", "stale": True, "at_s": 0, "count": 2},
            ]
        ),
    )
    server.venue = Player([recording(tmp_path / "r.jsonl.gz")], server, SystemClock())
    async with serving(server) as (spot, control):
        url = f"ws://{spot}/stream?streams={TRADES}/{DEPTH}"
        trades = f"http://{spot}/api/v3/aggTrades?symbol=BTCUSDT"
        depth = f"http://{spot}/api/v3/depth?symbol=BTCUSDT"
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(20):
            assert (await http.get(trades)).json() == []
            assert (await http.get(trades.replace("BTC", "NO"))).status_code == 400
            async with connect(url) as client:
                # It stands where the book was asked for: three trades of five got through.
                before = [json.loads(await client.recv()) for _ in range(8)]
                assert [row["a"] for row in (await http.get(trades)).json()] == [1, 2, 3, 4, 5]
                assert (await http.get(depth)).json()["lastUpdateId"] == 5
                after = [json.loads(await client.recv()) for _ in range(30)]
                assert (await http.get(depth)).json()["lastUpdateId"] == 5  # stale
                assert (await http.get(depth)).json()["lastUpdateId"] == 20
            seen = [frame["data"]["a"] for frame in before + after if frame["stream"] == TRADES]
            assert seen == list(range(3, 21))
            missed = (await http.get(f"{trades}&fromId=1&limit=2")).json()
            assert missed == [{key: trade(number)[key] for key in missed[0]} for number in (1, 2)]
            file = (
                f"http://{spot}/data/spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-1970-01-01.zip"
            )
            with zipfile.ZipFile(io.BytesIO((await http.get(file)).content)) as bundle:
                first, *_ = lines = bundle.read(bundle.namelist()[0]).decode().splitlines()
            assert (first, len(lines)) == ("1,1.0,2.0,2,3,1001,True,True", 20)
            assert (await http.get(file.replace("aggTrades", "trades"))).status_code == 404
            for stream, ranges in ((TRADES, [[3, 20]]), (DEPTH, [[1, 20]])):
                answer = await http.get(f"http://{control}/truth?market=spot&stream={stream}")
                account = answer.json()
                assert account["venue"]["ranges"] == [[1, 20]]
                assert account["clients"][0]["ranges"] == ranges
