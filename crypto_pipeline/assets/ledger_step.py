"""What the two tables of the ledger share: their checkpoint, and rows into one commit."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from dagster import MaterializeResult

from crypto_pipeline.assets.describe import Stopwatch, written
from crypto_pipeline.ledger.rows import Row
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES, TableSpec
from crypto_pipeline.utils import hudi_utils


class LedgerCheckpoint(msgspec.Struct, frozen=True):
    """Completion time of the last commit of each source that is covered."""

    completions: dict[str, str]


def progress(
    lakehouse: LakehouseResource, spec: TableSpec
) -> tuple[LedgerCheckpoint, LedgerCheckpoint]:
    """Return what a table covers, and what its sources hold now."""
    text = hudi_utils.last_checkpoint(lakehouse.lake, spec)
    last = msgspec.json.decode(text, type=LedgerCheckpoint) if text else LedgerCheckpoint({})
    newest = {
        name: hudi_utils.latest_completion(lakehouse.lake, TABLES[name]) for name in spec.sources
    }
    return last, LedgerCheckpoint({name: until for name, until in newest.items() if until})


def commit(
    lakehouse: LakehouseResource,
    spec: TableSpec,
    rows: Iterable[Row],
    covered: LedgerCheckpoint,
    watch: Stopwatch,
    describe: Callable[[], Mapping[str, Any]] = dict,
) -> MaterializeResult[None]:
    """Write rows of a table, all columns but the order, and what they cover; then describe them."""
    order = sum(int(until) for until in covered.completions.values())
    columns = [column.name for column in spec.columns]
    values = [tuple({**row, "row_order": order}[name] for name in columns) for row in rows]
    schema = ", ".join(f"{column.name} {column.type}" for column in spec.columns)
    frame = lakehouse.spark.createDataFrame(values, schema)
    report = hudi_utils.write(frame, spec, lakehouse.lake, covered)
    return written(lakehouse.lake, spec, report, watch, describe())
