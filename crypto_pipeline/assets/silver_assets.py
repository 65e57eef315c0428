"""Silver: pairs of a table and the transform that fills it from bronze."""

from datetime import timedelta
from functools import partial

from pyspark.sql import DataFrame

from crypto_pipeline.assets.describe import table_asset
from crypto_pipeline.assets.increments import Build, Increment, advance
from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import book, silver

# A book publishes a full snapshot every minute; twice that and a late commit reach one for sure.
_SNAPSHOT_REACH = timedelta(minutes=5)


def _book(increment: Increment) -> DataFrame:
    new = increment.rows
    recent = increment.before(_SNAPSHOT_REACH)
    rows = book.with_history(new, new.limit(0) if recent is None else recent)
    return book.silver_book(rows)


SILVER: dict[str, Build] = {
    "silver_trades": lambda increment: silver.trades(increment.rows),
    "silver_klines": lambda increment: silver.klines(increment.rows),
    "silver_quotes": lambda increment: silver.quotes(increment.rows),
    "silver_book": _book,
}
SILVER_ASSETS = [
    table_asset(TABLES[name], partial(advance, spec=TABLES[name], build=build))
    for name, build in SILVER.items()
]
