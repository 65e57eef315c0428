"""A venue whose past is made at once: a day and more of a seeded market, and its REST beside it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from mock_exchange.listings import LISTINGS
from mock_exchange.server import MockServer
from mock_exchange.simulation import Simulation
from shared.clock import SettableClock
from shared.market.events import Event
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from streaming.exchanges.binance import BinanceProtocol
from tests.e2e.collector.stage import StreamKey, free_base

_STEP_MS = 10_000


@dataclass
class Past:
    """What one market's symbols sent, in order, and the REST that remembers it.

    `events` are (id, event) of each stream, oldest first.
    """

    environment: dict[str, str]
    events: dict[StreamKey, list[tuple[int, Event]]]


def lived(
    simulation: Simulation, clock: SettableClock, minutes: int, channels: tuple[str, ...]
) -> dict[StreamKey, list[tuple[int, Event]]]:
    """Let the simulated markets live; returns (id, event) of each stream, as the collector reads it."""
    found: dict[StreamKey, list[tuple[int, Event]]] = {}
    for (market, symbol), simulator in simulation._simulators.items():
        instrument = Instrument(Exchange.BINANCE, market, symbol, symbol)
        wanted = [Subscription(instrument, channel) for channel in channels]
        protocol = BinanceProtocol(market, "past", wanted)
        protocol.open(0)
        start_ms = simulator.start_ms
        for now_ms in range(start_ms + _STEP_MS, start_ms + minutes * 60_000 + 1, _STEP_MS):
            for channel, data in simulator.advance(now_ms):
                if channel not in channels:
                    continue
                stream = f"{symbol.lower()}@{channel}"
                frame = msgspec.json.encode({"stream": stream, "data": data})
                event, *_ = protocol.receive(frame, now_ms * 1_000_000)
                found.setdefault((market, symbol, channel), []).append((_id(channel, data), event))
    clock.advance(minutes * 60_000_000_000)
    return found


def _id(channel: str, data: dict[str, Any]) -> int:
    match channel:
        case "aggTrade":
            return int(data["a"])
        case "trade":
            return int(data["t"])
        case _:
            return int(data["k"]["t"]) // 60_000


@contextmanager
def venue(
    start_ns: int, minutes: int, rate: float, seed: int, symbols: dict[Market, tuple[str, ...]]
) -> Iterator[Past]:
    """A spot and a um market with a past from `start_ns` on, whose REST answers over real sockets."""
    clock = SettableClock(start_ns)
    server = MockServer(clock)
    names = [(market, LISTINGS[name]) for market, listed in symbols.items() for name in listed]
    simulation = Simulation(names, seed, rate, 10_000_000, server, clock)
    server.venue = simulation
    events = lived(simulation, clock, minutes, ("trade", "aggTrade", "kline_1m"))
    # On futures trade ids do not count.
    events = {key: items for key, items in events.items() if key[::2] != (Market.UM, "trade")}
    base = free_base()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def serve() -> list[web.AppRunner]:
        runners = []
        for offset, market in enumerate((Market.SPOT, Market.UM)):
            runner = web.AppRunner(server.app(market))
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", base + offset).start()
            runners.append(runner)
        return runners

    runners = asyncio.run_coroutine_threadsafe(serve(), loop).result(30)
    try:
        yield Past(
            {
                "CRYPTO_BINANCE__SPOT_REST_URL": f"http://127.0.0.1:{base}",
                "CRYPTO_BINANCE__UM_REST_URL": f"http://127.0.0.1:{base + 1}",
            },
            events,
        )
    finally:
        for runner in runners:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
