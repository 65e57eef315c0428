"""Alerts of a real Dagster instance on a real broker."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterInstance,
    build_sensor_context,
    job,
    op,
)

from crypto_pipeline.alarms import runs_failed, staleness_sensor
from crypto_pipeline.errors import KafkaUnreachableError
from crypto_pipeline.resources import LakehouseResource
from shared.alerts import Alert, AlertKind
from shared.market.topics import Feed
from tests.conftest import free_port
from tests.integration.conftest import records

pytestmark = [pytest.mark.kafka]

# The age that makes a table stale is what is tested, so here it has to pass.
STALE_AFTER = timedelta(seconds=2)


@op
def burns() -> None:
    raise ValueError("no lake today")


@job
def doomed() -> None:
    burns()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def alerts(bootstrap: str) -> list[Alert]:
    return [msgspec.json.decode(value, type=Alert) for _, value in records(bootstrap, Feed.ALERTS)]


def look(instance: DagsterInstance, cursor: str | None) -> str | None:
    """Evaluate the sensor of failed runs; returns its cursor."""
    resources = {"lakehouse": LakehouseResource()}
    with build_sensor_context(instance, cursor=cursor, resources=resources) as context:
        return runs_failed(context).cursor


def test_a_failed_run_becomes_one_alert_also_when_the_broker_was_away(
    topics: str, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_KAFKA__BOOTSTRAP_SERVERS", topics)
    cursor = look(instance, None)
    result = doomed.execute_in_process(instance=instance, raise_on_error=False)
    monkeypatch.setenv("CRYPTO_KAFKA__BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    with pytest.raises(KafkaUnreachableError, match="topic alerts"):
        look(instance, cursor)
    monkeypatch.setenv("CRYPTO_KAFKA__BOOTSTRAP_SERVERS", topics)
    cursor = look(instance, cursor)
    assert look(instance, cursor) == cursor
    (alert,) = alerts(topics)
    assert (alert.kind, alert.subject) == (AlertKind.RUN_FAILED, "doomed")
    assert result.run_id in alert.text
    assert "burns" in alert.text


def test_a_table_that_stands_still_is_told_once_and_again_when_it_moves(
    topics: str, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_KAFKA__BOOTSTRAP_SERVERS", topics)
    monkeypatch.setattr("crypto_pipeline.alarms.STALE_AFTER", STALE_AFTER)
    watch = staleness_sensor([AssetKey("gold_ohlcv"), AssetKey("never_filled")])
    cursor = None
    for moves in (True, False, False, True):
        if moves:
            instance.report_runless_asset_event(AssetMaterialization(AssetKey("gold_ohlcv")))
        else:
            time.sleep(STALE_AFTER.total_seconds())
        resources = {"lakehouse": LakehouseResource()}
        with build_sensor_context(instance, cursor=cursor, resources=resources) as context:
            cursor = watch(context).cursor
    assert [(alert.kind, alert.subject) for alert in alerts(topics)] == [
        (AlertKind.STALE, "gold_ohlcv"),
        (AlertKind.FRESH, "gold_ohlcv"),
    ]
