"""When the lake moves: one job over the tables and checks, every minute, one tick at a time.

Past days from the archive, and the comparison of a closed day with it, are started by hand or by config.
"""

from dagster import (
    AssetSelection,
    DagsterRunStatus,
    DefaultScheduleStatus,
    RunRequest,
    RunsFilter,
    ScheduleEvaluationContext,
    SkipReason,
    define_asset_job,
    in_process_executor,
    schedule,
)

JOB = "lake_tick"
_BACKFILL_S = 7 * 24 * 3600
_BY_HAND = AssetSelection.assets("archive_days", "quality_reconciliation")
_TABLES = AssetSelection.all() - _BY_HAND

# One process: a step of its own would cost about 2 s each, and a tick has a dozen.
lake_tick = define_asset_job(
    JOB,
    selection=_TABLES,
    executor_def=in_process_executor,
    description="Kafka to bronze, bronze to silver, silver to gold, then the checks",
)
backfill = define_asset_job(
    "backfill",
    selection=_TABLES | AssetSelection.assets("archive_days"),
    executor_def=in_process_executor,
    # Years of days take their time; config/dagster.yaml ends a tick much sooner.
    tags={"dagster/max_runtime": str(_BACKFILL_S)},
    description="Past days from the exchange's archive to Kafka, then a tick; what one tick does not"
    " take, the next ones do",
)
reconcile = define_asset_job(
    "reconcile",
    selection=AssetSelection.assets("quality_reconciliation"),
    executor_def=in_process_executor,
    description="A closed day in bronze against the archive's rows of it, which backfill brings",
)
_UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]


@schedule(
    job=lake_tick,
    cron_schedule="* * * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    execution_timezone="UTC",
)
def every_minute(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Start a tick unless one is on its way."""
    running = context.instance.get_runs_count(RunsFilter(job_name=JOB, statuses=_UNFINISHED))
    return SkipReason("the last tick is still running") if running else RunRequest()
