"""When the lake moves: a tick over all assets and checks each minute, and its upkeep each 20 minutes."""

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

from crypto_pipeline.maintenance import MAINTENANCE_JOB, lake_maintenance

JOB = "lake_tick"

# One process: a step of its own would cost about 2 s each, and a tick has a dozen.
lake_tick = define_asset_job(
    JOB,
    selection=AssetSelection.all(),
    executor_def=in_process_executor,
    description="Kafka to bronze, bronze to silver, silver to gold, then the checks",
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
    return _unless_running(context, JOB)


@schedule(
    job=lake_maintenance,
    cron_schedule="*/20 * * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    execution_timezone="UTC",
)
def every_20_minutes(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Start the maintenance unless it is on its way."""
    return _unless_running(context, MAINTENANCE_JOB)


def _unless_running(context: ScheduleEvaluationContext, job: str) -> RunRequest | SkipReason:
    running = context.instance.get_runs_count(RunsFilter(job_name=job, statuses=_UNFINISHED))
    return SkipReason(f"the last {job} is still running") if running else RunRequest()
