"""Silver: pairs of a table and the transform that fills it from bronze."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.assets.describe import table_asset
from crypto_pipeline.assets.increments import Build, Increment, Partitions, advance
from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import book, silver
from crypto_pipeline.utils import hudi_utils
from shared.market.events import Source

# A book publishes a full snapshot every minute; twice that and a late commit reach one for sure.
_SNAPSHOT_REACH = timedelta(minutes=5)


def _book(increment: Increment) -> DataFrame:
    new = increment.rows
    recent = increment.before(_SNAPSHOT_REACH)
    rows = book.with_history(new, new.limit(0) if recent is None else recent)
    return book.silver_book(rows)


def _marks(increment: Increment) -> DataFrame | None:
    """Return mark prices; a lake without futures has none, and is spared a commit for each tick."""
    rows = silver.marks(increment.rows)
    return None if rows.isEmpty() else rows


def _once(
    increment: Increment, table: str, transform: Callable[[DataFrame], DataFrame]
) -> DataFrame:
    """Return new rows; those of facts that REST or the archive told too, merged with what is known."""
    new = increment.rows
    rows = transform(new)
    days = _told_more_than_once(increment, table, new)
    if not days:
        return rows
    is_told = F.concat_ws("/", "symbol", "date").isin([f"{symbol}/{day}" for symbol, day in days])
    parts = Partitions.of(days)
    known = increment.table(table)
    merged = silver.merged(
        rows.where(is_told),
        None if known is None else parts.within(known).where(is_told),
        table,
    )
    return merged.unionByName(rows.where(~is_told))


def _told_more_than_once(increment: Increment, table: str, new: DataFrame) -> set[tuple[str, str]]:
    """Return (symbol, date) of late rows whose day the table holds, or another source tells too.

    What the stream alone tells needs no look, and a day that only the archive tells has nothing to
    be merged with.
    """
    sources: dict[tuple[str, str], set[str]] = {}
    for row in new.select("symbol", "date", "source").distinct().collect():
        sources.setdefault((row["symbol"], row["date"]), set()).add(row["source"])
    late = {day for day, told in sources.items() if told != {Source.BINANCE_WEBSOCKET}}
    alone = {day for day in late if len(sources[day]) == 1}
    held = hudi_utils.held_partitions(increment.lakehouse.lake, TABLES[table], alone)
    return late - (alone - held)


SILVER: dict[str, Build] = {
    "silver_trades": partial(_once, table="silver_trades", transform=silver.trades),
    "silver_klines": partial(_once, table="silver_klines", transform=silver.klines),
    "silver_quotes": lambda increment: silver.quotes(increment.rows),
    "silver_marks": _marks,
    "silver_book": _book,
}
SILVER_ASSETS = [
    table_asset(TABLES[name], partial(advance, spec=TABLES[name], build=build))
    for name, build in SILVER.items()
]
