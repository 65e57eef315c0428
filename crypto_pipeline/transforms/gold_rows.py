"""What all rows of gold have: whose they are, their order and date, and whether they say anything new. Pure."""

from collections.abc import Iterable
from functools import reduce
from operator import and_

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.tables import TABLES

KEY = ["exchange", "market", "symbol"]


def finished(rows: DataFrame, table: str, row_order: int, time: str = "window_start") -> DataFrame:
    """Return rows in the columns of a table, with their order, dated by the column `time`.

    Spark Connect analyses the whole of a plan for each step that adds, renames or drops columns, and not for one
    that selects them: such steps at the end of a long plan took seconds.
    """
    own = {
        "row_order": F.lit(row_order).cast("bigint"),
        "date": F.date_format(time, "yyyy-MM-dd"),
    }
    names = (column.name for column in TABLES[table].columns)
    return rows.select(*(own.get(name, F.col(name)).alias(name) for name in names))


def schema(table: str, names: Iterable[str], **more: str) -> str:
    """Return Spark's text for columns of a table, and for others by name and type."""
    types = {column.name: column.type for column in TABLES[table].columns} | more
    return ", ".join(f"`{name}` {types[name]}" for name in (*names, *more))


def only_changed(rows: DataFrame, known: DataFrame | None, table: str) -> DataFrame:
    """Return the rows that do not stand in `known` as they are, the order apart."""
    if known is None:
        return rows
    names = (column.name for column in TABLES[table].columns if column.name != "row_order")
    is_same = reduce(and_, (F.col(f"n.{name}").eqNullSafe(F.col(f"k.{name}")) for name in names))
    return rows.alias("n").join(known.alias("k"), is_same, "left_anti")
