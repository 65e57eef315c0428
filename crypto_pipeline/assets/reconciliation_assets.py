"""`quality_reconciliation`: one closed day at a time, as it came live, against the archive."""

from collections.abc import Callable
from typing import Any

import msgspec
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    DailyPartitionsDefinition,
    MaterializeResult,
    MetadataValue,
    asset,
)
from pyspark.sql import DataFrame, Row

from crypto_pipeline.assets.describe import Stopwatch, described, idle, written
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import reconciliation
from crypto_pipeline.transforms.reconciliation import Agreement
from crypto_pipeline.utils import hudi_utils

SPEC = TABLES["quality_reconciliation"]
CHECK = AssetCheckSpec(
    "agrees_with_archive",
    asset=AssetKey(SPEC.name),
    description="Nothing that the archive has was missing, extra or different live",
)
# Binance's first day. A partition ends at midnight UTC: the day is closed.
CLOSED_DAYS = DailyPartitionsDefinition(start_date="2017-07-14", timezone="UTC")
_COMPARISONS: dict[str, Callable[[DataFrame, int], DataFrame]] = {
    "bronze_trades": reconciliation.of_trades,
    "bronze_klines": reconciliation.of_klines,
}
_SHOWN = ("market", "symbol", "channel", "state", "live_rows", "archive_rows", "missing", "extra")
_SHOWN_ROWS = 100


class DayCheckpoint(msgspec.Struct, frozen=True):
    """The day that was compared, and the last commit of each source by then."""

    day: str
    completions: dict[str, str]


def compare(lakehouse: LakehouseResource, day: str) -> MaterializeResult[None]:
    """Compare every channel of a day (UTC, YYYY-MM-DD) that bronze holds anything of."""
    watch = Stopwatch()
    lake = lakehouse.lake
    held = {
        name: until
        for name in _COMPARISONS
        if (until := hudi_utils.latest_completion(lake, TABLES[name])) is not None
    }
    order = sum(int(until) for until in held.values())
    rows: list[Row] = []
    for name in held:
        bronze = hudi_utils.read(lakehouse.spark, TABLES[name], lake)
        rows += _COMPARISONS[name](bronze.where(bronze["date"] == day), order).collect()
    if not rows:
        return MaterializeResult(metadata=idle(watch).metadata, check_results=[_verdict([])])
    schema = ", ".join(f"{column.name} {column.type}" for column in SPEC.columns)
    compared = lakehouse.spark.createDataFrame(rows, schema)
    report = hudi_utils.write(compared, SPEC, lake, DayCheckpoint(day, held))
    said = written(lake, SPEC, report, watch, {"days": MetadataValue.md(_table(rows))})
    return MaterializeResult(metadata=said.metadata, check_results=[_verdict(rows)])


def _verdict(rows: list[Row]) -> AssetCheckResult:
    wrong = [row for row in rows if row["state"] == Agreement.DIFFERENT]
    examples = "\n".join(
        f"- {row['market']} {row['symbol']} {row['channel']}: {row['missing']} missing,"
        f" {row['extra']} extra, {row['different']} different. {row['differences'] or ''}"
        for row in wrong[:_SHOWN_ROWS]
    )
    metadata: dict[str, Any] = {"differences": MetadataValue.md(examples or "none")}
    compared = sum(row["state"] in {Agreement.EQUAL, Agreement.DIFFERENT} for row in rows)
    return AssetCheckResult(
        passed=compared > 0 and not wrong,
        check_name=CHECK.name,
        asset_key=CHECK.asset_key,
        severity=AssetCheckSeverity.WARN,
        description=f"{len(wrong)} of {compared} compared channels differ from the archive"
        if compared
        else "nothing to compare: bring the day in with the job backfill first",
        metadata=metadata,
    )


def _table(rows: list[Row]) -> str:
    lines = [f"| {' | '.join(_SHOWN)} |", "|" + "---|" * len(_SHOWN)]
    lines += [f"| {' | '.join(str(row[name]) for name in _SHOWN)} |" for row in rows[:_SHOWN_ROWS]]
    return "\n".join(lines)


def _reconciliation(
    context: AssetExecutionContext, lakehouse: LakehouseResource
) -> MaterializeResult:  # type: ignore[type-arg]  # with checks Dagster knows the bare name only
    return compare(lakehouse, context.partition_key)


_made: AssetsDefinition = asset(**described(SPEC), partitions_def=CLOSED_DAYS, check_specs=[CHECK])(
    _reconciliation
)
RECONCILIATION_ASSETS = [_made]
