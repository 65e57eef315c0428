"""Bronze rows to silver rows: one row per fact, by the venue's own identity.

Where a fact comes twice, `row_order` decides: archive over REST over WebSocket, and within one source
the first received; a closed candle over an open one, a later open one over an earlier.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.schemas import NOTIONAL
from crypto_pipeline.tables import TABLES

# Microseconds since the epoch stay below this until the year 5138.
_RANK = 100_000_000_000_000_000


def _source_rank() -> Column:
    source = F.col("source")
    return F.when(source.endswith("_archive"), 3).when(source.endswith("_rest"), 2).otherwise(1)


def _first_received() -> Column:
    return (_source_rank() * F.lit(_RANK) - (F.col("received_ns") / 1000).cast("bigint")).cast(
        "bigint"
    )


def _columns(table: str) -> list[str]:
    return [column.name for column in TABLES[table].columns]


def trades(bronze: DataFrame) -> DataFrame:
    """`bronze_trades` to `silver_trades`; the notional is exact."""
    return (
        bronze.withColumn("trade_sequence", F.col("trade_id").cast("bigint"))
        .withColumn("quote_quantity", (F.col("price") * F.col("quantity")).cast(NOTIONAL))
        .withColumn("row_order", _first_received())
        .select(_columns("silver_trades"))
    )


def klines(bronze: DataFrame) -> DataFrame:
    """`bronze_klines` to `silver_klines`."""
    # A candle fetched over REST says no time of sending; the stream's own, which does, goes before it.
    said = F.unix_micros(F.coalesce("event_time", "close_time"))
    order = F.col("is_closed").cast("bigint") * F.lit(_RANK) + said
    return bronze.withColumn("row_order", order).select(_columns("silver_klines"))


def quotes(bronze: DataFrame) -> DataFrame:
    """`bronze_quotes` to `silver_quotes`; dated by our receipt where the venue sends no time."""
    return bronze.withColumn("row_order", _first_received()).select(_columns("silver_quotes"))
