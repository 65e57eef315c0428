"""Gold: pairs of a table and what recomputes the windows that new silver rows touch."""

from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.assets.describe import table_asset
from crypto_pipeline.assets.increments import Build, Increment, advance
from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import gold


def _partitions(new: DataFrame) -> list[tuple[str, str]]:
    """Return (symbol, date) of the new rows: few, and what files are pruned by."""
    return [
        (row["symbol"], row["date"]) for row in new.select("symbol", "date").distinct().collect()
    ]


def _of(table: DataFrame, partitions: list[tuple[str, str]]) -> DataFrame:
    symbols = sorted({symbol for symbol, _ in partitions})
    dates = sorted({date for _, date in partitions})
    return table.where(F.col("symbol").isin(symbols) & F.col("date").isin(dates))


def _ohlcv(increment: Increment) -> DataFrame:
    new = increment.rows
    partitions = _partitions(new)
    silver, known = increment.table("silver_trades"), increment.table("gold_ohlcv")
    return gold.ohlcv(
        _of(new if silver is None else silver, partitions),
        gold.touched_minutes(new),
        None if known is None else _of(known, partitions),
        increment.row_order,
    )


def _book_metrics(increment: Increment) -> DataFrame:
    new = increment.rows
    silver = increment.table("silver_book")
    rows = _of(new if silver is None else silver, _partitions(new))
    return gold.book_metrics(rows, gold.touched_book_minutes(new), increment.row_order)


GOLD: dict[str, Build] = {"gold_ohlcv": _ohlcv, "gold_book_metrics": _book_metrics}
GOLD_ASSETS = [
    table_asset(TABLES[name], partial(advance, spec=TABLES[name], build=build))
    for name, build in GOLD.items()
]
