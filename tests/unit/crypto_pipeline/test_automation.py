"""When a tick or a healing starts, in a real Dagster instance; the lake is not there, so nothing is open."""

import time
from collections.abc import Iterator

import pytest
from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    RunRequest,
    SensorDefinition,
    SkipReason,
    build_sensor_context,
)

from crypto_pipeline.automation import HEAL_JOB, JOB, heal_open_gaps, next_tick
from crypto_pipeline.definitions import defs
from crypto_pipeline.resources import LakehouseResource
from shared.clock import SettableClock


@pytest.fixture
def instance(tmp_path, monkeypatch) -> Iterator[DagsterInstance]:
    symbols = tmp_path / "symbols.yaml"
    symbols.write_text("version: 1\nexchanges:\n  binance:\n    spot:\n      BTCUSDT: {}\n")
    monkeypatch.setenv("CRYPTO_PATHS__SYMBOLS_FILE", str(symbols))
    monkeypatch.setenv("CRYPTO_PATHS__DATA_DIR", str(tmp_path))
    with DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def clock(monkeypatch) -> SettableClock:
    found = SettableClock(time.time_ns())
    monkeypatch.setattr(LakehouseResource, "clock", found)
    return found


def asked(instance: DagsterInstance, sensor: SensorDefinition) -> object:
    """Return why the sensor starts nothing, or what it starts."""
    resources = {"lakehouse": LakehouseResource()}
    with build_sensor_context(instance, resources=resources) as context:
        said = sensor(context)
    return said.skip_message if isinstance(said, SkipReason) else said


def begin(instance: DagsterInstance, job: str, status: DagsterRunStatus) -> None:
    instance.create_run_for_job(defs.resolve_job_def(job), status=status)


def test_nothing_is_healed_where_nothing_is_open(instance):
    assert asked(instance, heal_open_gaps) == "no open gap is due"


@pytest.mark.parametrize(("job", "sensor"), [(HEAL_JOB, heal_open_gaps), (JOB, next_tick)])
@pytest.mark.parametrize(
    "status",
    [
        DagsterRunStatus.NOT_STARTED,
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTED,
        DagsterRunStatus.CANCELING,
    ],
)
def test_one_of_each_at_a_time(instance, clock, job, sensor, status):
    begin(instance, job, status)
    clock.advance(3600 * 10**9)
    assert "still running" in str(asked(instance, sensor))


def test_a_tick_begins_a_minute_after_the_one_before_or_when_that_ends_later(instance, monkeypatch):
    assert isinstance(asked(instance, next_tick), RunRequest)
    begin(instance, JOB, DagsterRunStatus.FAILURE)
    (record,) = instance.get_run_records()
    begin(instance, HEAL_JOB, DagsterRunStatus.SUCCESS)
    begun_ns = int(record.create_timestamp.timestamp() * 1e9)
    monkeypatch.setattr(LakehouseResource, "clock", SettableClock(begun_ns + 59 * 10**9))
    assert asked(instance, next_tick) == "the last tick began 59 s ago"
    monkeypatch.setattr(LakehouseResource, "clock", SettableClock(begun_ns + 60 * 10**9 + 1000))
    assert isinstance(asked(instance, next_tick), RunRequest)


def test_a_tick_that_began_in_the_future_does_not_hold_up_the_next(instance, clock, monkeypatch):
    begin(instance, JOB, DagsterRunStatus.SUCCESS)
    monkeypatch.setattr(LakehouseResource, "clock", SettableClock(clock.now_ns() - 3600 * 10**9))
    assert isinstance(asked(instance, next_tick), RunRequest)


def test_a_tick_leaves_healing_out_and_a_healing_does_all_that_a_tick_does():
    keys = {
        job: {
            key.to_user_string()
            for key in defs.resolve_job_def(job).asset_layer.selected_asset_keys
        }
        for job in ("lake_tick", HEAL_JOB)
    }
    assert keys[HEAL_JOB] - keys["lake_tick"] == {"healing"}
