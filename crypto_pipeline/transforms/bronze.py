"""Kafka records to bronze rows: parsed once, judged, typed. What is refused keeps its reason.

The venue's JSON was parsed by `streaming`; this reads our own envelope.
"""

from collections.abc import Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.schemas import (
    BODY,
    ENVELOPE,
    JSON_TYPES,
    LEVELS,
    PRICE,
    QUANTITY,
    Field,
    Kind,
    exact_text,
    scale_of,
)
from crypto_pipeline.tables import TABLES, bronze_table
from shared.market.codec import PAYLOAD_MARK, SCHEMA_VERSION
from shared.market.instruments import Instrument
from shared.market.topics import CONTROL_SYMBOL, Feed, event_types

_MARK = PAYLOAD_MARK.decode()
_DECIMALS = {Kind.DECIMAL, Kind.SIGNED}
# The event's own time, by which its row is dated; a feed not listed uses the event time.
_OWN_TIME = {Feed.TRADES: "trade_time", Feed.KLINES: "open_time"}


def parse(records: DataFrame, feed: Feed, instruments: Iterable[Instrument]) -> DataFrame:
    """Return bronze columns, plus `value` and `refusal` (null for a good record).

    Args:
        records: Kafka records: topic, partition, offset, timestamp, value.
        feed: what the topic holds.
        instruments: those that are known; a record of another symbol is refused.
    """
    json = F.col("value").cast("string")
    head = (
        F.concat(F.substring_index(json, _MARK, 1), F.lit("}")) if feed is Feed.RAW_EVENTS else json
    )
    fields = (*ENVELOPE, *BODY[feed])
    schema = ", ".join(f"{field.name} {JSON_TYPES[field.kind]}" for field in fields)
    parsed = records.select(
        F.col("topic").alias("kafka_topic"),
        F.col("partition").alias("kafka_partition"),
        F.col("offset").alias("kafka_offset"),
        F.col("timestamp").alias("kafka_timestamp"),
        json.alias("value"),
        # A generator, so that the optimizer cannot copy the parser into every use of a field.
        F.explode(F.array(F.from_json(head, f"schema_version int, {schema}"))).alias("r"),
    )
    typed = parsed.select(
        "kafka_topic",
        "kafka_partition",
        "kafka_offset",
        "kafka_timestamp",
        *(_typed(field).alias(field.name) for field in fields),
        *([_payload().alias("payload")] if feed is Feed.RAW_EVENTS else []),
        _date(feed).alias("date"),
        "value",
        "r",
    )
    return typed.withColumn("refusal", _refusal(feed, instruments)).drop("r")


def good(parsed: DataFrame, feed: Feed) -> DataFrame:
    """Return the rows of the bronze table."""
    columns = [column.name for column in TABLES[bronze_table(feed)].columns]
    return parsed.where(F.col("refusal").isNull()).select(columns)


def refused(parsed: DataFrame) -> DataFrame:
    """Return the dead letters of a parsed range, in the columns of `quality_dead_letters`."""
    return _letters(parsed.where(F.col("refusal").isNotNull()), F.col("refusal"), F.col("value"))


def told(parsed: DataFrame) -> DataFrame:
    """Return the dead letters that the collector itself published."""
    good_rows = parsed.where(F.col("refusal").isNull())
    return _letters(good_rows, F.col("reason"), F.col("payload")).unionByName(refused(parsed))


def lost(ranges: DataFrame, mark: str) -> DataFrame:
    """Return lost Kafka ranges as dead letters, dated today.

    Args:
        ranges: kafka_topic, kafka_partition, kafka_offset, last_offset and reason.
        mark: stands for what a range has no value of.
    """
    now = F.current_timestamp()
    blank = F.lit(mark)
    return ranges.withColumns(
        {
            "kafka_timestamp": now,
            "exchange": blank,
            "market": blank,
            "symbol": blank,
            "payload": F.lit(None).cast("string"),
            "row_order": F.col("kafka_offset"),
            "date": F.date_format(now, "yyyy-MM-dd"),
        }
    )


def _letters(rows: DataFrame, reason: Column, payload: Column) -> DataFrame:
    def or_mark(name: str) -> Column:
        # A partition needs a name that is safe as a folder, whatever the record said.
        safe = F.col(name).rlike(r"^[\p{L}\p{N}][\p{L}\p{N}_.\-]*$")
        return F.when(safe, F.col(name)).otherwise(F.lit(CONTROL_SYMBOL)).alias(name)

    return rows.select(
        "kafka_topic",
        "kafka_partition",
        "kafka_offset",
        F.col("kafka_offset").alias("last_offset"),
        "kafka_timestamp",
        or_mark("exchange"),
        or_mark("market"),
        or_mark("symbol"),
        reason.alias("reason"),
        payload.alias("payload"),
        F.col("kafka_offset").alias("row_order"),
        F.date_format("kafka_timestamp", "yyyy-MM-dd").alias("date"),
    )


