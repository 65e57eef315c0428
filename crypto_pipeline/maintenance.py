"""The maintenance job: each table's upkeep, between the steps of ticks.

One op per table takes the slot that every writer takes, so a table is never written and maintained at
once, and a tick waits for one table's bounded work at most. A table whose upkeep fails does not keep
the others from theirs.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from dagster import (
    JobDefinition,
    MetadataValue,
    OpDefinition,
    OpExecutionContext,
    graph,
    in_process_executor,
    op,
)

from crypto_pipeline.assets.describe import POOL, Stopwatch
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES, TableSpec
from crypto_pipeline.utils import table_services

MAINTENANCE_JOB = "lake_maintenance"
# Late records of a day are still on their way when it ends.
_CLOSED_AFTER = timedelta(hours=1)


def first_open_day(now: datetime) -> date:
    """Return the first UTC day that is not closed."""
    return (now.astimezone(UTC) - _CLOSED_AFTER).date()


def _keep(spec: TableSpec) -> OpDefinition:
    @op(name=f"maintain_{spec.name}", pool=POOL, description=f"Upkeep of {spec.name}")
    def keep(context: OpExecutionContext, lakehouse: LakehouseResource) -> None:
        watch = Stopwatch()
        today = first_open_day(datetime.now(UTC))
        steps = []
        for step, seconds in table_services.maintain(lakehouse.spark, lakehouse.lake, spec, today):
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
