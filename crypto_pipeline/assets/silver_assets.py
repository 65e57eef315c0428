"""Silver: pairs of a table and the transform that fills it from bronze."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from pyspark.sql import DataFrame

from crypto_pipeline.assets.describe import table_asset
from crypto_pipeline.assets.increments import Build, Increment, Partitions, advance
from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import book, silver

# A book publishes a full snapshot every minute; twice that and a late commit reach one for sure.
_SNAPSHOT_REACH = timedelta(minutes=5)


def _book(increment: Increment) -> DataFrame:
    new = increment.rows
    recent = increment.before(_SNAPSHOT_REACH)
    rows = book.with_history(new, new.limit(0) if recent is None else recent)
    return book.silver_book(rows)


def _once(
    increment: Increment, table: str, transform: Callable[[DataFrame], DataFrame]
) -> DataFrame:
    """Return new rows; those of facts that REST or the archive told too, merged with what is known."""
    new = increment.rows
    rows = transform(new)
    pairs = new.where(silver.is_late()).select("symbol", "date").distinct().collect()
    if not pairs:
        return rows
    late = Partitions(
        frozenset(pair["symbol"] for pair in pairs), frozenset(pair["date"] for pair in pairs)
    )
    known = increment.table(table)
    return silver.merged(rows, None if known is None else late.within(known), table)


SILVER: dict[str, Build] = {
    "silver_trades": partial(_once, table="silver_trades", transform=silver.trades),
    "silver_klines": partial(_once, table="silver_klines", transform=silver.klines),
    "silver_quotes": lambda increment: silver.quotes(increment.rows),
    "silver_book": _book,
}
SILVER_ASSETS = [
    table_asset(TABLES[name], partial(advance, spec=TABLES[name], build=build))
    for name, build in SILVER.items()
]
