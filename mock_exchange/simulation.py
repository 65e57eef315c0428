"""Runs simulators against the clock, sends their messages, and answers REST from the same state."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from mock_exchange.server import MockServer
from mock_exchange.simulator import LISTINGS, Message, Simulator
from mock_exchange.venue import RestError, invalid_symbol
from shared.clock import Clock
from shared.errors import ConfigurationError
from shared.market.instruments import Market

_STEP_S = 0.1
_CANDLE_EVERY_STEPS = 10
_LONGEST_LIST = 1000


class Simulation:
    """The simulated symbols of all markets.

    Raises:
        ConfigurationError: a symbol that is not simulated.
    """

    def __init__(
        self,
        names: list[tuple[Market, str]],
        seed: int,
        rate: float,
        server: MockServer,
        clock: Clock,
    ) -> None:
        self._server = server
        self._clock = clock
        self._sent = 0
        now_ms = self._now_ms()
        self._simulators: dict[tuple[Market, str], Simulator] = {}
        for market, symbol in names:
            if symbol not in LISTINGS:
                raise ConfigurationError(
                    "--symbols", f"{symbol} is not simulated", str(set(LISTINGS))
                )
            self._simulators[market, symbol] = Simulator(
                LISTINGS[symbol], market, f"{seed}:{market}:{symbol}", now_ms, rate
            )

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
            now_ms = self._now_ms()
            for (market, _), simulator in self._simulators.items():
                messages = simulator.advance(now_ms)
                if step % _CANDLE_EVERY_STEPS == 0:
                    messages.append(simulator.candle_message())
                await self._send(market, simulator.listing.symbol.lower(), messages)

    async def rest(self, market: Market, call: str, query: Mapping[str, str]) -> bytes:
        """Answer from the present state."""
        answer: Any
        match call:
            case "ping":
                answer = {}
            case "time":
                answer = {"serverTime": self._now_ms()}
            case "exchangeInfo":
                answer = self._exchange_info(market)
            case "depth":
                answer = self._symbol(market, query).snapshot()
            case "klines":
                answer = self._symbol(market, query).kline_rows()[-_limit(query) :]
            case "aggTrades":
                answer = self._aggregates(market, query)
            case "historicalTrades" if market is Market.SPOT:
                answer = _wanted(self._symbol(market, query).fills, "id", query)
            case _:
                raise RestError(404, -1000, f"{call} is not simulated")
        return msgspec.json.encode(answer)

    async def _send(self, market: Market, symbol: str, messages: list[Message]) -> None:
        for channel, data in messages:
            stream = f"{symbol}@{channel}"
            clients = list(self._server.clients_of(market, stream))
            if not clients:
                continue
            text = msgspec.json.encode({"stream": stream, "data": data}).decode()
            for client in clients:
                try:
                    await client.send(stream, text)
                except ConnectionError:
                    # The client went away between the look and the send; its loop removes it.
                    continue
            self._sent += 1

    def _symbol(self, market: Market, query: Mapping[str, str]) -> Simulator:
        found = self._simulators.get((market, query.get("symbol", "")))
        if found is None:
            raise invalid_symbol()
        return found

    def _aggregates(self, market: Market, query: Mapping[str, str]) -> list[dict[str, Any]]:
        trades = _wanted(self._symbol(market, query).trades, "a", query)
        keys = ("a", "p", "q", "f", "l", "T", "m")
        return [{key: item[key] for key in keys} for item in trades]

    def _exchange_info(self, market: Market) -> dict[str, Any]:
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
        return {"timezone": "UTC", "serverTime": self._now_ms(), "symbols": symbols}

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000


def _wanted(
    rows: Iterable[dict[str, Any]], identity: str, query: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the rows from `fromId` on, without it the latest, at most `limit`."""
    if "fromId" not in query:
        return list(rows)[-_limit(query) :]
    start = int(query["fromId"])
    return [item for item in rows if item[identity] >= start][: _limit(query)]


def _limit(query: Mapping[str, str]) -> int:
    return min(int(query.get("limit", "500")), _LONGEST_LIST)
