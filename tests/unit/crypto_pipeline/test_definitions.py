"""The asset graph as a reviewed artefact."""

import subprocess
import sys

import pytest
from dagster import AssetKey, DefaultSensorStatus, validate_run_config

from crypto_pipeline.definitions import defs
from crypto_pipeline.tables import TABLES

GRAPH = {
    "archive_days": set(),
    "healing": set(),
    "bronze_trades": {"archive_days", "healing"},
    "bronze_depth": {"healing"},
    "bronze_klines": {"archive_days", "healing"},
    "bronze_quotes": {"healing"},
    "bronze_raw_events": {"healing"},
    "bronze_stream_status": {"healing"},
    "quality_dead_letters": {
        "bronze_trades", "bronze_depth", "bronze_klines", "bronze_quotes", "bronze_raw_events",
        "bronze_stream_status",
    },
    "quality_reconciliation": {"bronze_trades", "bronze_klines"},
    "silver_trades": {"bronze_trades"},
    "silver_klines": {"bronze_klines"},
    "silver_quotes": {"bronze_quotes"},
    "silver_marks": {"bronze_quotes"},
    "silver_book": {"bronze_depth"},
    "gold_ohlcv": {"silver_trades"},
    "gold_book_metrics": {"silver_book"},
    "gold_liquidity": {"silver_book"},
    "gold_volume_profile": {"silver_trades"},
    "gold_volatility": {"gold_ohlcv"},
    "gold_volume_spikes": {"gold_ohlcv"},
    "gold_indicators": {"gold_ohlcv"},
    "gold_correlation": {"gold_ohlcv"},
    "gold_funding_basis": {"silver_marks", "gold_ohlcv"},
    "gold_spread_episodes": {"gold_book_metrics"},
    "gold_daily_summary": {"gold_ohlcv", "gold_book_metrics", "gold_volume_spikes"},
    "quality_completeness": {
        "bronze_trades", "bronze_depth", "bronze_klines", "bronze_quotes", "bronze_stream_status",
    },
    "quality_gaps": {"quality_completeness", "quality_dead_letters"},
}  # fmt: skip


def test_the_graph_is_the_one_that_was_reviewed():
    graph = defs.resolve_asset_graph()
    found = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert found == GRAPH


@pytest.mark.parametrize("name", GRAPH)
def test_every_asset_is_described_owned_grouped_and_shows_its_columns(name):
    node = defs.resolve_asset_graph().get(AssetKey(name))
    assert node.description
    assert node.owners == ["team:lake"]
    assert node.group_name in {"bronze", "silver", "gold", "quality"}
    if name != "healing":
        assert node.metadata["dagster/column_schema"].columns


def test_every_table_that_upserts_is_checked_for_keys_and_every_bronze_for_balance():
    checks = {
        (key.asset_key.to_user_string(), key.name)
        for key in defs.resolve_asset_graph().asset_check_keys
    }
    assert {("silver_trades", "keys_once"), ("gold_ohlcv", "venue_candles")} <= checks
    assert ("bronze_depth", "kafka_balance") in checks
    assert {("quality_gaps", "no_open_gap"), ("quality_gaps", "keys_once")} <= checks
    assert len(checks) == 33


def test_a_tick_asks_the_venue_nothing_and_a_backfill_and_a_healing_end_in_the_tables():
    def assets_of(job: str) -> set[str]:
        layer = defs.resolve_job_def(job).asset_layer
        return {key.to_user_string() for key in layer.selected_asset_keys}

    tick = GRAPH.keys() - {"archive_days", "healing", "quality_reconciliation"}
    assert assets_of("lake_tick") == tick
    assert assets_of("heal") == tick | {"healing"}
    assert assets_of("backfill") == tick | {"archive_days"}
    assert assets_of("reconcile") == {"quality_reconciliation"}
    graph = defs.resolve_job_def("lake_tick").asset_layer.asset_graph
    assert len(graph.asset_check_keys) == 31, "each table's checks run in its tick"


@pytest.mark.parametrize("job", ["lake_tick", "heal", "backfill"])
def test_offsets_are_balanced_after_the_letters_that_count(job):
    order = [node.name for node in defs.resolve_job_def(job).nodes_in_topological_order]
    balances = [number for number, name in enumerate(order) if name.endswith("_kafka_balance")]
    assert len(balances) == 6
    assert min(balances) > order.index("quality_dead_letters")


def test_every_sensor_runs_unasked():
    found = {each.name: each.default_status for each in defs.sensors or ()}
    assert found.keys() == {"next_tick", "heal_open_gaps", "runs_failed", "tables_are_stale"}
    assert set(found.values()) == {DefaultSensorStatus.RUNNING}


def test_the_lake_is_maintained_every_20_minutes_by_one_op_per_table():
    minutes = {each.job_name: each.cron_schedule for each in defs.schedules or ()}
    assert minutes == {"lake_maintenance": "*/20 * * * *", "forget_runs": "7 * * * *"}
    nodes = defs.resolve_job_def("lake_maintenance").nodes
    assert {node.name for node in nodes} == {f"maintain_{name}" for name in TABLES}
    assert {node.definition.pool for node in nodes} == {"lake"}


def test_a_rebuild_goes_through_silver_and_gold_in_the_order_of_a_tick():
    job = defs.resolve_job_def("lake_rebuild")
    order = [node.name.removeprefix("rebuild_") for node in job.nodes_in_topological_order]
    chain = ["symbol_days", "silver_trades", "gold_ohlcv", "gold_volatility", "gold_daily_summary"]
    assert [order.index(name) for name in chain] == sorted(order.index(name) for name in chain)


@pytest.mark.parametrize(
    ("job", "ops"),
    [
        (
            "lake_rebuild",
            {"symbol_days": {"config": {"symbols": ["BTCUSDT"], "dates": ["2026-01-31"]}}},
        ),
        ("lake_release", {"release": {"config": {"name": "paper-1"}}}),
        ("lake_release", {"release": {"config": {"name": "paper-1", "drop": True}}}),
    ],
)
def test_a_job_takes_the_configuration_that_the_guides_show(job, ops):
    assert validate_run_config(defs.resolve_job_def(job), {"ops": ops})["ops"]


def test_definitions_load_without_a_setting_a_network_or_a_jvm(tmp_path):
    program = (
        "import crypto_pipeline.definitions, pyspark; assert pyspark.SparkContext._gateway is None"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env={"PATH": ""},
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
