"""One row per instrument and UTC day, from the day's candles, book and spikes. Pure.

    buy_share = taker_buy_volume / volume
    realized_volatility = sqrt(sum(ln(close_n / close_n-1)^2)) over the day's own one-minute closes;
        annualised: times sqrt(525,600 / minutes from the first close to the last)

The spread is that of `gold_book_metrics`, over the seconds of the day that have a book.
"""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from crypto_pipeline.transforms.gold_rows import KEY, finished
from crypto_pipeline.transforms.volatility import MINUTES_PER_YEAR

_DAY = [*KEY, "date"]


def daily_summary(
    candles: DataFrame, metrics: DataFrame | None, spikes: DataFrame | None, row_order: int
) -> DataFrame:
    """Return `gold_daily_summary` of the days of these rows.

    Args:
        candles: rows of `gold_ohlcv` of whole days.
        metrics: rows of `gold_book_metrics` of the same days, None while there are none.
        spikes: the same of `gold_volume_spikes`.
        row_order: greater than that of any row written before.
    """
    days = candles.where(F.col("interval") == "1d")
    share = F.col("taker_buy_volume").cast("double") / F.col("volume").cast("double")
    rows = days.withColumn("buy_share", share).join(_volatility(candles), _DAY, "left")
    if metrics is None:
        nothing = F.lit(None).cast("double")
        rows = rows.withColumns({"spread_bps_avg": nothing, "spread_bps_median": nothing})
        rows = rows.withColumn("book_seconds", F.lit(0).cast("bigint"))
    else:
        rows = rows.join(_spread(metrics), _DAY, "left")
    if spikes is None:
        rows = rows.withColumn("volume_spikes", F.lit(0).cast("bigint"))
    else:
        told = spikes.where(F.col("is_spike") & (F.col("interval") == "1m"))
        counted = told.groupBy(*_DAY).agg(F.count(F.lit(1)).alias("volume_spikes"))
        rows = rows.join(counted, _DAY, "left")
    return finished(
        rows.fillna(0, ["book_seconds", "volume_spikes"]), "gold_daily_summary", row_order
    )


def _volatility(candles: DataFrame) -> DataFrame:
    minutes = candles.where(F.col("interval") == "1m")
    in_order = Window.partitionBy(*_DAY).orderBy("window_start")
    before = F.lag("close").over(in_order)
    change = F.log1p((F.col("close") - before).cast("double") / before.cast("double"))
    squares = minutes.withColumn("square", change * change)
    figures = squares.groupBy(*_DAY).agg(
        F.sqrt(F.sum("square")).alias("realized_volatility"),
        (
            (F.max(F.unix_seconds("window_start")) - F.min(F.unix_seconds("window_start"))) / 60
        ).alias("span"),
    )
    annual = F.col("realized_volatility") * F.sqrt(F.lit(MINUTES_PER_YEAR) / F.col("span"))
    return figures.withColumn("realized_volatility_annualised", annual).drop("span")


def _spread(metrics: DataFrame) -> DataFrame:
    return metrics.groupBy(*_DAY).agg(
        F.avg("spread_bps").alias("spread_bps_avg"),
        F.median("spread_bps").alias("spread_bps_median"),
        F.count(F.lit(1)).alias("book_seconds"),
    )
