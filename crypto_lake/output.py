"""Rows as people and programs want them: a table, CSV, JSON or Parquet."""

import json
import sys
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet
from rich.console import Console
from rich.table import Table

from crypto_lake.errors import QueryError

_SHOWN_ROWS = 200


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def emit(rows: pa.Table, form: Format, output: Path | None) -> None:
    """Print rows, or write them to a file.

    Raises:
        QueryError: Parquet without a file to write to.
    """
    match form:
        case Format.TABLE:
            _table(rows)
        case Format.JSON:
            text = json.dumps([_plain(row) for row in rows.to_pylist()], indent=1)
            _write(f"{text}\n", output)
        case Format.CSV:
            sink = pa.BufferOutputStream()
            csv.write_csv(_flat(rows), sink)
            _write(sink.getvalue().to_pybytes().decode(), output)
        case Format.PARQUET:
            if output is None:
                raise QueryError(
                    "--format parquet: a binary file is not printed; add --output FILE"
                )
            parquet.write_table(rows, output, compression="zstd")


def _table(rows: pa.Table) -> None:
    table = Table(*rows.column_names)
    for row in rows.slice(0, _SHOWN_ROWS).to_pylist():
        table.add_row(*(_cell(value) for value in row.values()))
    console = Console()
    console.print(table)
    if rows.num_rows > _SHOWN_ROWS:
        console.print(f"{_SHOWN_ROWS} of {rows.num_rows} rows; --format csv or json prints all")


def _cell(value: Any) -> str:
    if isinstance(value, list):
        shown = ", ".join(str(_plain(item)) for item in value[:2])
        return f"[{shown}{', ...' if len(value) > 2 else ''}]".replace("[", "\\[", 1)
    return "" if value is None else str(_plain(value))


def _plain(value: Any) -> Any:
    """Decimals become text, so that no digit is lost in a reader's floats; times ISO 8601."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value


def _flat(rows: pa.Table) -> pa.Table:
    """CSV has no nested values: those become JSON text."""
    columns = {}
    for name in rows.column_names:
        column = rows[name]
        if pa.types.is_nested(column.type):
            columns[name] = pa.array([json.dumps(_plain(item)) for item in column.to_pylist()])
        else:
            columns[name] = column
    return pa.table(columns)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
