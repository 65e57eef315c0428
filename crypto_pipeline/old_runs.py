"""Old runs are forgotten: Dagster keeps every run for ever, and a tick leaves more than a megabyte.

What a run brought stands in the tables; its events, log and verdicts are of use for some time. Failed runs
are kept longer, for somebody may still want to know why.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    OpExecutionContext,
    RunsFilter,
    in_process_executor,
    job,
    op,
)
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

from crypto_pipeline.resources import LakehouseResource

FORGET_JOB = "forget_runs"
_FAILED_TIMES = 7
# Bounded work: an hour brings about 130 runs.
_MOST = 1000


def old_runs(instance: DagsterInstance, now: datetime, keep: timedelta) -> Iterator[str]:
    """Yield the ids of runs that are older than `keep`, of failed ones seven times as old."""
    ages = {
        keep: [DagsterRunStatus.SUCCESS, DagsterRunStatus.CANCELED],
        _FAILED_TIMES * keep: [DagsterRunStatus.FAILURE],
    }
    for age, statuses in ages.items():
        wanted = RunsFilter(statuses=statuses, created_before=now - age)
        for record in instance.get_run_records(wanted, limit=_MOST, ascending=True):
            yield record.dagster_run.run_id


def forget(instance: DagsterInstance, run_id: str) -> None:
    """Delete a run, its events and its log.

    Dagster leaves the verdicts of its checks, and of SQLite the emptied file at its full size.
    """
    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    storage = instance.event_log_storage
    if isinstance(storage, SqlEventLogStorage):
        verdicts = AssetCheckExecutionsTable
        with storage.index_connection() as connection:
            connection.execute(verdicts.delete().where(verdicts.c.run_id == run_id))
    if isinstance(storage, SqliteEventLogStorage):
        file = Path(storage.path_for_shard(run_id))
        for each in file.parent.glob(f"{file.name}*"):
            each.unlink()


@op(description="Delete what Dagster keeps of old runs")
def forget_old(context: OpExecutionContext, lakehouse: LakehouseResource) -> None:
    """Forget what is older than the settings say."""
    keep = timedelta(hours=lakehouse.settings.dagster.keep_runs_h)
    now = datetime.fromtimestamp(lakehouse.clock.now_ns() / 1e9, UTC)
    forgotten = list(old_runs(context.instance, now, keep))
    for run_id in forgotten:
        forget(context.instance, run_id)
    context.add_output_metadata({"runs": len(forgotten)})


@job(
    name=FORGET_JOB,
    executor_def=in_process_executor,
    description="Delete the events, logs and verdicts of old runs; each hour",
)
def forget_runs() -> None:
    """Forget old runs."""
    forget_old()
