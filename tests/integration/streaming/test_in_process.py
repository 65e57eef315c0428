"""The service inside the test's own loop, against the mock exchange and a real broker."""

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from shared.clock import SystemClock
from shared.market.events import StreamState
from shared.market.topics import Feed
from shared.settings import (
    BinanceSettings,
    KafkaSettings,
    PathSettings,
    Settings,
    StreamingSettings,
)
from streaming.service import StreamingService, kafka_sink
from tests.conftest import free_port
from tests.integration.conftest import Venue, events, mock_exchange

pytestmark = [pytest.mark.kafka]


@pytest.fixture(autouse=True)
def garbage_collection():
    """Give the process its garbage collection back."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def write(path: Path, symbols: dict[str, bool]) -> None:
    lines = ["version: 1", "exchanges:", "  binance:", "    spot:"]
    for symbol, enabled in symbols.items():
        fields = f"enabled: {str(enabled).lower()}, channels: [trade, depth@100ms]"
        lines.append(f"      {symbol}: {{{fields}}}")
    draft = path.with_suffix(".draft")
    draft.write_text("\n".join(lines) + "\n")
    draft.replace(path)


def settings(venue: Venue, bootstrap: str, symbols: Path, http: int) -> Settings:
    addresses = {
        name.removeprefix("CRYPTO_BINANCE__").lower(): value
        for name, value in venue.environment.items()
    }
    return Settings(
        paths=PathSettings(symbols_file=symbols, data_dir=symbols.parent),
        kafka=KafkaSettings(bootstrap_servers=bootstrap),
        streaming=StreamingSettings(http_port=http, symbols_poll_s=0.1, metrics_interval_s=0.2),
        binance=BinanceSettings(**addresses),
    )


def collector(settings: Settings) -> StreamingService:
    clock = SystemClock()
    return StreamingService(settings, clock, kafka_sink(settings, clock), None)


class Ready:
    """Asks the service for its readiness."""

    def __init__(self, port: int):
        self._url = f"http://127.0.0.1:{port}/readyz"

    async def reasons(self) -> list[str]:
        async with httpx.AsyncClient() as client:
            return list((await client.get(self._url)).json()["reasons"])

    async def until(self, wanted: list[str]) -> None:
        """Wait until the reasons are these, at most as long as a change may take."""
        async with asyncio.timeout(10):
            while True:
                try:
                    if await self.reasons() == wanted:
                        return
                except httpx.TransportError:
                    pass  # not up yet
                await asyncio.sleep(0.05)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - looks at objects that tell nobody
            await asyncio.sleep(0.02)


async def test_symbols_come_and_go_while_the_service_runs(topics: str, tmp_path: Path):
    symbols, http = tmp_path / "symbols.yaml", free_port()
    write(symbols, {"BTCUSDT": True, "ETHUSDT": False})
    stop, ready = asyncio.Event(), Ready(http)
    with mock_exchange(22060, tmp_path / "mock.log", "simulate", "--rate", "50") as venue:
        service = collector(settings(venue, topics, symbols, http))
        running = asyncio.create_task(service.run(stop))
        await ready.until([])
        (connection,) = service._connections.values()
        write(symbols, {"BTCUSDT": True, "ETHUSDT": True})
        await eventually(lambda: len(connection.plan.subscriptions) == 4)
        await ready.until([])
        with capture_logs() as lines:
            symbols.unlink()
            await eventually(lambda: any("last good one" in line["event"] for line in lines))
        assert await ready.reasons() == [], "without a file the last good one stays"
        write(symbols, {"BTCUSDT": False, "ETHUSDT": False})
        await ready.until(["no symbol is enabled"])
        write(symbols, {"BTCUSDT": False, "ETHUSDT": True})
        await ready.until([])
        stop.set()
        await asyncio.wait_for(running, 30)
    found = events(topics, Feed.STREAM_STATUS)
    closed = [event for event in found if event.state is StreamState.CLOSED]
    assert {(event.origin.symbol, event.reason) for event in closed} == {
        ("BTCUSDT", "unsubscribed"),
        ("ETHUSDT", "unsubscribed"),
        ("ETHUSDT", "stopped"),
    }
    first = [event for event in found if event.state is StreamState.FIRST_DATA]
    assert {(event.origin.symbol, event.origin.channel) for event in first} == {
        (symbol, channel)
        for symbol in ("BTCUSDT", "ETHUSDT")
        for channel in ("trade", "depth@100ms")
    }
