"""When the lake moves: one job over all assets and checks, every minute, one tick at a time."""

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
    running = context.instance.get_runs_count(RunsFilter(job_name=JOB, statuses=_UNFINISHED))
    return SkipReason("the last tick is still running") if running else RunRequest()
