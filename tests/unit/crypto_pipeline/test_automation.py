"""When a tick or a healing starts, in a real Dagster instance; the lake is not there, so nothing is open."""

import shutil
import time
from collections.abc import Iterator

import pytest
from dagster import (
    AssetCheckKey,
    AssetMaterialization,
    AssetsDefinition,
    DagsterInstance,
    DagsterRunStatus,
    MaterializeResult,
    SensorDefinition,
    SensorResult,
    SkipReason,
    build_sensor_context,
    materialize,
)

from crypto_pipeline.assets.describe import table_asset
from crypto_pipeline.automation import HEAL_JOB, JOB, TICK_TAG, heal_open_gaps, next_tick
from crypto_pipeline.definitions import defs
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.rounds import OTHERS
from crypto_pipeline.tables import EACH_TICK, TABLES, TableSpec
from shared.clock import SettableClock
from tests.conftest import REPO


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


def asked(instance: DagsterInstance, sensor: SensorDefinition, cursor: str | None = None) -> object:
    """Return why the sensor starts nothing, or what it starts."""
    resources = {"lakehouse": LakehouseResource()}
    with build_sensor_context(
        instance, cursor, repository_def=defs.get_repository_def(), resources=resources
    ) as context:
        said = sensor(context)
    return said.skip_message if isinstance(said, SkipReason) else said


def begin(instance: DagsterInstance, job: str, status: DagsterRunStatus) -> None:
    instance.create_run_for_job(defs.resolve_job_def(job), status=status)


def test_nothing_is_healed_where_nothing_is_open(instance):
    assert asked(instance, heal_open_gaps) == "no open gap is due"


NEITHER_RUNNING_NOR_ENDED = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.CANCELING,
]


@pytest.mark.parametrize("status", [*NEITHER_RUNNING_NOR_ENDED, DagsterRunStatus.STARTED])
def test_one_healing_at_a_time(instance, clock, status):
    begin(instance, HEAL_JOB, status)
    clock.advance(3600 * 10**9)
    assert "still running" in str(asked(instance, heal_open_gaps))


@pytest.mark.parametrize("status", NEITHER_RUNNING_NOR_ENDED)
def test_one_tick_waits_at_a_time(instance, clock, status):
    begin(instance, JOB, status)
    clock.advance(3600 * 10**9)
    assert "a tick is waiting" in str(asked(instance, next_tick))


def test_the_next_tick_waits_while_the_last_one_runs(instance, monkeypatch):
    first = asked(instance, next_tick)
    begin(instance, JOB, DagsterRunStatus.STARTED)
    at(monkeypatch, time.time_ns(), 20)
    assert "the last tick began" in str(asked(instance, next_tick, cursor(first)))
    at(monkeypatch, time.time_ns(), 40)
    assert tables(asked(instance, next_tick, cursor(first))) == ()


def at(monkeypatch: pytest.MonkeyPatch, begun_ns: int, seconds: float) -> None:
    """Set our time."""
    clock = SettableClock(begun_ns + int(seconds * 10**9) + 1000)
    monkeypatch.setattr(LakehouseResource, "clock", clock)


def ended(instance: DagsterInstance, job: str) -> int:
    """Begin and end a run of a job; returns when it was asked for, ns."""
    begin(instance, job, DagsterRunStatus.FAILURE)
    (record,) = instance.get_run_records(limit=1)
    return int(record.create_timestamp.timestamp() * 1e9)


def took(instance: DagsterInstance, seconds: dict[str, float]) -> None:
    """Have tables report how long they took."""
    for name, each in seconds.items():
        metadata = {"seconds": each}
        instance.report_runless_asset_event(AssetMaterialization(name, metadata=metadata))


def tables(asked_for: object) -> tuple[str, ...]:
    """Return the tables that a tick is asked for, those that each tick fills apart."""
    assert isinstance(asked_for, SensorResult), asked_for
    (request,) = asked_for.run_requests or ()
    assert request.asset_selection is not None
    names = tuple(key.to_user_string() for key in request.asset_selection)
    assert names[: len(EACH_TICK)] == EACH_TICK
    return names[len(EACH_TICK) :]


def cursor(asked_for: object) -> str | None:
    assert isinstance(asked_for, SensorResult), asked_for
    return asked_for.cursor


def checks(asked_for: object) -> set[str]:
    assert isinstance(asked_for, SensorResult), asked_for
    (request,) = asked_for.run_requests or ()
    assert request.asset_check_keys is not None
    return {key.to_user_string() for key in request.asset_check_keys}