def _typed(field: Field) -> Column:
    raw = F.col(f"r.{field.name}")
    match field.kind:
        case Kind.MICROSECONDS:
            return F.timestamp_micros(raw)
        case Kind.DECIMAL | Kind.SIGNED:
            return _exact(raw, field.type)
        case Kind.LEVEL_LIST:
            return F.transform(raw, _level).cast(LEVELS)
        case Kind.TEXT | Kind.LONG | Kind.FLAG:
            return raw


def _level(pair: Column) -> Column:
    return F.struct(
        pair[0].cast(PRICE).alias("price"),
        pair[1].cast(QUANTITY).alias("quantity"),
    )


def _exact(text: Column, type_: str) -> Column:
    """Return a decimal's text as a number; null where the type does not hold it to the last digit."""
    return F.when(text.rlike(exact_text(type_)), text.cast(type_))


def _payload() -> Column:
    # Cut out of the text, because a JSON parser would write the frame anew.
    start = f"instr(value, '{_MARK}') + {len(_MARK)}"
    return F.expr(f"substring(value, {start}, length(value) - ({start}))")


def _date(feed: Feed) -> Column:
    received = (F.col("r.received_ns") / 1_000_000_000).cast("timestamp")
    own = F.col(f"r.{_OWN_TIME.get(feed, 'event_time')}")
    return F.date_format(F.coalesce(F.timestamp_micros(own), received), "yyyy-MM-dd")


def _refusal(feed: Feed, instruments: Iterable[Instrument]) -> Column:
    """Return the first fault of a record as text, null for none."""
    version = F.col("r.schema_version")
    known = [f"{item.exchange}|{item.market}|{item.symbol}" for item in instruments]
    identity = F.concat_ws("|", "exchange", "market", "symbol")
    is_known = identity.isin(known)
    if feed is Feed.RAW_EVENTS:
        is_known = is_known | (F.col("symbol") == CONTROL_SYMBOL)
    kind, kinds = F.col("r.event_type"), event_types(feed)
    needed = [field for field in (*ENVELOPE, *BODY[feed]) if field.is_needed_by(kinds)]
    faults = [
        _fault(version.isNull(), F.lit("not a JSON record of ours")),
        _fault(version != SCHEMA_VERSION, F.concat(F.lit("schema_version "), version)),
        *(_missing_fault(field) for field in needed),
        _fault(~kind.isin(kinds), F.concat(F.lit("unknown event_type "), kind)),
        _fault(~is_known, F.concat(F.lit("unknown symbol "), identity)),
        *(_decimal_fault(field) for field in BODY[feed] if field.kind in _DECIMALS),
        *(_levels_fault(field) for field in BODY[feed] if field.kind is Kind.LEVEL_LIST),
    ]
    return F.coalesce(*faults)


def _fault(condition: Column, reason: Column) -> Column:
    return F.when(condition, reason)


def _missing_fault(field: Field) -> Column:
    is_needed = F.col("r.event_type") == field.of if field.of else F.lit(True)
    reason = F.lit(f"{field.name} is missing")
    return _fault(is_needed & F.col(f"r.{field.name}").isNull(), reason)


def _decimal_fault(field: Field) -> Column:
    typed, text = F.col(field.name), F.col(f"r.{field.name}")
    does_not_fit = F.concat(F.lit(f"{field.name} "), text, F.lit(f" does not fit {field.type}"))
    is_negative = F.concat(F.lit(f"{field.name} "), text, F.lit(" is below 0"))
    fits_not = _fault(text.isNotNull() & typed.isNull(), does_not_fit)
    if field.kind is Kind.SIGNED:
        return fits_not
    return F.coalesce(fits_not, _fault(typed < 0, is_negative))


def _levels_fault(field: Field) -> Column:
    def is_bad(level: Column) -> Column:
        fits = level["price"].isNotNull() & level["quantity"].isNotNull()
        return ~fits | (level["price"] <= 0) | (level["quantity"] < 0)

    def is_rounded(pair: Column) -> Column:
        return ~(pair[0].rlike(exact_text(PRICE)) & pair[1].rlike(exact_text(QUANTITY)))

    # A pattern for each number doubles the time of a book. One look at all of them finds those few
    # records that need it: with more places than both types have, or with an exponent.
    raw = F.col(f"r.{field.name}")
    texts = F.concat_ws(" ", F.flatten(raw))
    is_long = texts.rlike(rf"\.\d{{{min(scale_of(PRICE), scale_of(QUANTITY)) + 1}}}")
    is_odd = is_long | texts.contains("E") | texts.contains("e")
    reason = F.lit(f"{field.name} has a level that is negative or does not fit")
    return _fault(
        F.exists(F.col(field.name), is_bad) | (is_odd & F.exists(raw, is_rounded)), reason
    )
