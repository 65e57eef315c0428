"""Trades of which both channels hold something, and what of it counts: for gold and for `verify`."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

TIME = datetime(2024, 8, 8, 12, tzinfo=UTC)
# An aggregate trade gathers fills of one price.
PRICE = Decimal(10)
CONTRACT_PRICE = Decimal("61804.8")


@dataclass(frozen=True)
class Told:
    """A trade, or with `last` an aggregate trade of the fills `first` to `last`; of contracts if so said."""

    first: int
    quantity: str
    last: int | None = None
    execution_type: str | None = None
    in_contracts: bool = False

    def row(self, symbol: str) -> dict[str, object]:
        """Return a row of `silver_trades`; an aggregate's own id stands far from its fills' ids."""
        is_single = self.last is None
        told = Decimal(self.quantity)
        amounts = {
            "price": PRICE,
            "quantity": told,
            "quote_quantity": PRICE * told,
            "contracts": None,
        }
        if self.in_contracts:
            base = round(100 * told / CONTRACT_PRICE, 8)
            amounts = {"price": CONTRACT_PRICE, "quantity": base, "quote_quantity": 100 * told}
            amounts |= {"contracts": told}
        return {
            "exchange": "binance",
            "market": "cm" if self.in_contracts else "um",
            "symbol": symbol,
            "channel": "trade" if is_single else "aggTrade",
            "trade_id": str(self.first if is_single else 10_000 - self.first),
            "trade_sequence": self.first if is_single else 10_000 - self.first,
            **amounts,
            "side": "buy",
            "trade_time": TIME,
            "date": f"{TIME:%Y-%m-%d}",
            "execution_type": self.execution_type,
            "first_trade_id": None if is_single else str(self.first),
            "last_trade_id": None if is_single else str(self.last),
        }


def names(rows: Iterable[tuple[int, int]]) -> str:
    """Return fills by first id and number, as the cases name them."""
    return " ".join(
        str(first) if count == 1 else f"{first}-{first + count - 1}"
        for first, count in sorted(rows)
    )


MARKET, FUND = "MARKET", "INSURANCE_FUND"
# Symbol: what is held, and the ids of what counts.
CASES: dict[str, tuple[list[Told], str]] = {
    "LOSTLAST": ([Told(10, "1"), Told(11, "2"), Told(10, "6", 12)], "10-12"),
    "LOSTFIRST": ([Told(12, "3"), Told(10, "6", 12)], "10-12"),
    "LOSTMIDDLE": ([Told(10, "1"), Told(12, "3"), Told(10, "6", 12)], "10-12"),
    "LOSTNONE": ([Told(10, "1"), Told(11, "2"), Told(12, "3"), Told(10, "6", 12)], "10 11 12"),
    "LOSTSOME": ([Told(10, "1"), Told(10, "1", 10), Told(11, "2", 11)], "10 11"),
    "LOSTALL": ([Told(10, "6", 12), Told(13, "1", 13)], "10-12 13"),
    "NOAGGREGATE": ([Told(10, "1"), Told(12, "1")], "10 12"),
    "NEIGHBOUR": ([Told(9, "1"), Told(10, "2", 11), Told(11, "1"), Told(12, "1")], "9 10-11 12"),
    # What the venue did not execute in the book is no part of the aggregate, and no fill.
    "FUNDWITHIN": (
        [Told(10, "1", None, MARKET), Told(11, "5", None, FUND), Told(12, "3"), Told(10, "4", 12)],
        "10 12",
    ),
    "FUNDALONE": ([Told(9, "5", None, FUND), Told(10, "1", 10), Told(11, "0")], "10"),
    # Base quantities of contracts are rounded one by one and do not add up: 3 x 0.00161800 and 0.00485399.
    "CONTRACTS": (
        [
            *(Told(number, "1", in_contracts=True) for number in (10, 11, 12)),
            Told(10, "3", 12, in_contracts=True),
        ],
        "10 11 12",
    ),
    # The aggregate holds what is not counted singly.
    "RETAIL": (
        [Told(10, "1", None, MARKET), Told(11, "2", None, "RPI"), Told(10, "3", 11)],
        "10-11",
    ),
}


def rows() -> list[dict[str, object]]:
    """Return what all cases hold, as rows of `silver_trades`."""
    return [told.row(symbol) for symbol, (held, _) in CASES.items() for told in held]
