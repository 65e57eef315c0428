"""Base quantities and notionals where a venue counts contracts. Pure.

A coin-margined contract of Binance is a fixed amount of USD (`CONTRACT_USD`), whatever its price; trades,
books and candles count contracts.

    base quantity = contracts * USD a contract / price, rounded to 8 places

This is the one figure of the lake that is rounded: the contracts and the USD beside it are exact. The venue's
candles hold the same, rounded once for all fills. Rows need `symbol` and `market` beside the columns given.
What 12 digits before the point cannot hold is null.
"""

from decimal import Decimal

from pyspark.sql import Column
from pyspark.sql import functions as F

from crypto_pipeline.schemas import NOTIONAL, QUANTITY
from shared.market.instruments import CONTRACT_USD, Market

LAST_PLACE = Decimal("0.00000001")
"""Of a base quantity; rounding moves it by half of that at most."""


def is_in_contracts(market: str = "market") -> Column:
    """Say whether quantities of a row of Binance are contracts, by its column `market`."""
    return F.col(market) == str(Market.CM)


def usd(number: Column) -> Column:
    """Return what a number of contracts is worth in USD, exact."""
    symbol = F.col("symbol")
    size = F.coalesce(
        *(F.when(symbol.startswith(begin), worth) for begin, worth in CONTRACT_USD.items())
    )
    # As an integer it would cost a volume two of its places.
    return (number * size.cast("decimal(4,0)")).cast(NOTIONAL)


def notional(price: Column, quantity: Column) -> Column:
    """Return what a quantity, as the venue tells it, is worth in quote currency, exact."""
    return F.when(is_in_contracts(), usd(quantity)).otherwise((price * quantity).cast(NOTIONAL))


def exact_base() -> Column:
    """Return the base quantity of a fill of `silver_trades` with 16 places; null if it was not rounded."""
    # With more digits before the point Spark would keep fewer places of the quotient.
    base = F.col("quote_quantity").cast("decimal(22,8)") / F.col("price")
    return F.when(is_in_contracts(), base.cast(NOTIONAL))


def base_of_candle() -> Column:
    """Return a candle's volume before it was rounded, as its VWAP tells it; null if it was not."""
    base = F.col("quote_volume").cast("double") / F.col("vwap")
    return F.when(is_in_contracts(), base.cast(NOTIONAL))


def base_quantity(price: Column, quantity: Column) -> Column:
    """Return a quantity, as the venue tells it, in base currency; of contracts without a price it is 0."""
    # Of these two types Spark rounds the quotient to 8 places, half up.
    base = F.when(price > 0, usd(quantity) / price).otherwise(0)
    return F.when(is_in_contracts(), base).otherwise(quantity).cast(QUANTITY)
