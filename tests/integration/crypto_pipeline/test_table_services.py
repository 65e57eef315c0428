"""Upkeep on real tables: what it changes, and what every reader still sees."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from crypto_lake.tables import Lake as Reader
from crypto_pipeline.tables import Layer
from crypto_pipeline.utils import hudi_utils, table_services
from crypto_pipeline.utils.hudi_options import compaction
from shared.lake import upkeep
from tests.integration.crypto_pipeline.test_hudi_utils import APPEND, UPSERT, Rows, lake, rows

__all__ = ["lake", "rows"]
pytestmark = [pytest.mark.spark]
OPEN, CLOSED = date(2024, 8, 8), date(2024, 8, 9)
BOTH = pytest.mark.parametrize("spec", [APPEND, UPSERT], ids=lambda spec: spec.name)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep less, so that a dozen writes are already too many."""
    for name, value in {"RETAINED": 3, "ACTIVE": 5, "OPEN_FILES": 6, "MOST_LOGS": 4}.items():
        monkeypatch.setattr(upkeep, name, value)


def steps(spark: SparkSession, lake: str, spec, today: date) -> list[str]:
    """Maintain a table; returns the first word of each step."""
    done = table_services.maintain(spark, lake, spec, today)
    return [text.split()[0] for text, _ in done]


def ids(frame) -> list[int]:
    return sorted(int(row.id) for row in frame.select("id").collect())


@BOTH
def test_upkeep_keeps_rows_checkpoint_and_increments_and_leaves_little_to_read(
    spark, rows: Rows, lake, spec, short
):
    for number in range(10):
        report = hudi_utils.write(rows(number * 10, number * 10 + 10), spec, lake, {"n": number})
    until = report.commit.completed
    first = steps(spark, lake, spec, OPEN)
    assert first == [{APPEND: "merge", UPSERT: "compact"}[spec], "archive"]
    assert steps(spark, lake, spec, OPEN) == []
    assert hudi_utils.last_checkpoint(lake, spec) == b'{"n":9}'
    assert hudi_utils.latest_completion(lake, spec) == until
    assert ids(hudi_utils.read(spark, spec, lake)) == list(range(100))
    newest = hudi_utils.commits(lake, spec)[0].completed
    assert hudi_utils.read_since(spark, spec, lake, until, newest).count() == 0
    for number in range(10, 15):
        report = hudi_utils.write(rows(number * 10, number * 10 + 10), spec, lake, {"n": number})
        since = hudi_utils.read_since(spark, spec, lake, until, report.commit.completed)
        assert ids(since) == list(range(number * 10, number * 10 + 10))
        until = report.commit.completed
    assert "clean" in steps(spark, lake, spec, CLOSED)
    state = table_services.state_of(lake, spec)
    assert state is not None
    assert max(state.base_files.values()) <= upkeep.CLOSED_FILES
    assert not any(item.log_bytes for item in state.slices)
    assert state.expired_bytes == 0
    assert hudi_utils.last_checkpoint(lake, spec) == b'{"n":14}'
    assert ids(hudi_utils.read(spark, spec, lake)) == list(range(150))


@BOTH
def test_a_reader_however_far_behind_what_was_cleaned_and_archived_misses_nothing(
    spark, rows: Rows, lake, spec, short
):
    seen = []
    for number in range(12):
        new = rows(number * 10, number * 10 + 12, order=number)
        seen.append(hudi_utils.write(new, spec, lake, {"n": number}).commit.completed)
        if number % 2:
            steps(spark, lake, spec, CLOSED)
    oldest = hudi_utils.commits(lake, spec)[-1].completed
    assert oldest > seen[1], "what the first readers have seen is archived"
    for number, after in enumerate([None, *seen[:-1]]):
        since = hudi_utils.read_since(spark, spec, lake, after, seen[-1])
        brought = [i for n in range(number, 12) for i in range(n * 10, n * 10 + 12)]
        expected = brought if spec is APPEND else sorted(set(brought))
        assert ids(since) == sorted(expected), f"a reader that has seen {number} of 12 writes"


def test_what_a_killed_run_left_planned_is_finished_by_the_next(spark, rows: Rows, lake, short):
    for spec, service in ((APPEND, table_services.clustering), (UPSERT, compaction)):
        for number in range(4):
            hudi_utils.write(rows(number * 10, number * 10 + 10), spec, lake, {"n": number})
        spark.sql(service(f"{lake}/{spec.name}", "schedule")).collect()
        state = table_services.state_of(lake, spec)
        assert state is not None
        assert any(item.is_unfinished_service for item in state.timeline)
        hudi_utils.write(rows(40, 50), spec, lake, {"n": 4})
        assert steps(spark, lake, spec, OPEN)[0] == "finish"
        state = table_services.state_of(lake, spec)
        assert state is not None
        assert not any(item.is_unfinished_service for item in state.timeline)
        assert ids(hudi_utils.read(spark, spec, lake)) == list(range(50))
        assert hudi_utils.last_checkpoint(lake, spec) == b'{"n":4}'


def test_a_table_that_does_not_exist_needs_nothing(spark, lake):
    assert table_services.state_of(lake, APPEND) is None
    assert steps(spark, lake, APPEND, OPEN) == []


def test_logs_of_one_form_are_read_and_compacted_beside_those_of_the_other(spark, rows: Rows, lake):
    hudi_utils.write(rows(0, 10), UPSERT, lake, {})
    hudi_utils.write(rows(5, 15, order=1), replace(UPSERT, layer=Layer.GOLD), lake, {})
    hudi_utils.write(rows(10, 20, order=2), UPSERT, lake, {})
    logs = sorted(Path(lake, UPSERT.name).glob("symbol=*/date=*/.*.log.*[0-9]"))
    assert [b"PAR1" in log.read_bytes() for log in logs] == [False, True]
    orders = {number: min(number // 5, 2) for number in range(20)}
    for is_compacted in (False, True):
        if is_compacted:
            assert steps(spark, lake, UPSERT, CLOSED) == ["compact"]
        by_spark = [row.asDict() for row in hudi_utils.read(spark, UPSERT, lake).collect()]
        for found in (by_spark, Reader(lake).read(UPSERT.name).to_pylist()):
            assert len(found) == len(orders)
            assert {int(row["id"]): row["row_order"] for row in found} == orders
            assert all(row["price"] * 8 == int(row["id"]) for row in found)
            assert all(row["bids"][1]["price"] == row["price"] for row in found)
