"""A market made up from a seed: one order book, and the trades, quotes and candles that follow from it.

Pure: time in, messages out, in Binance's own form. All arithmetic is in whole ticks and lots, so what
the streams say agrees to the last digit: trades take what the book shows, deltas are the net change of
levels, a candle is the sum of its trades. Ids grow with the start time, so two runs never share one.
"""

import math
import random
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mock_exchange.listings import Listing
from mock_exchange.trade_memory import KEPT_TRADES, Page, TradeMemory
from shared.market.instruments import Market

_DEPTH_LEVELS = 200
_KEPT_CANDLES = 1_500
_MINUTE_MS = 60_000
_FUNDING_MS = 8 * 60 * _MINUTE_MS
_MARK_DIGITS = Decimal("0.00000001")
# A step's chance of cancelling or adding at each of this many levels near the touch.
_BUSY_LEVELS = 12

Message = tuple[str, dict[str, Any]]
"""Channel and data of one frame."""


@dataclass
class Candle:
    """One minute, in ticks and lots; notional is ticks times lots."""

    open_ms: int
    open: int
    high: int
    low: int
    close: int
    first_id: int = -1
    last_id: int = -1
    volume: int = 0
    notional: int = 0
    buy_volume: int = 0
    buy_notional: int = 0

    def add(self, trade_id: int, ticks: int, lots: int, is_buy: bool) -> None:
        """Count one fill."""
        if self.first_id < 0:
            self.first_id, self.open, self.high, self.low = trade_id, ticks, ticks, ticks
        self.last_id, self.close = trade_id, ticks
        self.high, self.low = max(self.high, ticks), min(self.low, ticks)
        self.volume += lots
        self.notional += lots * ticks
        self.buy_volume += lots * is_buy
        self.buy_notional += lots * ticks * is_buy


