"""When the lake moves: a tick every minute, and a healing when a gap stays open; one of each at a time."""

import msgspec
from dagster import (
    AssetSelection,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    ScheduleEvaluationContext,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    define_asset_job,
    in_process_executor,
    schedule,
    sensor,
)

from crypto_pipeline.assets.healing_assets import listed_gaps
from crypto_pipeline.ledger.ways import Tries, due
from crypto_pipeline.resources import LakehouseResource

JOB = "lake_tick"
HEAL_JOB = "heal"

# One process: a step of its own would cost about 2 s each, and a tick has a dozen.
lake_tick = define_asset_job(
    JOB,
    selection=AssetSelection.all() - AssetSelection.assets("healing"),
    executor_def=in_process_executor,
    description="Kafka to bronze, bronze to silver, silver to gold, then the checks",
)
heal = define_asset_job(
    HEAL_JOB,
    selection=AssetSelection.all(),
    executor_def=in_process_executor,
    description="Fetch the ids that lack, then a whole tick: one run closes gaps and looks again",
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
    is_running = _is_running(context.instance, JOB)
    return SkipReason("the last tick is still running") if is_running else RunRequest()


@sensor(job=heal, minimum_interval_seconds=60, default_status=DefaultSensorStatus.RUNNING)
def heal_open_gaps(
    context: SensorEvaluationContext, lakehouse: LakehouseResource
) -> SensorResult | SkipReason:
    """Start a healing when a gap has been open for some minutes, later each time it stays open."""
    if _is_running(context.instance, HEAL_JOB):
        return SkipReason("the last healing is still running")
    tries = msgspec.json.decode(context.cursor or b"{}", type=Tries)
    after = due(listed_gaps(lakehouse), tries, lakehouse.clock.now_ns() // 1000)
    if after is None:
        return SkipReason("no open gap is due")
    cursor = msgspec.json.encode(after).decode()
    return SensorResult(run_requests=[RunRequest()], cursor=cursor)


def _is_running(instance: DagsterInstance, job: str) -> bool:
    return instance.get_runs_count(RunsFilter(job_name=job, statuses=_UNFINISHED)) > 0
