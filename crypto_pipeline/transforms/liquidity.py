"""What one second's book says: spread, depth, imbalance, micro-price, and the cost of an order. Pure.

A row of `silver_book` gives one row; a second with an empty side has no mid and is left out. The book
holds ten levels a side, so a band or an order that reaches beyond the tenth level is not fully known:
`bid_known_bps` and `ask_known_bps` say where, and slippage is null.

    mid = (ask + bid) / 2                                     exact
    spread_bps = (ask - bid) / mid * 10^4
    depth_n bps = sum of quantities at prices within mid * (1 -+ n / 10^4), borders included
    imbalance = (B - A) / (B + A), of the sums of quantities; weighted: of quantity_n / n, n = 1..10
    micro_price = (bid * ask_quantity + ask * bid_quantity) / (bid_quantity + ask_quantity)
    slippage_bps = |sum((price_n - mid) * taken_n)| / (sum(taken_n) * mid) * 10^4

Quantities are in base currency, of contracts too (`transforms.contracts`): rounded, but not for slippage.
"""

from collections.abc import Callable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.gold_tables import BANDS_BPS, SLIPPAGE_NOTIONALS
from crypto_pipeline.schemas import MID, NOTIONAL, PRICE, VOLUME
from crypto_pipeline.transforms import contracts
from crypto_pipeline.transforms.book import LEVEL_COUNT
from crypto_pipeline.transforms.gold_rows import finished

_BPS = 10_000


def book_metrics(book: DataFrame, row_order: int) -> DataFrame:
    """Return `gold_book_metrics` of rows of `silver_book`."""
    rows = _with_mid(_each(book, _in_base))
    mid = F.col("mid").cast("double")
    bid, ask = F.col("best_bid").cast("double"), F.col("best_ask").cast("double")
    bid_quantity, ask_quantity = _first_quantity("bids"), _first_quantity("asks")
    bids, asks = F.col("bid_depth").cast("double"), F.col("ask_depth").cast("double")
    weighted_bids, weighted_asks = _weighted("bids"), _weighted("asks")
    columns = {
        "spread": (F.col("best_ask") - F.col("best_bid")).cast(PRICE),
        "bid_depth": _total("bids"),
        "ask_depth": _total("asks"),
        **{f"bid_depth_{band}bps": _within("bids", band) for band in BANDS_BPS},
        **{f"ask_depth_{band}bps": _within("asks", band) for band in BANDS_BPS},
        "bid_known_bps": _known_bps("bids"),
        "ask_known_bps": _known_bps("asks"),
        "micro_price": (bid * ask_quantity + ask * bid_quantity) / (bid_quantity + ask_quantity),
        "weighted_imbalance": (weighted_bids - weighted_asks) / (weighted_bids + weighted_asks),
    }
    ratios = {
        "spread_bps": F.col("spread").cast("double") / mid * _BPS,
        "imbalance": (bids - asks) / (bids + asks),
    }
    return finished(rows.withColumns(columns).withColumns(ratios), "gold_book_metrics", row_order)


def liquidity(book: DataFrame, row_order: int) -> DataFrame:
    """Return `gold_liquidity` of rows of `silver_book`."""
    rows = _with_mid(_each(book, _valued)).withColumns(
        {"bid_notional": _notional("bids"), "ask_notional": _notional("asks")}
    )
    slippage = {
        f"{order}_slippage_bps_{name}": F.when(
            F.col(f"{side[:-1]}_notional") >= size, _slippage_bps(side, size)
        )
        for name, size in SLIPPAGE_NOTIONALS.items()
        for order, side in (("buy", "asks"), ("sell", "bids"))
    }
    return finished(rows.withColumns(slippage), "gold_liquidity", row_order)


def _with_mid(book: DataFrame) -> DataFrame:
    prices = {"best_bid": F.col("bids")[0]["price"], "best_ask": F.col("asks")[0]["price"]}
    half = F.lit("0.5").cast("decimal(1,1)")
    mid = ((F.col("best_ask") + F.col("best_bid")) * half).cast(MID)
    both = book.where((F.size("bids") > 0) & (F.size("asks") > 0))
    rows = both.withColumns(prices).withColumn("mid", mid)
    return rows.withColumnRenamed("second", "window_start")


def _in_base(level: Column) -> Column:
    price, told = level["price"], level["quantity"]
    base = contracts.base_quantity(price, told)
    return F.struct(price.alias("price"), base.alias("quantity"))


def _valued(level: Column) -> Column:
    price, told = level["price"], level["quantity"]
    value = contracts.notional(price, told)
    base = F.when(contracts.is_in_contracts(), value.cast("double") / price.cast("double"))
    return F.struct(
        price.alias("price"),
        value.alias("value"),
        base.otherwise(told.cast("double")).alias("base"),
    )


def _each(book: DataFrame, told: Callable[[Column], Column]) -> DataFrame:
    return book.withColumns({side: F.transform(side, told) for side in ("bids", "asks")})


def _first_quantity(side: str) -> Column:
    return F.col(side)[0]["quantity"].cast("double")


def _sum(levels: Column, value: str, kind: str) -> Column:
    return F.aggregate(
        levels, F.lit(0).cast(kind), lambda total, level: (total + level[value]).cast(kind)
    )


def _total(side: str) -> Column:
    return _sum(F.col(side), "quantity", VOLUME)


def _within(side: str, band: int) -> Column:
    """Compared in whole numbers of 10^-4 of twice the mid, so that no border is rounded away."""
    twice = (F.col("best_bid") + F.col("best_ask")).cast("decimal(18,8)")

    def near(level: Column) -> Column:
        price = (level["price"] * F.lit(2 * _BPS)).cast("decimal(28,8)")
        if side == "bids":
            return price >= (twice * F.lit(_BPS - band)).cast("decimal(28,8)")
        return price <= (twice * F.lit(_BPS + band)).cast("decimal(28,8)")

    return _sum(F.filter(F.col(side), near), "quantity", VOLUME)


def _known_bps(side: str) -> Column:
    last = F.col(side)[LEVEL_COUNT - 1]["price"]
    distance = F.abs(last - F.col("mid")).cast("double")
    return F.when(F.size(side) >= LEVEL_COUNT, distance / F.col("mid").cast("double") * _BPS)


def _weighted(side: str) -> Column:
    parts = F.transform(
        F.col(side), lambda level, index: level["quantity"].cast("double") / (index + 1)
    )
    return F.aggregate(parts, F.lit(0.0), lambda total, part: total + part)


def _notional(side: str) -> Column:
    return _sum(F.col(side), "value", NOTIONAL)


def _slippage_bps(side: str, size: int) -> Column:
    """Walk a side until `size` quote is spent.

    Each level's cost is taken against mid, so that the difference is exact and nothing cancels.
    """
    mid = F.col("mid")

    def step(walked: Column, level: Column) -> Column:
        spent = F.least(level["value"], walked["left"])
        part = spent.cast("double") / level["price"].cast("double")
        quantity = F.when(spent == level["value"], level["base"]).otherwise(part)
        away = F.abs(level["price"] - mid).cast("double")
        return F.struct(
            (walked["left"] - spent).cast(NOTIONAL).alias("left"),
            (walked["base"] + quantity).alias("base"),
            (walked["cost"] + away * quantity).alias("cost"),
        )

    start = F.struct(
        F.lit(size).cast(NOTIONAL).alias("left"),
        F.lit(0.0).alias("base"),
        F.lit(0.0).alias("cost"),
    )
    return F.aggregate(
        F.col(side),
        start,
        step,
        lambda walked: walked["cost"] / (walked["base"] * mid.cast("double")) * _BPS,
    )
