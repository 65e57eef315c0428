"""What every asset of a table says of itself, and of what it wrote."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from dagster import (
    AssetKey,
    AssetsDefinition,
    FreshnessPolicy,
    MaterializeResult,
    MetadataValue,
    RetryRequested,
    TableColumn,
    TableColumnConstraints,
    TableSchema,
    asset,
)

from crypto_pipeline.errors import KafkaUnreachableError
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TRADES_TO_CANDLES, TableSpec
from crypto_pipeline.utils.hudi_utils import CommitReport, partitions_of

POOL = "lake"
"""One writer at a time: Hudi tables are written by one tick only."""

STALE_AFTER = timedelta(minutes=15)
"""A round of ticks reports every table, idle ones too: this long without a report means that ticks fail or hang."""

_FRESH = FreshnessPolicy.time_window(warn_window=STALE_AFTER / 3, fail_window=STALE_AFTER)
Body = Callable[[LakehouseResource], MaterializeResult[None]]


def table_asset(spec: TableSpec, body: Body, after: tuple[str, ...] = ()) -> AssetsDefinition:
    """Return the asset of a table: `body` fills it; group, columns, key and kinds come from `spec`.

    A failed try is repeated once where the cause passes by itself, such as a broker that restarts.

    Args:
        spec: the table.
        body: fills it.
        after: names of assets that are no tables and feed it: it comes after them in one run.
    """

    def fill(lakehouse: LakehouseResource) -> MaterializeResult[None]:
        try:
            return body(lakehouse)
        except KafkaUnreachableError as error:
            raise RetryRequested(max_retries=1, seconds_to_wait=2) from error

    made: AssetsDefinition = asset(**described(spec, after), freshness_policy=_FRESH)(fill)
    return made


def described(spec: TableSpec, after: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the arguments of `@asset` that follow from a table."""
    columns = [
        TableColumn(
            column.name,
            column.type,
            description=column.text or None,
            constraints=TableColumnConstraints(nullable=column.name not in spec.key),
        )
        for column in spec.columns
    ]
    return {
        "key": AssetKey(spec.name),
        "deps": [AssetKey(name) for name in (*spec.sources, *after)],
        "description": spec.description,
        "group_name": spec.layer.value,
        "owners": ["team:lake"],
        "kinds": {"hudi", "spark"} | (set() if spec.sources else {"kafka"}),
        "metadata": {
            "dagster/column_schema": TableSchema(columns),
            "record key": ", ".join(spec.key),
            "write": spec.mode.value,
        },
        "pool": POOL,
        "op_tags": {"dagster/priority": "1"} if spec.name in TRADES_TO_CANDLES else {},
    }


class Stopwatch:
    """Seconds since it was made, by the monotonic clock."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds so far, to the millisecond."""
        return round(time.monotonic() - self._start, 3)


def idle(watch: Stopwatch) -> MaterializeResult[None]:
    """Report a tick in which the source had nothing new."""
    return MaterializeResult(metadata={"rows": 0, "state": "nothing new", "seconds": watch.seconds})


def written(
    lake: str, spec: TableSpec, report: CommitReport, watch: Stopwatch, more: Mapping[str, Any]
) -> MaterializeResult[None]:
    """Report a commit: rows, bytes, seconds, partitions and what it covers."""
    partitions = partitions_of(lake, spec, report.commit)
    listing = "\n".join(f"| {symbol} | {date} |" for symbol, date in partitions)
    return MaterializeResult(
        metadata={
            "rows": report.rows,
            "bytes": report.bytes,
            "seconds": watch.seconds,
            "commit": report.commit.requested,
            "partitions": MetadataValue.md(f"| symbol | date |\n|---|---|\n{listing}"),
            **more,
        }
    )
