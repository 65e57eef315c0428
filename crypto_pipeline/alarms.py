"""What the lake cries out about: a run that failed, a table that is no longer brought up to date.

Each becomes a record on the topic `alerts`. A sensor that cannot send one fails, and Dagster evaluates
it again: no alert is lost while the broker is away.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec
from dagster import (
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRecord,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)

from crypto_pipeline.assets.describe import STALE_AFTER
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.utils.broker import publish
from shared.alerts import Alert, AlertKind
from shared.clock import SystemClock
from shared.market.topics import Feed

_TOPIC = Feed.ALERTS.value


def stale(reported_s: Mapping[str, float], now_s: float) -> set[str]:
    """Return the tables whose last report (s since the epoch) is too old."""
    return {name for name, at_s in reported_s.items() if now_s - at_s > STALE_AFTER.total_seconds()}


def freshness_alerts(before: set[str], now: set[str], now_ns: int) -> list[Alert]:
    """Return an alert for each table that has become stale, or fresh again."""
    minutes = int(STALE_AFTER.total_seconds() // 60)
    texts = {
        AlertKind.STALE: (now - before, f"not brought up to date for {minutes} minutes"),
        AlertKind.FRESH: (before - now, "brought up to date again"),
    }
    return [
        Alert(kind=kind, subject=name, text=text, raised_at=now_ns // 1000)
        for kind, (names, text) in texts.items()
        for name in sorted(names)
    ]


@sensor(
    name="runs_failed",
    description="Raises an alert for every run that failed, whatever its job",
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
)
def runs_failed(context: SensorEvaluationContext, lakehouse: LakehouseResource) -> SensorResult:
    """Tell the runs that failed since the last look; the cursor is the time (s) of the last one told.

    Not Dagster's own sensor of failures: that one goes on when an alert could not be sent.
    """
    told_s = float(context.cursor or SystemClock().now_ns() / 1e9)
    records = context.instance.get_run_records(
        RunsFilter(
            statuses=[DagsterRunStatus.FAILURE], updated_after=datetime.fromtimestamp(told_s, UTC)
        ),
        order_by="update_timestamp",
        ascending=True,
    )
    _raise(lakehouse, [_failure(context.instance, record) for record in records])
    latest_s = max((record.update_timestamp.timestamp() for record in records), default=told_s)
    return SensorResult(cursor=repr(latest_s))


def _failure(instance: DagsterInstance, record: RunRecord) -> Alert:
    run = record.dagster_run
    entries = instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_FAILURE)
    said = next((entry.dagster_event.message or "" for entry in entries if entry.dagster_event), "")
    return Alert(
        kind=AlertKind.RUN_FAILED,
        subject=run.job_name,
        text=f"run {run.run_id}: {said}",
        raised_at=int(record.update_timestamp.timestamp() * 1e6),
    )


def staleness_sensor(tables: Iterable[AssetKey]) -> SensorDefinition:
    """Return the sensor that watches these tables; its cursor holds those known to be stale."""
    keys = list(tables)

    @sensor(
        name="tables_are_stale",
        description="Raises an alert when a table is no longer brought up to date, and when it is again",
        minimum_interval_seconds=60,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def watch(context: SensorEvaluationContext, lakehouse: LakehouseResource) -> SensorResult:
        now_ns = SystemClock().now_ns()
        before = set(msgspec.json.decode(context.cursor or "[]", type=list[str]))
        now = stale(_reported(context.instance, keys), now_ns / 1e9)
        _raise(lakehouse, freshness_alerts(before, now, now_ns))
        return SensorResult(cursor=msgspec.json.encode(sorted(now)).decode())

    return watch


def _reported(instance: DagsterInstance, keys: list[AssetKey]) -> dict[str, float]:
    """Return when each table was last reported, s since the epoch; those never reported are left out."""
    records = instance.get_asset_records(keys)
    entries = (record.asset_entry for record in records)
    return {
        entry.asset_key.to_user_string(): entry.last_materialization_record.timestamp
        for entry in entries
        if entry.last_materialization_record is not None
    }


def _raise(lakehouse: LakehouseResource, alerts: Iterable[Alert]) -> None:
    publish(
        lakehouse.bootstrap,
        _TOPIC,
        ((alert.subject.encode(), msgspec.json.encode(alert)) for alert in alerts),
    )
