"""The maintenance job: each table's upkeep, between the steps of ticks.

One op per table takes the slot that every writer takes, so a table is never written and maintained at
once, and a tick waits for one table's bounded work at most. A table whose upkeep fails does not keep
the others from theirs.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from dagster import (
    JobDefinition,
    MetadataValue,
    OpDefinition,
    OpExecutionContext,
    graph,
    in_process_executor,
    op,
)

from crypto_pipeline.assets.bronze_assets import unread_by_letters
from crypto_pipeline.assets.describe import POOL, Stopwatch
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES, Layer, TableSpec
from crypto_pipeline.utils import hudi_utils, table_services
from shared.lake.upkeep import first_open_day

MAINTENANCE_JOB = "lake_maintenance"


def _keep(spec: TableSpec) -> OpDefinition:
    @op(name=f"maintain_{spec.name}", pool=POOL, description=f"Upkeep of {spec.name}")
    def keep(context: OpExecutionContext, lakehouse: LakehouseResource) -> None:
        watch = Stopwatch()
        today = first_open_day(datetime.now(UTC))
        lake = lakehouse.lake
        # Where only maintenance has written for long, the last checkpoint must not be archived.
        unread = hudi_utils.writes_since_checkpoint(lake, spec)
        if spec.layer is Layer.BRONZE:
            unread = max(unread, unread_by_letters(lake, spec))
        steps = []
        for step, seconds in table_services.maintain(lakehouse.spark, lake, spec, today, unread):
            context.log.info("%s: %s s", step, seconds)
            steps.append(f"| {step} | {seconds} |")
        table = "\n".join(["| step | seconds |", "|---|---|", *steps])
        context.add_output_metadata(
            {"steps": MetadataValue.md(table), "count": len(steps), "seconds": watch.seconds}
        )

    return keep


def per_table(name: str, text: str, make: Callable[[TableSpec], OpDefinition]) -> JobDefinition:
    """Return a job of one op per table, one after another in one process."""
    ops = [make(spec) for spec in TABLES.values()]

    @graph(name=name, description=text)
    def every_table() -> None:
        for each in ops:
            each()

    return every_table.to_job(executor_def=in_process_executor)


lake_maintenance = per_table(
    MAINTENANCE_JOB,
    "Compact, merge small files, clean old versions, archive the timeline: what is due of it",
    _keep,
)
