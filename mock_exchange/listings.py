"""The symbols that can be simulated: three named ones, and as many made-up ones as are wanted."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Listing:
    """One symbol: where its price starts, how many decimals price and quantity have.

    A quiet one trades and updates rarely.
    """

    symbol: str
    price: Decimal
    price_decimals: int
    quantity_decimals: int
    is_quiet: bool = False


LISTINGS = {
    item.symbol: item
    for item in (
        Listing("BTCUSDT", Decimal(60_000), 2, 5),
        Listing("ETHUSDT", Decimal(2_500), 2, 4),
        Listing("SOLUSDT", Decimal(150), 2, 3),
    )
}


def synthetic(count: int, quiet_share: float) -> list[Listing]:
    """Return `SIM000USDT` and so on; the last ones, a share from 0 to 1, are quiet."""
    first_quiet = count - round(count * quiet_share)
    return [
        Listing(f"SIM{number:03}USDT", Decimal(100 + number), 2, 3, number >= first_quiet)
        for number in range(count)
    ]
