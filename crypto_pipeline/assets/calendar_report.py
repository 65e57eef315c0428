"""The ledger as the asset page shows it: a table of the days just written, and a calendar on disk."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from dagster import MetadataValue

from crypto_pipeline.ledger.rows import Row, latest_dates
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from shared.calendar_map import DayCell, page

_SHOWN_ROWS = 40
# The calendar reads many small files, so it is drawn anew only after some minutes.
_FRESH_NS = 10 * 60_000_000_000
_COLUMNS = ("exchange", "market", "symbol", "channel", "date", "state", "present", "missing")
_TABLE = ("market", "symbol", "channel", "date", "state", "expected", "missing", "fetched")


def described(lakehouse: LakehouseResource, rows: Sequence[Row]) -> dict[str, Any]:
    """Return metadata of a commit of `quality_completeness`: what it wrote, and where the calendar is."""
    worst = sorted(rows, key=lambda row: -(row["missing"] or 0))[:_SHOWN_ROWS]
    lines = [f"| {' | '.join(_TABLE)} |", "|---" * len(_TABLE) + "|"]
    lines += [f"| {' | '.join(_text(row[name]) for name in _TABLE)} |" for row in worst]
    return {
        "days": MetadataValue.md("\n".join(lines)),
        "ids missing": sum(row["missing"] or 0 for row in rows),
        "calendar": MetadataValue.path(_calendar(lakehouse)),
    }


def _text(value: Any) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _calendar(lakehouse: LakehouseResource) -> Path:
    """Return the calendar of the latest days, not older than some minutes."""
    settings, now_ns = lakehouse.settings, lakehouse.clock.now_ns()
    path = settings.paths.data_dir.resolve() / "reports" / "completeness.html"
    if path.is_file() and now_ns - path.stat().st_mtime_ns < _FRESH_NS:
        return path
    dates = latest_dates(now_ns, settings.dagster.heal_days)
    found = hudi_utils.read_small(
        lakehouse.lake, TABLES["quality_completeness"], dates=dates, columns=_COLUMNS
    )
    streams: dict[str, list[DayCell]] = {}
    for row in sorted(found, key=lambda row: [row[name] for name in _COLUMNS[:4]]):
        name = " ".join(row[column] for column in _COLUMNS[:4])
        cell = DayCell(
            date.fromisoformat(row["date"]), row["state"], row["present"], row["missing"] or 0
        )
        streams.setdefault(name, []).append(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page("Completeness of the lake", streams), encoding="utf-8")
    return path
