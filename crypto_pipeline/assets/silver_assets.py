"""Silver: pairs of a table and the transform that fills it from bronze."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from crypto_pipeline.assets import additions, time_spans
from crypto_pipeline.assets.additions import Batch
from crypto_pipeline.assets.describe import table_asset
from crypto_pipeline.assets.increments import Build, Increment, Partitions, advance
from crypto_pipeline.assets.time_spans import TimeSpan
from crypto_pipeline.specs import Partition
from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import book, id_sums, silver
from crypto_pipeline.utils import hudi_utils
from shared.market.events import Source

# A book publishes a full snapshot every minute; twice that and a late commit reach one for sure.
_SNAPSHOT_REACH = timedelta(minutes=5)
_GROUP = ("symbol", "date", "source")
_STREAM = ("exchange", "market", "channel")


def _book(increment: Increment) -> DataFrame:
    new = increment.rows
    recent = increment.before(_SNAPSHOT_REACH)
    rows = book.with_history(new, new.limit(0) if recent is None else recent)
    return book.silver_book(rows)


def _marks(increment: Increment) -> DataFrame | None:
    """Return mark prices; a lake without futures has none, and is spared a commit for each tick."""
    rows = silver.marks(increment.rows)
    return None if rows.isEmpty() else rows


def _trades(increment: Increment) -> DataFrame:
    time, number = F.unix_micros("trade_time"), F.col("trade_id").cast("bigint")
    figures = {
        "earliest": F.min(time),
        "latest": F.max(time),
        "lowest": F.min(number),
        "highest": F.max(number),
        "numbers": F.count(number),
        "rows": F.count("*"),
        "hashes": id_sums.sum_of(number),
    }
    groups = _grouped(increment.rows, figures)
    once = _each_once(increment.rows, groups)
    rows, merged_days = _once(increment, "silver_trades", silver.trades, groups)
    # What several sources told is made one row each by being merged.
    increment.write["is_each_key_once"] = all(
        _place(group) in once or (group["symbol"], group["date"]) in merged_days for group in groups
    )
    now_us = increment.lakehouse.clock.now_ns() // 1000
    earliest = min((group["earliest"] for group in groups), default=now_us)
    latest = max((group["latest"] for group in groups), default=0)
    # What is merged may get the time that another form of it tells.
    own = TimeSpan(None if merged_days else earliest, latest)
    lake = increment.lakehouse.lake
    increment.notes.update(time_spans.note(lake, own, now_us))
    batches = [_batch(group, is_each_once=_place(group) in once) for group in groups]
    increment.notes.update(additions.note(lake, batches, merged_days))
    return rows


def _grouped(rows: DataFrame, figures: Mapping[str, Column]) -> list[Row]:
    named = (value.alias(name) for name, value in figures.items())
    return rows.groupBy(*_GROUP, *_STREAM).agg(*named).collect()


def _place(group: Row) -> tuple[str, ...]:
    return tuple(group[name] for name in (*_GROUP, *_STREAM))


def _each_once(rows: DataFrame, groups: Sequence[Row]) -> set[tuple[str, ...]]:
    """Return the places of those groups of which no two trades have the same id.

    Ids without a hole, which most are, tell it by their sum; a count costs a shuffle of all.
    """
    if all(_is_whole_range(group) for group in groups):
        return {_place(group) for group in groups}
    counts = {"rows": F.count("*"), "keys": F.count_distinct("trade_id")}
    return {_place(group) for group in _grouped(rows, counts) if group["rows"] == group["keys"]}


def _is_whole_range(group: Row) -> bool:
    lowest, highest = group["lowest"], group["highest"]
    if not group["numbers"] == group["rows"] == highest - lowest + 1:
        return False
    is_whole: bool = group["hashes"] == id_sums.sum_of_range(lowest, highest)
    return is_whole


def _batch(group: Row, *, is_each_once: bool) -> Batch:
    is_number = group["numbers"] == group["rows"]
    return Batch(
        (group["symbol"], group["date"]),
        group["exchange"],
        group["market"],
        group["channel"],
        lowest=group["lowest"] if is_number else None,
        highest=group["highest"] if is_number else None,
        is_each_once=is_each_once,
    )


def _klines(increment: Increment) -> DataFrame:
    groups = increment.rows.select(*_GROUP).distinct().collect()
    rows, _ = _once(increment, "silver_klines", silver.klines, groups)
    return rows


def _once(
    increment: Increment,
    table: str,
    transform: Callable[[DataFrame], DataFrame],
    groups: Sequence[Row],
) -> tuple[DataFrame, set[Partition]]:
    """Return new rows; those of facts that REST or the archive told too, merged with what is known.

    And the days that were merged. `groups` tells the symbols, days and sources of the new rows.
    """
    rows = transform(increment.rows)
    days = _told_more_than_once(increment, table, groups)
    if not days:
        return rows, days
    is_told = F.concat_ws("/", "symbol", "date").isin([f"{symbol}/{day}" for symbol, day in days])
    parts = Partitions.of(days)
    known = increment.table(table)
    merged = silver.merged(
        rows.where(is_told),
        None if known is None else parts.within(known).where(is_told),
        table,
    )
    return merged.unionByName(rows.where(~is_told)), days


def _told_more_than_once(increment: Increment, table: str, groups: Sequence[Row]) -> set[Partition]:
    """Return the days of late rows that the table holds, or that another source tells too.

    What the stream alone tells needs no look, and a day that only the archive tells has nothing to
    be merged with.
    """
    sources: dict[Partition, set[str]] = {}
    for row in groups:
        sources.setdefault((row["symbol"], row["date"]), set()).add(row["source"])
    late = {day for day, told in sources.items() if told != {Source.BINANCE_WEBSOCKET}}
    alone = {day for day in late if len(sources[day]) == 1}
    held = hudi_utils.held_partitions(increment.lakehouse.lake, TABLES[table], alone)
    return late - (alone - held)


SILVER: dict[str, Build] = {
    "silver_trades": _trades,
    "silver_klines": _klines,
    "silver_quotes": lambda increment: silver.quotes(increment.rows),
    "silver_marks": _marks,
    "silver_book": _book,
}
SILVER_ASSETS = [
    table_asset(TABLES[name], partial(advance, spec=TABLES[name], build=build))
    for name, build in SILVER.items()
]
