"""The price levels of one book. It knows prices and quantities, nothing of sequence ids."""

import heapq
import math
from collections.abc import Iterable, Sequence

from shared.market.events import Amount, PriceLevel

# Changed prices that wait until somebody looks; a busy book brings some hundred a second.
_MOST_CHANGES = 8192


class BookSide:
    """Levels of one side, in the venue's digits.

    The key is the price as a float. Two decimals of up to 15 significant digits never share one, and
    the same price written with more or fewer zeros finds its level. Books change far more often than
    they are looked at, and mostly at the same few prices: changes are kept by the price as written,
    and only the last one at each is applied when it matters. A price that was written in two ways
    between two looks leaves the order of its changes unknown. Levels beyond a cut snapshot are not
    kept, since of those between nothing is known.
    """

    __slots__ = (
        "_changes",
        "_highest",
        "_is_ambiguous",
        "_is_bid",
        "_levels",
        "_lowest",
        "is_cut",
    )

    def __init__(self, *, is_bid: bool) -> None:
        self._is_bid = is_bid
        self.replace(())

    def __len__(self) -> int:
        return len(self._settled())

    def replace(self, levels: Sequence[PriceLevel], limit: int | None = None) -> None:
        """Forget all levels and take these, best first, of which at most `limit` were asked for.

        As many as asked for means that there may be more: beyond the last one nothing is known.
        """
        self._changes: dict[Amount, Amount] = dict(levels)
        self._is_ambiguous = False
        self._levels: dict[float, PriceLevel] = {}
        self._lowest, self._highest = 0.0, math.inf
        self.is_cut = bool(levels) and len(levels) == limit
        """Whether there may be levels beyond the known ones."""
        if self.is_cut:
            reach = float(levels[-1][0])
            self._lowest, self._highest = (reach, math.inf) if self._is_bid else (0.0, reach)

    def apply(self, levels: Iterable[PriceLevel]) -> None:
        """Set the quantity at each price within reach; 0 removes the level, known or not."""
        self._changes.update(levels)
        if len(self._changes) > _MOST_CHANGES:
            self._settled()

    def best(self, count: int) -> list[PriceLevel]:
        """Return up to `count` known levels, best first."""
        levels = self._settled()
        first = heapq.nlargest if self._is_bid else heapq.nsmallest
        return [levels[price] for price in first(count, levels)]

    @property
    def best_price(self) -> float | None:
        """The best known price, None for an empty side."""
        levels = self._settled()
        return (max if self._is_bid else min)(levels, default=None)

    @property
    def is_ambiguous(self) -> bool:
        """Whether a price came written in two ways, so that its quantity is not known for sure."""
        self._settled()
        return self._is_ambiguous

    def _settled(self) -> dict[float, PriceLevel]:
        """Return the levels by price, all changes applied."""
        levels, changes = self._levels, self._changes
        if changes:
            last = dict(zip(map(float, changes), changes.items(), strict=True))
            self._is_ambiguous |= len(last) < len(changes)
            lowest, highest = self._lowest, self._highest
            levels.update(last)
            for price, (_, quantity) in last.items():
                if not (lowest <= price <= highest and float(quantity)):
                    del levels[price]
            changes.clear()
        return levels


class OrderBook:
    """Bids and asks of one instrument."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = BookSide(is_bid=True)
        self.asks = BookSide(is_bid=False)

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
        return self.bids.best(count)

    def best_asks(self, count: int) -> list[PriceLevel]:
        """Return up to `count` asks, best (lowest) first."""
        return self.asks.best(count)

    def has_run_out(self, count: int) -> bool:
        """Whether a side that was cut has fewer than `count` known levels left."""
        return any(side.is_cut and len(side) < count for side in (self.bids, self.asks))

    @property
    def doubt(self) -> str | None:
        """Why the book cannot be believed: its sides cross, or a price came written in two ways."""
        bid, ask = self.bids.best_price, self.asks.best_price
        if bid is not None and ask is not None and bid >= ask:
            return "crossed book"
        if self.bids.is_ambiguous or self.asks.is_ambiguous:
            return "one price written in two ways"
        return None
