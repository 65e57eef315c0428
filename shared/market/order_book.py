"""The price levels of one book. It knows prices and quantities, nothing of sequence ids."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from decimal import Decimal

from shared.market.events import PriceLevel


class BookSide:
    """Levels of one side: a dict for quantities beside a sorted list for order.

    A change of a resting level touches the dict alone; only new and removed levels search the list.
    """

    __slots__ = ("_prices", "_quantities")

    def __init__(self) -> None:
        self._quantities: dict[Decimal, Decimal] = {}
        self._prices: list[Decimal] = []

    def __len__(self) -> int:
        return len(self._prices)

    def replace(self, levels: Iterable[PriceLevel]) -> None:
        """Forget all levels and take these."""
        self._quantities = {price: quantity for price, quantity in levels if quantity}
        self._prices = sorted(self._quantities)

    def apply(self, levels: Iterable[PriceLevel]) -> None:
        """Set the quantity at each price; 0 removes the level, known or not."""
        quantities = self._quantities
        for price, quantity in levels:
            if quantity:
                if price not in quantities:
                    insort(self._prices, price)
                quantities[price] = quantity
            elif quantities.pop(price, None) is not None:
                del self._prices[bisect_left(self._prices, price)]

    def lowest(self, count: int) -> list[PriceLevel]:
        """Return up to `count` levels, lowest price first."""
        return [(price, self._quantities[price]) for price in self._prices[:count]]

    def highest(self, count: int) -> list[PriceLevel]:
        """Return up to `count` levels, highest price first."""
        return [(price, self._quantities[price]) for price in self._prices[: -count - 1 : -1]]

    @property
    def lowest_price(self) -> Decimal | None:
        """The lowest price, None for an empty side."""
        return self._prices[0] if self._prices else None

    @property
    def highest_price(self) -> Decimal | None:
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
