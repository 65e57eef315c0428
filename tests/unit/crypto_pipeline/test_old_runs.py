"""Runs in a real Dagster instance on disk are forgotten, file by file, when they are old."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from dagster import (
    AssetCheckResult,
    DagsterInstance,
    Definitions,
    MaterializeResult,
    asset,
    asset_check,
    define_asset_job,
    in_process_executor,
)

from crypto_pipeline.old_runs import forget_runs
from crypto_pipeline.resources import LakehouseResource
from shared.clock import SettableClock, SystemClock


@asset
def table() -> MaterializeResult[None]:
    print("written to the run's log")  # noqa: T201 - the log is what is looked at
    return MaterializeResult(metadata={"rows": 1})


@asset
def broken() -> None:
    raise ValueError


@asset_check(asset=table)
def checked() -> AssetCheckResult:
    return AssetCheckResult(passed=True)


DEFINITIONS = Definitions(
    assets=[table, broken],
    asset_checks=[checked],
    jobs=[
        define_asset_job(name, selection=[name], executor_def=in_process_executor)
        for name in ("table", "broken")
    ],
)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path)) as found:
        yield found


def run(instance: DagsterInstance, job: str) -> str:
    definition = DEFINITIONS.resolve_job_def(job)
    return definition.execute_in_process(instance=instance, raise_on_error=False).run_id


def forget(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, later: timedelta) -> None:
    later_ns = int(later.total_seconds() * 10**9)
    clock = SettableClock(SystemClock().now_ns() + later_ns)
    monkeypatch.setattr(LakehouseResource, "clock", clock)
    resources = {"lakehouse": LakehouseResource()}
    assert forget_runs.execute_in_process(instance=instance, resources=resources).success


def left_of(folder: Path, run_id: str) -> set[str]:
    """Return the files and tables in which a run is still named."""
    found = {str(path.relative_to(folder)) for path in folder.rglob(f"*{run_id}*")}
    for path in folder.rglob("*.db"):
        with sqlite3.connect(path) as database:
            listed = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (name,) in listed.fetchall():
                columns = [row[1] for row in database.execute(f"PRAGMA table_info({name})")]
                if "run_id" in columns:
                    query = f"SELECT count(*) FROM {name} WHERE run_id = ?"
                    if database.execute(query, (run_id,)).fetchone()[0]:
                        found.add(f"{path.name}: {name}")
    return found


def test_an_old_run_leaves_neither_files_nor_rows_and_a_younger_one_stays(
    instance, tmp_path, monkeypatch
):
    done, failed = run(instance, "table"), run(instance, "broken")
    before = {run_id: left_of(tmp_path, run_id) for run_id in (done, failed)}
    assert "index.db: asset_check_executions" in before[done]
    assert any(name.endswith(f"{done}.db") for name in before[done])
    assert any(name.startswith("storage") for name in before[done])
    forget(instance, monkeypatch, timedelta(hours=23))
    assert {run_id: left_of(tmp_path, run_id) for run_id in before} == before
    forget(instance, monkeypatch, timedelta(hours=25))
    assert left_of(tmp_path, done) == set()
    assert left_of(tmp_path, failed) == before[failed]
    forget(instance, monkeypatch, timedelta(days=8))
    assert left_of(tmp_path, failed) == set()


def test_a_table_is_still_known_to_be_fresh_when_its_last_run_is_forgotten(instance, monkeypatch):
    run(instance, "table")
    forget(instance, monkeypatch, timedelta(days=2))
    (record,) = instance.get_asset_records([table.key])
    assert record.asset_entry.last_materialization_record is not None
