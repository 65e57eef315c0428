"""A closed day as it came live, against the exchange's own file of it: id by id, field by field. Pure.

What came live is the WebSocket's rows and REST's, of each id the best as in silver; of archive rows the
last received, since files are replaced. Times are compared to the millisecond: the archive tells
microseconds where the stream may not. A field that one of the two never tells is not compared.
"""

from collections.abc import Callable
from enum import StrEnum

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.specs import CANDLE
from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import silver


class Agreement(StrEnum):
    """What the comparison of a channel's day says."""

    EQUAL = "equal"
    DIFFERENT = "different"
    ONLY_ARCHIVE = "only archive"
    ONLY_LIVE = "only live"


_TRADE_FIELDS = ("price", "quantity", "side", "trade_time", "first_trade_id", "last_trade_id")
_CANDLE_FIELDS = ("close_time", *(column.name for column in CANDLE))
_COMPARED = (
    "missing",
    "first_missing",
    "last_missing",
    "extra",
    "first_extra",
    "last_extra",
    "different",
    "differences",
)
_DAY = ("exchange", "market", "symbol", "channel", "date")


def of_trades(bronze: DataFrame, row_order: int) -> DataFrame:
    """Compare `bronze_trades` of a day; returns rows of `quality_reconciliation`."""
    label, number = F.col("trade_id"), F.col("trade_sequence")
    return _compared(bronze, silver.trades, _TRADE_FIELDS, label, number, row_order)


def of_klines(bronze: DataFrame, row_order: int) -> DataFrame:
    """Compare closed candles of `bronze_klines` of a day; returns rows as `of_trades`."""
    label = F.date_format("open_time", "yyyy-MM-dd'T'HH:mm:ss'Z'")
    number = F.unix_micros("open_time")
    closed = bronze.where("is_closed")
    return _compared(closed, silver.klines, _CANDLE_FIELDS, label, number, row_order)


def _compared(
    bronze: DataFrame,
    transform: Callable[[DataFrame], DataFrame],
    fields: tuple[str, ...],
    label: Column,
    number: Column,
    row_order: int,
) -> DataFrame:
    is_archived = F.col("source").endswith("_archive")
    told = F.struct(*(_comparable(name) for name in fields))
    order = F.col("row_order")
    ids = (
        transform(bronze)
        .withColumns({"id": label, "number": number})
        .groupBy(*_DAY, "id", "number")
        .agg(
            F.max_by(told, F.when(is_archived, order)).alias("archive"),
            F.max_by(told, F.when(~is_archived, order)).alias("live"),
        )
    )
    is_missing, is_extra = F.col("live").isNull(), F.col("archive").isNull()
    is_in_both = ~is_missing & ~is_extra
    differs = {
        name: is_in_both & ~F.col("live")[name].eqNullSafe(F.col("archive")[name])
        for name in fields
    }
    any_differs = is_in_both & ~F.col("live").eqNullSafe(F.col("archive"))
    days = ids.groupBy(*_DAY).agg(
        F.count("live").alias("live_rows"),
        F.count("archive").alias("archive_rows"),
        F.count_if(is_missing).alias("missing"),
        F.min_by("id", F.when(is_missing, F.col("number"))).alias("first_missing"),
        F.max_by("id", F.when(is_missing, F.col("number"))).alias("last_missing"),
        F.count_if(is_extra).alias("extra"),
        F.min_by("id", F.when(is_extra, F.col("number"))).alias("first_extra"),
        F.max_by("id", F.when(is_extra, F.col("number"))).alias("last_extra"),
        F.count_if(any_differs).alias("different"),
        F.nullif(
            F.concat_ws("; ", *(_example(name, differs[name]) for name in fields)), F.lit("")
        ).alias("differences"),
    )
    return _judged(days, row_order)


def _comparable(name: str) -> Column:
    if name.endswith("_time"):
        return F.date_trunc("millisecond", name).alias(name)
    return F.col(name)


def _example(name: str, differs: Column) -> Column:
    """Return how often a field differs, with the first id and both values; null for never."""
    live, archive = (F.col(side)[name].cast("string") for side in ("live", "archive"))
    text = F.concat(
        F.lit(", first "), F.col("id"), F.lit(": live "), live, F.lit(", archive "), archive
    )
    first = F.min_by(text, F.when(differs, F.col("number")))
    return F.concat(F.lit(f"{name} "), F.count_if(differs).cast("string"), first)


def _judged(days: DataFrame, row_order: int) -> DataFrame:
    """Say of each day what the comparison means, in the table's columns."""
    nothing_to_compare = (F.col("archive_rows") == 0) | (F.col("live_rows") == 0)
    is_equal = (F.col("missing") == 0) & (F.col("extra") == 0) & (F.col("different") == 0)
    state = (
        F.when(F.col("archive_rows") == 0, F.lit(Agreement.ONLY_LIVE.value))
        .when(F.col("live_rows") == 0, F.lit(Agreement.ONLY_ARCHIVE.value))
        .when(is_equal, F.lit(Agreement.EQUAL.value))
        .otherwise(F.lit(Agreement.DIFFERENT.value))
    )
    compared = {name: F.when(~nothing_to_compare, F.col(name)) for name in _COMPARED}
    return (
        days.withColumn("state", state)
        .withColumns({**compared, "row_order": F.lit(row_order).cast("bigint")})
        .select([column.name for column in TABLES["quality_reconciliation"].columns])
    )
