"""The user's door to the lake: read, query and verify it without a JVM."""

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa

from crypto_lake import query
from crypto_lake.tables import Lake, days

__all__ = ["read", "read_polars", "sql"]


def read(
    table: str,
    symbol: str | None = None,
    start: date | None = None,
    end: date | None = None,
    data_dir: str | Path = "data",
) -> pa.Table:
    """Return a table's rows of a symbol and a range of UTC days, both ends included.

    Args:
        table: for example `silver_trades`.
        symbol: canonical, `BTCUSDT`; all without it.
        start: first day; all days without start and end.
        end: last day.
        data_dir: the stack's data folder; the lake is its `lake`.

    Raises:
        crypto_lake.errors.LakeError: no lake, no such table, or half a range.
    """
    lake = Lake(str(Path(data_dir).resolve() / "lake"))
    return lake.read(table, symbols=[symbol] if symbol else [], dates=days(start, end))


def read_polars(
    table: str,
    symbol: str | None = None,
    start: date | None = None,
    end: date | None = None,
    data_dir: str | Path = "data",
) -> pl.DataFrame:
    """Return what `read` does as a Polars data frame; decimals stay decimals."""
    frame = pl.from_arrow(read(table, symbol, start, end, data_dir))
    if not isinstance(frame, pl.DataFrame):
        raise TypeError("a table became no data frame")
    return frame


def sql(text: str, data_dir: str | Path = "data", as_of: datetime | None = None) -> pa.Table:
    """Answer a query over the lake's tables, each by its name, as of now or of a past time.

    Errors as for `read`, and `crypto_lake.errors.TooEarlyError` for a time that is too far back.
    """
    return query.run(Lake(str(Path(data_dir).resolve() / "lake"), as_of), text)
