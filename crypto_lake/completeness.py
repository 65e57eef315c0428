"""What the lake says of its own completeness: figures, calendar heat-map, and what is still open."""

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import pyarrow as pa
from pyarrow import compute as pc

from crypto_lake.tables import Lake
from shared.calendar_map import DayCell, page

_STREAM = ("exchange", "market", "symbol", "channel")
_DAY_COLUMNS = (
    *_STREAM,
    "date",
    "state",
    "expected",
    "present",
    "missing",
    "duplicates",
    "fetched",
    "gaps_open",
    "gaps_healed",
    "gaps_unhealable",
)
_GAP_COLUMNS = (
    *_STREAM,
    "date",
    "first_id",
    "last_id",
    "ids",
    "missing",
    "state",
    "cause",
    "reason",
    "why_not",
    "healed_from",
    "found_at",
    "healed_at",
)


def days(lake: Lake, symbol: str | None, day: date | None, exchange: str | None) -> pa.Table:
    """Return a row per stream and day, the newest day first.

    Args:
        lake: where.
        symbol: only this one; all without it.
        day: likewise.
        exchange: likewise.

    Raises:
        QueryError: the lake has no ledger yet.
    """
    rows = _read(lake, "quality_completeness", symbol, day, exchange)
    order = [("date", "descending"), *((name, "ascending") for name in _STREAM)]
    return rows.sort_by(order).select(_DAY_COLUMNS)


def gaps(lake: Lake, symbol: str | None, day: date | None, exchange: str | None) -> pa.Table:
    """Return each range that did not come live, oldest first; arguments and errors as for `days`."""
    rows = _read(lake, "quality_gaps", symbol, day, exchange)
    rows = rows.filter(pc.not_equal(rows["state"], "withdrawn"))
    order = [("date", "ascending"), *((name, "ascending") for name in (*_STREAM, "first_id"))]
    return rows.sort_by(order).select(_GAP_COLUMNS)


def open_ranges(
    lake: Lake, symbol: str | None, day: date | None, exchange: str | None
) -> Iterator[str]:
    """Yield what is open as `crypto-stream heal` reads it; arguments and errors as for `days`."""
    for row in _read(lake, "quality_gaps", symbol, day, exchange).to_pylist():
        times = {
            name: row[name] and row[name].isoformat() for name in ("before_time", "after_time")
        }
        for part in row["open_ranges"]:
            yield json.dumps({name: row[name] for name in _STREAM} | part | times)


def heat_map(rows: pa.Table) -> str:
    """Return a self-contained HTML page with a calendar for each stream of the rows of `days`."""
    streams: dict[str, list[DayCell]] = {}
    for row in sorted(rows.to_pylist(), key=lambda row: [row[name] for name in _STREAM]):
        name = " ".join(str(row[column]) for column in _STREAM)
        streams.setdefault(name, []).append(_cell(row))
    return page("Completeness of the lake", streams)


def _cell(row: dict[str, Any]) -> DayCell:
    day = date.fromisoformat(row["date"])
    return DayCell(day, row["state"], row["present"], row["missing"] or 0)


def _read(
    lake: Lake, table: str, symbol: str | None, day: date | None, exchange: str | None
) -> pa.Table:
    rows = lake.read(
        table, symbols=[symbol] if symbol else [], dates=[day.isoformat()] if day else []
    )
    return rows.filter(pc.equal(rows["exchange"], exchange)) if exchange else rows
