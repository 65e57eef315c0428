"""When a healing starts, in a real Dagster instance; the lake is not there, so nothing is open."""

from collections.abc import Iterator

import pytest
from dagster import DagsterInstance, DagsterRunStatus, SkipReason, build_sensor_context

from crypto_pipeline.automation import HEAL_JOB, heal_open_gaps
from crypto_pipeline.definitions import defs
from crypto_pipeline.resources import LakehouseResource


@pytest.fixture
def instance(tmp_path, monkeypatch) -> Iterator[DagsterInstance]:
    symbols = tmp_path / "symbols.yaml"
    symbols.write_text("version: 1\nexchanges:\n  binance:\n    spot:\n      BTCUSDT: {}\n")
    monkeypatch.setenv("CRYPTO_PATHS__SYMBOLS_FILE", str(symbols))
    monkeypatch.setenv("CRYPTO_PATHS__DATA_DIR", str(tmp_path))
    with DagsterInstance.ephemeral() as found:
        yield found


def asked(instance: DagsterInstance) -> SkipReason:
    resources = {"lakehouse": LakehouseResource()}
    with build_sensor_context(instance, resources=resources) as context:
        said = heal_open_gaps(context)
    assert isinstance(said, SkipReason)
    return said


def test_nothing_is_healed_where_nothing_is_open(instance):
    assert "no open gap" in (asked(instance).skip_message or "")


def test_one_healing_at_a_time(instance):
    job = defs.resolve_job_def(HEAL_JOB)
    instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)
    assert "still running" in (asked(instance).skip_message or "")


def test_a_tick_leaves_healing_out_and_a_healing_does_all_that_a_tick_does():
    keys = {
        job: {
            key.to_user_string()
            for key in defs.resolve_job_def(job).asset_layer.selected_asset_keys
        }
        for job in ("lake_tick", HEAL_JOB)
    }
    assert keys[HEAL_JOB] - keys["lake_tick"] == {"healing"}
