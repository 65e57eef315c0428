"""When the lake moves: tick after tick, upkeep, and a healing when a gap stays open; one of each at a time.

Every tick brings new trades to the candles, and then takes a portion of the other tables, see `rounds`.

Past days from the archive, and the comparison of a closed day with it, are started by hand or by config.
"""

import math
from collections.abc import Collection
from typing import cast

import msgspec
from dagster import (
    AssetCheckKey,
    AssetKey,
    AssetSelection,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    RepositoryDefinition,
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
from crypto_pipeline.maintenance import MAINTENANCE_JOB, lake_maintenance
from crypto_pipeline.old_runs import forget_runs
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.rounds import OTHERS, Round, turn_of
from crypto_pipeline.tables import EACH_TICK

JOB = "lake_tick"
TICK_TAG = "lake/tick"
"""config/dagster.yaml has one run with this tag at a time; the next one waits in its queue."""
HEAL_JOB = "heal"
_BACKFILL_S = 7 * 24 * 3600
_ARCHIVE, _HEALING = AssetSelection.assets("archive_days"), AssetSelection.assets("healing")
_RECONCILIATION = AssetSelection.assets("quality_reconciliation")
_TABLES = AssetSelection.assets(*EACH_TICK, *OTHERS)

# One process: a step of its own would cost about 2 s each, and a tick has a dozen.
lake_tick = define_asset_job(
    JOB,
    selection=_TABLES,
    executor_def=in_process_executor,
    tags={TICK_TAG: "true"},
    description="Kafka to bronze, bronze to silver, silver to gold, then the checks; of itself a portion"
    " at a time, started by hand all of it",
)
heal = define_asset_job(
    HEAL_JOB,
    selection=_TABLES | _HEALING,
    executor_def=in_process_executor,
    description="Fetch the ids that lack, then a tick over all tables: one run closes gaps and looks again",
)
backfill = define_asset_job(
    "backfill",
    selection=_TABLES | _ARCHIVE,
    executor_def=in_process_executor,
    # Years of days take their time; config/dagster.yaml ends a tick much sooner.
    tags={"dagster/max_runtime": str(_BACKFILL_S)},
    description="Past days from the exchange's archive to Kafka, then a tick; what one tick does not"
    " take, the next ones do",
)
reconcile = define_asset_job(
    "reconcile",
    selection=_RECONCILIATION,
    executor_def=in_process_executor,
    description="A closed day in bronze against the archive's rows of it, which backfill brings",
)
_UNFINISHED = {
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
}


# The daemon's own round of five seconds is what spaces the looks; with 5 here some would be left out.
@sensor(job=lake_tick, minimum_interval_seconds=1, default_status=DefaultSensorStatus.RUNNING)
def next_tick(
    context: SensorEvaluationContext, lakehouse: LakehouseResource
) -> SensorResult | SkipReason:
    """Ask for a tick so many seconds after the last one; where that takes longer it waits in the queue for its end.

    Trades to candles, and the next portion of the other tables. Not a schedule: of ticks that take a little
    longer than its minute it would leave out every second one.
    """
    pace, now_s = lakehouse.settings.dagster, lakehouse.clock.now_ns() / 1e9
    if _is_any(context.instance, JOB, _UNFINISHED - {DagsterRunStatus.STARTED}):
        return SkipReason("a tick is waiting, or about to start or to end")
    last = _last_round(context)
    due = last.now(now_s, pace.tick_every_s)
    last_s = _begun_ago(context.instance, JOB, now_s)
    if 0 <= last_s < min(pace.trades_every_s, pace.tick_every_s) and due == last:
        return SkipReason(f"the last tick began {last_s:.0f} s ago")
    names = due.portion(_seconds(context.instance, due.left), pace.portion_s)
    request = RunRequest(
        asset_selection=[AssetKey(name) for name in (*EACH_TICK, *names)],
        asset_check_keys=_checks_of(context, names),
    )
    cursor = msgspec.json.encode(due.without(names)).decode()
    return SensorResult(run_requests=[request], cursor=cursor)


def _last_round(context: SensorEvaluationContext) -> Round:
    """Return what the cursor tells; what another version wrote there, and cannot be read, begins a round."""
    try:
        return msgspec.json.decode(context.cursor or b"{}", type=Round)
    except msgspec.MsgspecError as error:
        context.log.warning("the last round is unknown, another begins: %s", error)
        return Round()


def _checks_of(context: SensorEvaluationContext, names: Collection[str]) -> list[AssetCheckKey]:
    """Return the checks that look at the turn of these tables."""
    graph = cast("RepositoryDefinition", context.repository_def).asset_graph
    return [
        key
        for key in graph.asset_check_keys
        if turn_of({need.to_user_string() for need in graph.get(key).parent_entity_keys}) in names
    ]


def _seconds(instance: DagsterInstance, names: Collection[str]) -> dict[str, float]:
    """Return how long each table took last, as far as that is told; what is reported by hand tells nothing."""
    found = {}
    for record in instance.get_asset_records([AssetKey(name) for name in names]):
        last = record.asset_entry.last_materialization
        told = last.asset_materialization if last else None
        seconds = told.metadata.get("seconds") if told else None
        if seconds is not None and isinstance(seconds.value, int | float):
            found[record.asset_entry.asset_key.to_user_string()] = float(seconds.value)
    return found


@schedule(
    job=lake_maintenance,
    cron_schedule="*/20 * * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    execution_timezone="UTC",
)
def every_20_minutes(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Start the maintenance unless it is on its way."""
    is_running = _is_any(context.instance, MAINTENANCE_JOB)
    return SkipReason("the last maintenance is still running") if is_running else RunRequest()


@schedule(
    job=forget_runs,
    cron_schedule="7 * * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    execution_timezone="UTC",
)
def every_hour() -> RunRequest:
    """Forget old runs."""
    return RunRequest()


@sensor(job=heal, minimum_interval_seconds=60, default_status=DefaultSensorStatus.RUNNING)
def heal_open_gaps(
    context: SensorEvaluationContext, lakehouse: LakehouseResource
) -> SensorResult | SkipReason:
    """Start a healing when a gap has been open for some minutes, later each time it stays open."""
    if _is_any(context.instance, HEAL_JOB):
        return SkipReason("the last healing is still running")
    tries = msgspec.json.decode(context.cursor or b"{}", type=Tries)
    after = due(listed_gaps(lakehouse), tries, lakehouse.clock.now_ns() // 1000)
    if after is None:
        return SkipReason("no open gap is due")
    cursor = msgspec.json.encode(after).decode()
    return SensorResult(run_requests=[RunRequest()], cursor=cursor)


def _is_any(
    instance: DagsterInstance, job: str, statuses: Collection[DagsterRunStatus] = _UNFINISHED
) -> bool:
    return instance.get_runs_count(RunsFilter(job_name=job, statuses=[*statuses])) > 0


def _begun_ago(instance: DagsterInstance, job: str, now_s: float) -> float:
    """Return how many seconds ago the last run of a job was asked for; endlessly many without one."""
    latest = instance.get_run_records(RunsFilter(job_name=job), limit=1)
    return now_s - latest[0].create_timestamp.timestamp() if latest else math.inf