def test_a_round_begins_a_minute_after_the_one_before_and_trades_come_between(
    instance, monkeypatch
):
    first = asked(instance, next_tick)
    assert tables(first) == OTHERS
    begun_ns = ended(instance, JOB)
    begin(instance, HEAL_JOB, DagsterRunStatus.SUCCESS)
    at(monkeypatch, begun_ns, 29)
    assert asked(instance, next_tick, cursor(first)) == "the last tick began 29 s ago"
    at(monkeypatch, begun_ns, 30)
    between = asked(instance, next_tick, cursor(first))
    assert tables(between) == ()
    assert not checks(between)
    again_ns = ended(instance, JOB)
    at(monkeypatch, again_ns, 29)
    assert asked(instance, next_tick, cursor(between)) == "the last tick began 29 s ago"
    at(monkeypatch, begun_ns, 61)
    assert tables(asked(instance, next_tick, cursor(between))) == OTHERS


def test_a_round_that_is_due_does_not_wait_for_the_trades(instance, monkeypatch):
    first = cursor(asked(instance, next_tick))
    at(monkeypatch, ended(instance, JOB), 10)
    monkeypatch.setenv("CRYPTO_DAGSTER__TICK_EVERY_S", "5")
    assert tables(asked(instance, next_tick, first)) == OTHERS
    monkeypatch.setenv("CRYPTO_DAGSTER__TICK_EVERY_S", "11")
    assert asked(instance, next_tick, first) == "the last tick began 10 s ago"


def test_where_trades_are_to_come_more_rarely_than_rounds_they_come_with_these(
    instance, monkeypatch
):
    monkeypatch.setenv("CRYPTO_DAGSTER__TRADES_EVERY_S", "300")
    took(instance, dict.fromkeys(OTHERS, 100.0))
    first = asked(instance, next_tick)
    at(monkeypatch, ended(instance, JOB), 60)
    assert tables(asked(instance, next_tick, cursor(first))) == OTHERS[1:2]


def test_the_time_of_a_portion_is_a_setting(instance, monkeypatch):
    took(instance, dict.fromkeys(OTHERS, 4.0))
    monkeypatch.setenv("CRYPTO_DAGSTER__PORTION_S", "21")
    assert tables(asked(instance, next_tick)) == OTHERS[:5]


@pytest.mark.parametrize("metadata", [{}, {"seconds": "long"}])
def test_a_table_that_is_reported_by_hand_holds_up_no_tick(instance, metadata):
    instance.report_runless_asset_event(AssetMaterialization(OTHERS[0], metadata=metadata))
    assert tables(asked(instance, next_tick)) == OTHERS


@pytest.mark.parametrize("written", ["garbage", '{"begun_s":"x"}', '{"another":1}'])
def test_a_cursor_of_another_version_begins_a_round(instance, written):
    assert tables(asked(instance, next_tick, written)) == OTHERS


def test_what_takes_long_is_taken_a_portion_at_a_time_and_each_table_once(instance, monkeypatch):
    took(instance, dict.fromkeys(OTHERS, 1.5))
    begun_ns, taken, last = time.time_ns(), [], None
    for number in range(7):
        at(monkeypatch, begun_ns, 40 * number)
        said = asked(instance, next_tick, last)
        taken.append(tables(said))
        last = cursor(said)
        ended(instance, JOB)
    assert [len(names) for names in taken] == [3, 3, 3, 3, 3, 2, 3], "the ledger's three together"
    assert tuple(name for names in taken for name in names) == OTHERS
    at(monkeypatch, begun_ns, 340)
    assert tables(asked(instance, next_tick, last)) == OTHERS[:3]


def test_each_check_of_a_tick_looks_once_in_a_round_after_the_tables_that_it_needs(instance):
    took(instance, dict.fromkeys(OTHERS, 100.0))
    looked: list[str] = []
    last = None
    graph, filled = defs.resolve_asset_graph(), {*EACH_TICK}
    while not filled >= {*OTHERS}:
        said = asked(instance, next_tick, last)
        assert not filled & {*tables(said)}
        filled.update(tables(said))
        for key in checks(said):
            needs = graph.get(AssetCheckKey.from_user_string(key)).parent_entity_keys
            assert {need.to_user_string() for need in needs} <= filled
            looked.append(key)
        last = cursor(said)
    layer = defs.resolve_job_def(JOB).asset_layer.asset_graph
    assert sorted(looked) == sorted(key.to_user_string() for key in layer.asset_check_keys)


def test_a_clock_that_was_set_back_does_not_hold_up_the_next_tick(instance, monkeypatch):
    said = asked(instance, next_tick)
    at(monkeypatch, ended(instance, JOB), -3600)
    assert tables(asked(instance, next_tick, cursor(said))) == OTHERS


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


def test_dagsters_queue_lets_one_tick_run_at_a_time(tmp_path):
    shutil.copy(REPO / "config" / "dagster.yaml", tmp_path)
    with DagsterInstance.from_config(str(tmp_path)) as configured:
        queue = configured.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.tag_concurrency_limits == [{"key": TICK_TAG, "limit": 1}]
    assert TICK_TAG in defs.resolve_job_def(JOB).tags
