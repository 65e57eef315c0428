"""The price levels of one book. It knows prices and quantities, nothing of sequence ids."""

from bisect import bisect_left, insort
from collections.abc import Iterable

from shared.market.events import PriceLevel


class BookSide:
    """Levels of one side, in the venue's digits: a dict beside a sorted list of its keys.

    The key is the price as a float. Two decimals of up to 15 significant digits never share one, and
    the same price written with more or fewer zeros finds its level. A change of a resting level
    touches the dict alone; only new and removed levels search the list.
    """

    __slots__ = ("_levels", "_prices")

    def __init__(self) -> None:
        self._levels: dict[float, PriceLevel] = {}
        self._prices: list[float] = []

    def __len__(self) -> int:
        return len(self._prices)

    def replace(self, levels: Iterable[PriceLevel]) -> None:
        """Forget all levels and take these."""
        self._levels = {float(level[0]): level for level in levels if float(level[1])}
        self._prices = sorted(self._levels)

    def apply(self, levels: Iterable[PriceLevel]) -> None:
        """Set the quantity at each price; 0 removes the level, known or not."""
        known = self._levels
        for level in levels:
            price = float(level[0])
            if float(level[1]):
                if price not in known:
                    insort(self._prices, price)
                known[price] = level
            elif known.pop(price, None) is not None:
                del self._prices[bisect_left(self._prices, price)]

    def lowest(self, count: int) -> list[PriceLevel]:
        """Return up to `count` levels, lowest price first."""
        return [self._levels[price] for price in self._prices[:count]]

    def highest(self, count: int) -> list[PriceLevel]:
        """Return up to `count` levels, highest price first."""
        return [self._levels[price] for price in self._prices[: -count - 1 : -1]]

    @property
    def lowest_price(self) -> float | None:
        """The lowest price, None for an empty side."""
        return self._prices[0] if self._prices else None

    @property
    def highest_price(self) -> float | None:
        """The highest price, None for an empty side."""
        return self._prices[-1] if self._prices else None


class OrderBook:
    """Bids and asks of one instrument."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = BookSide()
        self.asks = BookSide()

    def replace(self, bids: Iterable[PriceLevel], asks: Iterable[PriceLevel]) -> None:
        """Forget all levels and take these."""
        self.bids.replace(bids)
        self.asks.replace(asks)

    def apply(self, bids: Iterable[PriceLevel], asks: Iterable[PriceLevel]) -> None:
        """Apply the changed levels of one delta."""
        self.bids.apply(bids)
        self.asks.apply(asks)

    def best_bids(self, count: int) -> list[PriceLevel]:
        """Return up to `count` bids, best (highest) first."""
        return self.bids.highest(count)

    def best_asks(self, count: int) -> list[PriceLevel]:
        """Return up to `count` asks, best (lowest) first."""
        return self.asks.lowest(count)

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid is at or above the best ask, which no venue's book can be."""
        bid, ask = self.bids.highest_price, self.asks.lowest_price
        return bid is not None and ask is not None and bid >= ask
