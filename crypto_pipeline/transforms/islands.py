"""Bronze rows to islands: runs of ids without a hole, per stream, day and source. Pure.

Millions of rows become a few; the ledger goes on from them. A trade covers its own id; a book delta the
ids after its predecessor's up to its last; a closed candle the number open time / interval. Candles that
are open and snapshots of a book say nothing of completeness. Rows of channels without numbers become one
island per stream, day and source, without ids.
"""

from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from shared.market.events import Source
from shared.market.numbering import UNIT_SECONDS, Numbering, numbered
from shared.market.topics import Feed

STREAM = ["exchange", "market", "symbol", "channel"]
_GROUP = [*STREAM, "date", "source"]
_FETCHED = [Source.BINANCE_REST.value, Source.BINANCE_ARCHIVE.value]


def islands(rows: dict[Feed, DataFrame]) -> DataFrame:
    """Return the islands of new bronze rows.

    Columns: exchange, market, symbol, channel, date, source (empty for live), first_id and last_id
    (null without numbers), `start` and `end` (offset, partition, time_us of the records at both ends),
    ids (each delivery counts), messages, first_us and last_us.

    Args:
        rows: of `bronze_trades`, `bronze_depth`, `bronze_klines` or `bronze_quotes`, by feed.
    """
    counted = [_numbers(frame, feed) for feed, frame in rows.items() if feed is not Feed.QUOTES]
    found = [_runs(reduce(lambda one, other: one.unionByName(other), counted))] if counted else []
    if Feed.QUOTES in rows:
        found.append(_sums(_numbers(rows[Feed.QUOTES], Feed.QUOTES)))
    return reduce(lambda one, other: one.unionByName(other), found)


def _runs(numbers: DataFrame) -> DataFrame:
    in_order = Window.partitionBy(*_GROUP).orderBy("first_id")
    reach = F.max("last_id").over(in_order.rowsBetween(Window.unboundedPreceding, -1))
    begins = F.coalesce(F.col("first_id") > reach + 1, F.lit(False)).cast("int")
    marked = numbers.withColumn("begins", begins).withColumn(
        "island", F.sum("begins").over(in_order.rowsBetween(Window.unboundedPreceding, 0))
    )
    place = ("kafka_partition", "time_us")
    lowest = F.min(F.struct("first_id", "kafka_offset", *place))
    # The greatest id, and of its deliveries the first.
    highest = F.max(F.struct("last_id", (-F.col("kafka_offset")).alias("offset"), *place))
    return (
        marked.groupBy(*_GROUP, "island")
        .agg(
            lowest.alias("low"),
            highest.alias("high"),
            F.sum(F.col("last_id") - F.col("first_id") + 1).alias("ids"),
            F.count(F.lit(1)).alias("messages"),
            F.min("time_us").alias("first_us"),
            F.max("time_us").alias("last_us"),
        )
        .select(
            *_GROUP,
            F.col("low.first_id").alias("first_id"),
            F.col("high.last_id").alias("last_id"),
            _edge(F.col("low.kafka_offset"), "low").alias("start"),
            _edge(-F.col("high.offset"), "high").alias("end"),
            F.coalesce("ids", F.lit(0)).alias("ids"),
            "messages",
            "first_us",
            "last_us",
        )
    )


def _sums(rows: DataFrame) -> DataFrame:
    """Return one island for all rows of a day, which need no order."""
    nobody = F.lit(None).cast("struct<offset:bigint,partition:int,time_us:bigint>")
    return rows.groupBy(*_GROUP).agg(
        F.max("first_id").alias("first_id"),
        F.max("last_id").alias("last_id"),
        F.first(nobody).alias("start"),
        F.first(nobody).alias("end"),
        F.lit(0).cast("bigint").alias("ids"),
        F.count(F.lit(1)).alias("messages"),
        F.min("time_us").alias("first_us"),
        F.max("time_us").alias("last_us"),
    )


def _edge(offset: Column, of: str) -> Column:
    return F.struct(
        offset.alias("offset"),
        F.col(f"{of}.kafka_partition").alias("partition"),
        F.col(f"{of}.time_us").alias("time_us"),
    )


def _numbers(rows: DataFrame, feed: Feed) -> DataFrame:
    """Return rows with the ids that each covers, and its own time."""
    received = (F.col("received_ns") / 1000).cast("bigint")
    own = F.unix_micros("event_time")
    kind, first, last = None, F.lit(None).cast("bigint"), F.lit(None).cast("bigint")
    match feed:
        case Feed.TRADES:
            kind, own = Numbering.TRADES, F.unix_micros("trade_time")
            first = last = F.col("trade_id").cast("bigint")
        case Feed.DEPTH:
            rows = rows.where(F.col("event_type") == "book_delta")
            kind, last = Numbering.UPDATES, F.col("last_update_id")
            first = F.least("first_update_id", F.col("previous_update_id") + 1)
        case Feed.KLINES:
            rows = rows.where("is_closed")
            kind, own = Numbering.CANDLES, F.unix_micros("open_time")
            first = last = F.floor(own / (_seconds() * 1_000_000)).cast("bigint")
        case _:
            pass
    place = F.concat_ws("|", "exchange", "market", F.regexp_extract("channel", "^[^@_]*", 0))
    is_numbered = place.isin(["|".join(key) for key in numbered(kind)]) if kind else F.lit(False)
    source = F.when(F.col("source").isin(_FETCHED), F.col("source")).otherwise(F.lit(""))
    return rows.select(
        *STREAM,
        "date",
        source.alias("source"),
        "kafka_partition",
        "kafka_offset",
        F.coalesce(own, received).alias("time_us"),
        F.when(is_numbered, first).alias("first_id"),
        F.when(is_numbered, last).alias("last_id"),
    )


def _seconds() -> Column:
    """Return the length of a candle row's interval, null where it has no one length."""
    count = F.regexp_extract("interval", "^([0-9]+)", 1).cast("bigint")
    unit = F.substring("interval", -1, 1)
    pairs = [
        item for name, seconds in UNIT_SECONDS.items() for item in (F.lit(name), F.lit(seconds))
    ]
    return count * F.element_at(F.create_map(*pairs), unit)


def told(statuses: DataFrame) -> DataFrame:
    """Return what new rows of `bronze_stream_status` say of missing ids.

    Columns: exchange, market, symbol, channel, date, state (`gap`, `unhealable`), first_id, last_id,
    reason. A gap names the id that was expected and the one that came.
    """
    is_gap = F.col("state") == "gap"
    first = F.when(is_gap, F.col("expected")).otherwise(F.col("first_id"))
    last = F.when(is_gap, F.col("received") - 1).otherwise(F.col("last_id"))
    said = statuses.where(is_gap | (F.col("state") == "unhealable"))
    found = said.select(
        *STREAM, "date", "state", first.alias("first_id"), last.alias("last_id"), "reason"
    )
    return found.where(F.col("first_id") <= F.col("last_id"))
