"""When a tick or a healing starts, in a real Dagster instance; the lake is not there, so nothing is open."""

import time
from collections.abc import Iterator

import pytest
from dagster import (
    AssetsDefinition,
    DagsterInstance,
    DagsterRunStatus,
    MaterializeResult,
    RunRequest,
    SensorDefinition,
    SkipReason,
    build_sensor_context,
    materialize,
)

from crypto_pipeline.assets.describe import table_asset
from crypto_pipeline.automation import HEAL_JOB, JOB, SHORT_JOB, heal_open_gaps, next_tick
from crypto_pipeline.definitions import defs
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES, TableSpec
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


@pytest.mark.parametrize(
    ("job", "sensor"),
    [(HEAL_JOB, heal_open_gaps), (JOB, next_tick), (SHORT_JOB, next_tick)],
)
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


def at(monkeypatch: pytest.MonkeyPatch, begun_ns: int, seconds: float) -> None:
    """Set our time."""
    clock = SettableClock(begun_ns + int(seconds * 10**9) + 1000)
    monkeypatch.setattr(LakehouseResource, "clock", clock)


def ended(instance: DagsterInstance, job: str) -> int:
    """Begin and end a run of a job; returns when it was asked for, ns."""
    begin(instance, job, DagsterRunStatus.FAILURE)
    (record,) = instance.get_run_records(limit=1)
    return int(record.create_timestamp.timestamp() * 1e9)


def job_of(asked_for: object) -> str | None:
    assert isinstance(asked_for, RunRequest), asked_for
    return asked_for.job_name


def test_a_whole_tick_begins_a_minute_after_the_one_before_and_a_short_one_between(
    instance, monkeypatch
):
    assert job_of(asked(instance, next_tick)) == JOB
    whole_ns = ended(instance, JOB)
    begin(instance, HEAL_JOB, DagsterRunStatus.SUCCESS)
    at(monkeypatch, whole_ns, 29)
    assert asked(instance, next_tick) == "the last tick began 29 s ago"
    at(monkeypatch, whole_ns, 30)
    assert job_of(asked(instance, next_tick)) == SHORT_JOB
    short_ns = ended(instance, SHORT_JOB)
    at(monkeypatch, short_ns, 29)
    assert asked(instance, next_tick) == "the last tick began 29 s ago"
    at(monkeypatch, whole_ns, 60)
    assert job_of(asked(instance, next_tick)) == JOB


def test_a_whole_tick_that_took_long_is_followed_by_a_short_one(instance, monkeypatch):
    at(monkeypatch, ended(instance, JOB), 85)
    assert job_of(asked(instance, next_tick)) == SHORT_JOB
    at(monkeypatch, ended(instance, SHORT_JOB), 85)
    assert job_of(asked(instance, next_tick)) == JOB


def test_short_ticks_follow_each_other_while_no_whole_one_is_due(instance, monkeypatch):
    monkeypatch.setenv("CRYPTO_DAGSTER__TICK_EVERY_S", "300")
    whole_ns = ended(instance, JOB)
    short_ns = ended(instance, SHORT_JOB)
    at(monkeypatch, short_ns, 30)
    assert job_of(asked(instance, next_tick)) == SHORT_JOB
    at(monkeypatch, whole_ns, 300)
    assert job_of(asked(instance, next_tick)) == JOB


def test_where_short_ticks_would_be_as_rare_as_whole_ones_there_are_none(instance, monkeypatch):
    monkeypatch.setenv("CRYPTO_DAGSTER__TRADES_EVERY_S", "60")
    whole_ns = ended(instance, JOB)
    at(monkeypatch, whole_ns, 59)
    assert asked(instance, next_tick) == "the last tick began 59 s ago"
    at(monkeypatch, whole_ns, 60)
    assert job_of(asked(instance, next_tick)) == JOB


@pytest.mark.parametrize("job", [JOB, SHORT_JOB])
def test_a_tick_that_began_in_the_future_does_not_hold_up_the_next(instance, monkeypatch, job):
    at(monkeypatch, ended(instance, job), -3600)
    assert job_of(asked(instance, next_tick)) == JOB


def test_a_short_tick_brings_trades_to_the_candles_and_checks_nothing():
    layer = defs.resolve_job_def(SHORT_JOB).asset_layer
    keys = {key.to_user_string() for key in layer.selected_asset_keys}
    assert keys == {"bronze_trades", "silver_trades", "gold_ohlcv"}
    assert not layer.asset_graph.asset_check_keys


def test_trades_are_brought_to_the_candles_before_all_else(instance):
    order: list[str] = []

    def asset_of(spec: TableSpec) -> AssetsDefinition:
        def fill(_: LakehouseResource) -> MaterializeResult[None]:
            order.append(spec.name)
            return MaterializeResult()

        return table_asset(spec, fill)

    assets = [asset_of(spec) for spec in TABLES.values()]
    materialize(assets, instance=instance, resources={"lakehouse": LakehouseResource()})
    assert order[:3] == ["bronze_trades", "silver_trades", "gold_ohlcv"]
    assert len(order) == len(TABLES)


def test_a_tick_leaves_healing_out_and_a_healing_does_all_that_a_tick_does():
    keys = {
        job: {
            key.to_user_string()
            for key in defs.resolve_job_def(job).asset_layer.selected_asset_keys
        }
        for job in ("lake_tick", HEAL_JOB)
    }
    assert keys[HEAL_JOB] - keys["lake_tick"] == {"healing"}
