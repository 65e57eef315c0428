"""The asset graph as a reviewed artefact."""

import subprocess
import sys

import pytest
from dagster import AssetKey, validate_run_config

from crypto_pipeline.definitions import defs
from crypto_pipeline.tables import TABLES

GRAPH = {
    "bronze_trades": set(),
    "bronze_depth": set(),
    "bronze_klines": set(),
    "bronze_quotes": set(),
    "bronze_raw_events": set(),
    "bronze_stream_status": set(),
    "quality_dead_letters": {
        "bronze_trades", "bronze_depth", "bronze_klines", "bronze_quotes", "bronze_raw_events",
        "bronze_stream_status",
    },
    "silver_trades": {"bronze_trades"},
    "silver_klines": {"bronze_klines"},
    "silver_quotes": {"bronze_quotes"},
    "silver_book": {"bronze_depth"},
    "gold_ohlcv": {"silver_trades"},
    "gold_book_metrics": {"silver_book"},
    "gold_liquidity": {"silver_book"},
    "gold_volume_profile": {"silver_trades"},
    "gold_volatility": {"gold_ohlcv"},
    "gold_volume_spikes": {"gold_ohlcv"},
    "gold_indicators": {"gold_ohlcv"},
    "gold_correlation": {"gold_ohlcv"},
    "gold_spread_episodes": {"gold_book_metrics"},
    "gold_daily_summary": {"gold_ohlcv", "gold_book_metrics", "gold_volume_spikes"},
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
    assert node.metadata["dagster/column_schema"].columns


def test_every_table_that_upserts_is_checked_for_keys_and_every_bronze_for_balance():
    checks = {
        (key.asset_key.to_user_string(), key.name)
        for key in defs.resolve_asset_graph().asset_check_keys
    }
    assert {("silver_trades", "keys_once"), ("gold_ohlcv", "venue_candles")} <= checks
    assert ("bronze_depth", "kafka_balance") in checks
    assert len(checks) == 25


def test_the_lake_is_moved_each_minute_and_maintained_each_20_by_one_op_per_table():
    minutes = {each.job_name: each.cron_schedule for each in defs.schedules or ()}
    assert minutes["lake_tick"] == "* * * * *"
    assert minutes["lake_maintenance"] == "*/20 * * * *"
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
