"""Futures beside their spot market: basis and funding, per minute. Pure.

    basis = mark_price - index_price, in quote currency; basis_bps = 10,000 * basis / index_price
    spot_basis_bps = 10,000 * (mark_price - spot_price) / spot_price

A minute's figures are those of its last message; the mean is over those that tell an index. The index is the
venue's own mean of spot markets (Binance's `i`); `spot_price` is what we have seen ourselves, the close of the
same exchange's spot candle of that minute under the same canonical symbol. `funding_rate` (Binance's `r`) is
the share of a position's notional that longs pay shorts at `next_funding_time`, for the interval that ends
there; how long that is, the message does not tell.
"""

from collections.abc import Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.schemas import PRICE
from crypto_pipeline.transforms.gold_rows import KEY, finished
from crypto_pipeline.transforms.windows import window_start
from shared.market.instruments import Market

_MINUTE = [*KEY, "window_start"]
_SPOT = ["exchange", "symbol", "window_start"]
_LAST = ("mark_price", "index_price", "funding_rate", "next_funding_time")


def funding_basis(
    marks: DataFrame, candles: DataFrame | None, new_candles: Iterable[DataFrame], row_order: int
) -> DataFrame:
    """Return `gold_funding_basis` of the minutes that a new mark price or a new spot candle is in.

    Args:
        marks: rows of `silver_marks`, whole days, with `is_new`.
        candles: rows of `gold_ohlcv` of the same days, None while there are none.
        new_candles: the new ones among them.
        row_order: greater than that of any row written before.
    """
    told = marks.withColumn("window_start", window_start(F.col("event_time"), 60))
    news = told.where("is_new").select(_SPOT)
    for rows in new_candles:
        news = news.unionByName(_spot(rows).select(_SPOT))
    minutes = _minutes(told.join(news.distinct(), _SPOT, "left_semi"))
    if candles is None:
        priced = minutes.withColumn("spot_price", F.lit(None).cast(PRICE))
    else:
        priced = minutes.join(_spot(candles), _SPOT, "left")
    rows = priced.withColumns(
        {
            "basis": F.col("mark_price") - F.col("index_price"),
            "basis_bps": _bps("mark_price", "index_price"),
            "spot_basis_bps": _bps("mark_price", "spot_price"),
        }
    )
    return finished(rows, "gold_funding_basis", row_order)


def _minutes(told: DataFrame) -> DataFrame:
    # Sorted before they are added, so that the mean is the same to the last bit whenever it is computed.
    all_bps = F.array_sort(F.collect_list(_bps("mark_price", "index_price")))
    total = F.aggregate(all_bps, F.lit(0.0), lambda sum_, one: sum_ + one)
    return told.groupBy(_MINUTE).agg(
        *(F.max_by(name, "event_time").alias(name) for name in _LAST),
        F.when(F.size(all_bps) > 0, total / F.size(all_bps)).alias("mean_basis_bps"),
        F.count(F.lit(1)).alias("messages"),
    )


def _spot(candles: DataFrame) -> DataFrame:
    is_spot_minute = (F.col("market") == Market.SPOT.value) & (F.col("interval") == "1m")
    return candles.where(is_spot_minute).select(*_SPOT, F.col("close").alias("spot_price"))


def _bps(price: str, beside: str) -> Column:
    """Return by how many basis points a price lies above another."""
    return (F.col(price) - F.col(beside)).cast("double") / F.col(beside).cast("double") * 10_000