@dataclass
class Simulator:
    """One symbol of one market.

    Args:
        listing: the symbol.
        market: spot numbers its updates per symbol; um links them by `pu`.
        seed: decides every random choice but the walk of the price.
        walk: decides that; markets of one symbol that share it stay together.
        start_ms: venue time at the start; ids count from it.
        rate: market orders a second.
        kept_trades: how many of the latest trades REST can still tell.
        skew_ms: how far the venue's clock is off in the event times `E`.
    """

    listing: Listing
    market: Market
    seed: str
    walk: str
    start_ms: int
    rate: float
    kept_trades: int = KEPT_TRADES
    skew_ms: int = 0
    candles: deque[Candle] = field(default_factory=lambda: deque(maxlen=_KEPT_CANDLES))

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - a market, not a secret
        self._walk = random.Random(self.walk)  # noqa: S311 - as above
        self._now_ms = self.start_ms
        self._trade_id = self.start_ms * 10
        self._aggregate_id = self.start_ms
        self.memory = TradeMemory(self._trade_id + 1, self._aggregate_id + 1, self.kept_trades)
        self.update_id = self.start_ms * 100
        self._last_sent_id = self.update_id
        self._center = float(self.listing.price.scaleb(self.listing.price_decimals))
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self._changed: dict[bool, dict[int, int]] = {True: {}, False: {}}
        middle = int(self._center)
        for away in range(1, _DEPTH_LEVELS + 1):
            self.bids[middle - away * self._step(away)] = self._lots()
            self.asks[middle + away * self._step(away)] = self._lots()
        self._quote = self._best()
        self._candle = self._new_candle(self.start_ms, middle)
        self._marked_s = self.start_ms // 1000
        self._premium = 0.0

    def advance(self, now_ms: int) -> list[Message]:
        """Move to a later time and return what happened since, oldest first."""
        first_id = self.update_id + 1
        elapsed = (now_ms - self._now_ms) / 1000
        self._now_ms = now_ms
        messages = self._close_candle()
        self._center *= math.exp(self._walk.gauss(0, 2e-5 * math.sqrt(max(elapsed, 0) * 10)))
        self._rest_orders()
        messages += self._quotes()
        orders = self._random.random() < (self.rate * elapsed) % 1
        for _ in range(int(self.rate * elapsed) + orders):
            messages += self._market_order()
            messages += self._quotes()
        if self.update_id >= first_id:
            messages.append(self._delta(first_id))
        if self.market is not Market.SPOT and now_ms // 1000 > self._marked_s:
            messages.append(self._mark())
        return messages

    def candle_message(self) -> Message:
        """Return the present, open candle."""
        return ("kline_1m", self._kline(self._candle, is_closed=False))

    def snapshot(self) -> dict[str, Any]:
        """Return the REST `depth` body."""
        body: dict[str, Any] = {
            "lastUpdateId": self.update_id,
            "bids": [self._level(item) for item in sorted(self.bids.items(), reverse=True)],
            "asks": [self._level(item) for item in sorted(self.asks.items())],
        }
        return (
            body if self.market is Market.SPOT else body | {"E": self._event_ms, "T": self._now_ms}
        )

    def kline_rows(self) -> list[list[Any]]:
        """Return the REST `klines` body, open candle last."""
        return [
            [
                k["t"],
                k["o"],
                k["h"],
                k["l"],
                k["c"],
                k["v"],
                k["T"],
                k["q"],
                k["n"],
                k["V"],
                k["Q"],
                "0",
            ]
            for k in (self._kline(candle, True)["k"] for candle in (*self.candles, self._candle))
        ]

    def aggregate_rows(self, page: Page) -> list[dict[str, Any]]:
        """Return the REST `aggTrades` body, oldest first."""
        return [
            {
                "a": item.aggregate_id,
                "p": self.price(item.ticks),
                "q": self.quantity(item.lots),
                "f": item.first_id,
                "l": item.last_id,
                "T": item.time_ms,
                "m": not item.is_buy,
            }
            for item in self.memory.aggregates(page)
        ]

    def trade_rows(self, page: Page) -> list[dict[str, Any]]:
        """Return the REST `trades` or `historicalTrades` body, oldest first."""
        best = {"isBestMatch": True} if self.market is Market.SPOT else {}
        return [
            {
                "id": item.trade_id,
                "price": self.price(item.ticks),
                "qty": self.quantity(item.lots),
                "quoteQty": self._notional(item.ticks * item.lots),
                "time": item.time_ms,
                "isBuyerMaker": not item.is_buy,
            }
            | best
            for item in self.memory.trades(page)
        ]

    def price(self, ticks: int) -> str:
        """Return a price as the venue writes it."""
        return f"{Decimal(ticks).scaleb(-self.listing.price_decimals):f}"

    def quantity(self, lots: int) -> str:
        """Return a quantity as the venue writes it."""
        return f"{Decimal(lots).scaleb(-self.listing.quantity_decimals):f}"

    @property
    def _event_ms(self) -> int:
        return self._now_ms + self.skew_ms

    def _notional(self, ticks_lots: int) -> str:
        decimals = self.listing.price_decimals + self.listing.quantity_decimals
        return f"{Decimal(ticks_lots).scaleb(-decimals):f}"

    def _level(self, level: tuple[int, int]) -> list[str]:
        return [self.price(level[0]), self.quantity(level[1])]

    @staticmethod
    def _step(away: int) -> int:
        return 1 + away // 20

    def _lots(self) -> int:
        return max(1, int(self._random.lognormvariate(8, 1.2)))

    def _best(self) -> tuple[int, int, int, int]:
        bid, ask = max(self.bids), min(self.asks)
        return bid, self.bids[bid], ask, self.asks[ask]

    def _set(self, is_bid: bool, ticks: int, lots: int) -> None:
        side = self.bids if is_bid else self.asks
        if lots:
            side[ticks] = lots
        else:
            side.pop(ticks, None)
        self._changed[is_bid][ticks] = lots
        self.update_id += 1

    def _rest_orders(self) -> None:
        """Cancel what the drift left behind, then add and change levels near the touch."""
        center = int(self._center)
        for is_bid, side in ((True, self.bids), (False, self.asks)):
            for ticks in [t for t in side if (t >= center if is_bid else t <= center)]:
                self._set(is_bid, ticks, 0)
            sign = -1 if is_bid else 1
            for away in range(1, _BUSY_LEVELS):
                if self._random.random() < 0.3:
                    self._set(is_bid, center + sign * away, self._lots())
            away = _BUSY_LEVELS
            while len(side) < _DEPTH_LEVELS:  # the drift and the takers ate into it
                ticks = center + sign * away * self._step(away)
                if ticks not in side:
                    self._set(is_bid, ticks, self._lots())
                away += 1
            far = sorted(side, reverse=is_bid)[_DEPTH_LEVELS * 2 :]
            for ticks in far:
                self._set(is_bid, ticks, 0)

    def _market_order(self) -> list[Message]:
        """Take the best levels, at most half of what rests, and report each fill."""
        is_buy = self._random.random() < 0.5
        side = self.asks if is_buy else self.bids
        wanted = self._lots()
        messages: list[Message] = []
        while wanted > 0 and len(side) > _DEPTH_LEVELS // 2:
            ticks = min(side) if is_buy else max(side)
            taken = min(wanted, side[ticks])
            wanted -= taken
            self._set(not is_buy, ticks, side[ticks] - taken)
            messages += self._fills(ticks, taken, is_buy)
        return messages

    def _fills(self, ticks: int, lots: int, is_buy: bool) -> list[Message]:
        parts = [lots]
        if lots > 1 and self._random.random() < 0.4:
            cut = self._random.randrange(1, lots)
            parts = [cut, lots - cut]
        first_id = self._trade_id + 1
        self.memory.add(ticks, parts, self._now_ms, is_buy)
        messages: list[Message] = []
        for part in parts:
            self._trade_id += 1
            self._candle.add(self._trade_id, ticks, part, is_buy)
            messages.append(("trade", self._trade(ticks, part, is_buy)))
        self._aggregate_id += 1
        aggregate = {
            "e": "aggTrade",
            "E": self._event_ms,
            "s": self.listing.symbol,
            "a": self._aggregate_id,
            "p": self.price(ticks),
            "q": self.quantity(lots),
            "f": first_id,
            "l": self._trade_id,
            "T": self._now_ms,
            "m": not is_buy,
        }
        return [*messages, ("aggTrade", aggregate)]

    def _trade(self, ticks: int, lots: int, is_buy: bool) -> dict[str, Any]:
        message: dict[str, Any] = {
            "e": "trade",
            "E": self._event_ms,
            "s": self.listing.symbol,
            "t": self._trade_id,
            "p": self.price(ticks),
            "q": self.quantity(lots),
            "T": self._now_ms,
            "m": not is_buy,
        }
        return message if self.market is Market.SPOT else message | {"X": "MARKET"}

    def _quotes(self) -> list[Message]:
        best = self._best()
        if best == self._quote:
            return []
        self._quote = best
        bid, bid_lots, ask, ask_lots = best
        message: dict[str, Any] = {
            "u": self.update_id,
            "s": self.listing.symbol,
            "b": self.price(bid),
            "B": self.quantity(bid_lots),
            "a": self.price(ask),
            "A": self.quantity(ask_lots),
        }
        if self.market is not Market.SPOT:
            message |= {"e": "bookTicker", "T": self._now_ms, "E": self._event_ms}
        return [("bookTicker", message)]

    def _mark(self) -> Message:
        """Return the mark price of this second: the index, and a premium that wanders about 0."""
        self._marked_s = self._now_ms // 1000
        self._premium = 0.99 * self._premium + self._random.gauss(0, 2e-5)
        premium = Decimal(self._premium)
        index = Decimal(self._center).scaleb(-self.listing.price_decimals)
        told = [
            f"{number.quantize(_MARK_DIGITS):f}"
            for number in (index * (1 + premium), index, premium)
        ]
        return (
            "markPrice@1s",
            {
                "e": "markPriceUpdate",
                "E": self._event_ms,
                "s": self.listing.symbol,
                "p": told[0],
                "i": told[1],
                "P": told[1],
                "r": told[2],
                "T": (self._now_ms // _FUNDING_MS + 1) * _FUNDING_MS,
            },
        )

    def _delta(self, first_id: int) -> Message:
        sides = {
            is_bid: [self._level(item) for item in changed.items()]
            for is_bid, changed in self._changed.items()
        }
        message: dict[str, Any] = {
            "e": "depthUpdate",
            "E": self._event_ms,
            "s": self.listing.symbol,
            "U": first_id,
            "u": self.update_id,
            "b": sides[True],
            "a": sides[False],
        }
        if self.market is not Market.SPOT:
            message |= {"T": self._now_ms, "pu": self._last_sent_id}
        self._last_sent_id = self.update_id
        self._changed = {True: {}, False: {}}
        return ("depth@100ms", message)

    def _new_candle(self, now_ms: int, ticks: int) -> Candle:
        return Candle(now_ms - now_ms % _MINUTE_MS, ticks, ticks, ticks, ticks)

    def _close_candle(self) -> list[Message]:
        messages: list[Message] = []
        while self._now_ms >= self._candle.open_ms + _MINUTE_MS:
            closed = self._candle
            messages.append(("kline_1m", self._kline(closed, is_closed=True)))
            self.candles.append(closed)
            self._candle = self._new_candle(closed.open_ms + _MINUTE_MS, closed.close)
        return messages

    def _kline(self, candle: Candle, is_closed: bool) -> dict[str, Any]:
        count = candle.last_id - candle.first_id + 1 if candle.first_id >= 0 else 0
        return {
            "e": "kline",
            "E": self._event_ms,
            "s": self.listing.symbol,
            "k": {
                "t": candle.open_ms,
                "T": candle.open_ms + _MINUTE_MS - 1,
                "s": self.listing.symbol,
                "i": "1m",
                "f": candle.first_id,
                "L": candle.last_id,
                "o": self.price(candle.open),
                "c": self.price(candle.close),
                "h": self.price(candle.high),
                "l": self.price(candle.low),
                "v": self.quantity(candle.volume),
                "n": count,
                "x": is_closed,
                "q": self._notional(candle.notional),
                "V": self.quantity(candle.buy_volume),
                "Q": self._notional(candle.buy_notional),
                "B": "0",
            },
        }
