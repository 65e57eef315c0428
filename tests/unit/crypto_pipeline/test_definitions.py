"""The asset graph as a reviewed artefact."""

import subprocess
import sys

import pytest
from dagster import AssetKey

from crypto_pipeline.definitions import defs

GRAPH = {
    "archive_days": set(),
    "bronze_trades": {"archive_days"},
    "bronze_depth": set(),
    "bronze_klines": {"archive_days"},
    "bronze_quotes": set(),
    "bronze_raw_events": set(),
    "bronze_stream_status": set(),
    "quality_dead_letters": {
        "bronze_trades", "bronze_depth", "bronze_klines", "bronze_quotes", "bronze_raw_events",
        "bronze_stream_status",
    },
    "quality_reconciliation": {"bronze_trades", "bronze_klines"},
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
    assert len(checks) == 27


def test_a_tick_asks_the_archive_nothing_and_a_backfill_ends_in_the_tables():
    def assets_of(job: str) -> set[str]:
        layer = defs.resolve_job_def(job).asset_layer
        return {key.to_user_string() for key in layer.selected_asset_keys}

    by_hand = {"archive_days", "quality_reconciliation"}
    assert assets_of("lake_tick") == GRAPH.keys() - by_hand
    assert assets_of("backfill") == GRAPH.keys() - {"quality_reconciliation"}
    assert assets_of("reconcile") == {"quality_reconciliation"}
    tick = defs.resolve_job_def("lake_tick").asset_layer.asset_graph
    assert len(tick.asset_check_keys) == 25, "each table's checks run in its tick"


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
