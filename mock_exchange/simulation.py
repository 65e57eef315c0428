"""Runs simulators against the clock, sends their messages, and answers REST from the same state."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from mock_exchange.archive_files import DayFile
from mock_exchange.listings import Listing
from mock_exchange.paging import aggregates_page, candles_page, trades_page
from mock_exchange.server import MockServer
from mock_exchange.simulator import Message, Simulator
from mock_exchange.trade_memory import Page
from mock_exchange.truth import ids_of
from mock_exchange.venue import RestError, invalid_symbol
from shared.clock import Clock
from shared.market.instruments import Market

_STEP_S = 0.1
_CANDLE_EVERY_STEPS = 10
# Quiet symbols move every ten seconds, each at a step of its own, with a hundredth of the orders.
_QUIET_EVERY_STEPS = 100
_QUIET_RATE = 0.01
# So many symbols, and then whoever else waits for the loop has a turn.
_YIELD_EVERY = 16


class Simulation:
    """The simulated symbols of all markets.

    Args:
        names: what to simulate.
        seed: decides every random choice.
        rate: market orders per second and symbol; quiet symbols have a hundredth of it.
        kept_trades: how many of the latest trades of each symbol REST can tell.
        server: where the subscribers and the faults are.
        clock: paces the simulation.
    """

    def __init__(
        self,
        names: list[tuple[Market, Listing]],
        seed: int,
        rate: float,
        kept_trades: int,
        server: MockServer,
        clock: Clock,
    ) -> None:
        self._server = server
        self._clock = clock
        self._sent = 0
        now_ms = self._now_ms()
        self._simulators = {
            (market, item.symbol): Simulator(
                item,
                market,
                f"{seed}:{market}:{item.symbol}",
                f"{seed}:{item.symbol}",
                now_ms,
                rate * _QUIET_RATE if item.is_quiet else rate,
                kept_trades,
            )
            for market, item in names
        }
        self._first_snapshots = {
            key: msgspec.json.encode(simulator.snapshot())
            for key, simulator in self._simulators.items()
        }

    def subscriptions_changed(self) -> None:
        """Nothing to do: each message looks for its subscribers when it is sent."""

    def status(self) -> dict[str, Any]:
        """Say that a simulation never ends."""
        return {
            "mode": "simulate",
            "frames_total": None,
            "frames_sent": self._sent,
            "finished": False,
        }

    async def run(self) -> None:
        """Step every tenth of a second; a late step covers the time that passed."""
        step = 0
        while True:
            await asyncio.sleep(_STEP_S)
            step += 1
            for place, ((market, _), simulator) in enumerate(self._simulators.items()):
                if simulator.listing.is_quiet and (step + place) % _QUIET_EVERY_STEPS:
                    continue
                simulator.skew_ms = self._server.faults.skew_ms(market)
                messages = simulator.advance(self._now_ms())
                if step % _CANDLE_EVERY_STEPS == 0 or simulator.listing.is_quiet:
                    messages.append(simulator.candle_message())
                await self._send(market, simulator.listing.symbol.lower(), messages)
                if place % _YIELD_EVERY == 0:
                    await asyncio.sleep(0)

    async def rest(self, market: Market, call: str, query: Mapping[str, str]) -> bytes:
        """Answer from the present state."""
        match call:
            case "ping":
                return b"{}"
            case "time":
                now_ms = self._now_ms() + self._server.faults.skew_ms(market)
                return msgspec.json.encode({"serverTime": now_ms})
            case "exchangeInfo":
                return self._exchange_info(market)
            case "depth" | "klines" | "aggTrades" | "trades" | "historicalTrades":
                return msgspec.json.encode(self._of_symbol(market, call, query))
            case _:
                raise RestError(404, -1000, f"{call} is not simulated")

    def old_snapshot(self, market: Market, symbol: str) -> bytes:
        """Return the book as it stood at the start."""
        return self._first_snapshots[market, symbol]

    def archived(self, file: DayFile) -> list[Any]:
        """Return what the memory holds of a day."""
        simulator = self._simulators.get((file.market, file.symbol))
        if simulator is None:
            return []
        begin_ms, end_ms = file.span_ms
        match file.kind:
            case "aggTrades":
                page = Page(sys.maxsize, start_ms=begin_ms, end_ms=end_ms - 1)
                return simulator.aggregate_rows(page)
            case "trades":
                rows = simulator.trade_rows(Page(sys.maxsize))
                return [row for row in rows if begin_ms <= row["time"] < end_ms]
            case _ if file.interval == "1m":
                return [row for row in simulator.kline_rows() if begin_ms <= row[0] < end_ms]
            case _:
                return []

    async def _send(self, market: Market, symbol: str, messages: list[Message]) -> None:
        for channel, data in messages:
            stream = f"{symbol}@{channel}"
            ids = ids_of(channel, data)
            self._server.truth.venue(market, stream).add(ids)
            clients = list(self._server.clients_of(market, stream))
            if not clients:
                continue
            text = msgspec.json.encode({"stream": stream, "data": data}).decode()
            for client in clients:
                try:
                    await client.send(stream, text, ids)
                except ConnectionError:
                    # The client went away between the look and the send; its loop removes it.
                    continue
            self._sent += 1

    def _of_symbol(self, market: Market, call: str, query: Mapping[str, str]) -> Any:
        simulator = self._symbol(market, query)
        match call:
            case "depth":
                return simulator.snapshot()
            case "klines":
                return candles_page(simulator.kline_rows(), query)
            case "aggTrades":
                return simulator.aggregate_rows(aggregates_page(market, query))
            case _:
                page = trades_page(query, by_id=call == "historicalTrades")
                return simulator.trade_rows(page)

    def _symbol(self, market: Market, query: Mapping[str, str]) -> Simulator:
        found = self._simulators.get((market, query.get("symbol", "")))
        if found is None:
            raise invalid_symbol()
        return found

    def _exchange_info(self, market: Market) -> bytes:
        symbols = [
            {
                "symbol": symbol,
                "status": "TRADING",
                "baseAsset": symbol.removesuffix("USDT"),
                "quoteAsset": "USDT",
            }
            for of, symbol in self._simulators
            if of is market
        ]
        return msgspec.json.encode(
            {"timezone": "UTC", "serverTime": self._now_ms(), "symbols": symbols}
        )

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000
