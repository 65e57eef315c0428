"""The price levels of one book. It knows prices and quantities, nothing of sequence ids."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence

from shared.market.events import PriceLevel


class BookSide:
    """Levels of one side, in the venue's digits: a dict beside a sorted list of its keys.

    The key is the price as a float. Two decimals of up to 15 significant digits never share one, and
    the same price written with more or fewer zeros finds its level. A change of a resting level
    touches the dict alone; only new and removed levels search the list.
    """

    __slots__ = ("_levels", "_prices", "_reach")

    def __init__(self) -> None:
        self._levels: dict[float, PriceLevel] = {}
        self._prices: list[float] = []
        self._reach: float | None = None

    def __len__(self) -> int:
        return len(self._prices)

    def replace(self, levels: Sequence[PriceLevel], limit: int | None = None) -> None:
        """Forget all levels and take these, best first, of which at most `limit` were asked for.

        As many as asked for means that there may be more: beyond the last one nothing is known.
        """
        self._levels = {float(level[0]): level for level in levels if float(level[1])}
        self._prices = sorted(self._levels)
        self._reach = float(levels[-1][0]) if levels and len(levels) == limit else None

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
        """Return up to `count` known levels of an ask side, lowest price first."""
        if self._reach is not None:
            count = min(count, bisect_right(self._prices, self._reach))
        return [self._levels[price] for price in self._prices[:count]]

    def highest(self, count: int) -> list[PriceLevel]:
        """Return up to `count` known levels of a bid side, highest price first."""
        if self._reach is not None:
            count = min(count, len(self._prices) - bisect_left(self._prices, self._reach))
        return [self._levels[price] for price in self._prices[: -count - 1 : -1]]

    @property
    def is_cut(self) -> bool:
        """Whether there may be levels beyond the known ones."""
        return self._reach is not None

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

    def replace(
        self,
        bids: Sequence[PriceLevel],
        asks: Sequence[PriceLevel],
        limit: int | None = None,
    ) -> None:
        """Forget all levels and take these, best first; `limit` a side were asked for, None for all."""
        self.bids.replace(bids, limit)
        self.asks.replace(asks, limit)

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

    def has_run_out(self, count: int) -> bool:
        """Whether a side that was cut has fewer than `count` known levels left."""
        bids, asks = self.bids, self.asks
        return (bids.is_cut and len(bids.highest(count)) < count) or (
            asks.is_cut and len(asks.lowest(count)) < count
        )

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid is at or above the best ask, which no venue's book can be."""
        bid, ask = self.bids.highest_price, self.asks.lowest_price
        return bid is not None and ask is not None and bid >= ask
