"""Fills that both channels tell."""

from collections import defaultdict

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import gold
from tests import fill_cases

pytestmark = pytest.mark.spark

Fills = dict[str, list[tuple[int, int]]]


@pytest.fixture(scope="module")
def counted(spark: SparkSession) -> Fills:
    rows = fill_cases.rows()
    types = {column.name: column.type for column in TABLES["silver_trades"].columns}
    schema = ", ".join(f"{name} {types[name]}" for name in rows[0])
    trades = spark.createDataFrame([tuple(row.values()) for row in rows], schema)
    found: Fills = defaultdict(list)
    for row in gold.fills(gold.forms(trades.withColumn("is_new", F.lit(True)))).collect():
        found[row.symbol].append((row.trade_sequence, row.fill_count))
        assert int(row.first_trade_id) == row.trade_sequence
        assert int(row.last_trade_id) == row.trade_sequence + row.fill_count - 1
    return found


@pytest.mark.parametrize("symbol", fill_cases.CASES)
def test_a_fill_that_both_channels_tell_counts_once(counted: Fills, symbol: str) -> None:
    assert fill_cases.names(counted[symbol]) == fill_cases.CASES[symbol][1]
