"""Fills that both channels tell."""

from collections import defaultdict

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import fills
from tests import fill_cases

pytestmark = pytest.mark.spark

Fills = dict[str, list[tuple[int, int]]]


@pytest.fixture(scope="module")
def trades(spark: SparkSession) -> DataFrame:
    rows = fill_cases.rows()
    types = {column.name: column.type for column in TABLES["silver_trades"].columns}
    schema = ", ".join(f"{name} {types[name]}" for name in rows[0])
    made = spark.createDataFrame([tuple(row.values()) for row in rows], schema)
    return made.withColumn("is_new", F.lit(True))


@pytest.fixture(scope="module")
def counted(trades: DataFrame) -> Fills:
    found: Fills = defaultdict(list)
    for row in fills.counted(fills.forms(trades)).collect():
        found[row.symbol].append((row.trade_sequence, row.fill_count))
        assert int(row.first_trade_id) == row.trade_sequence
        assert int(row.last_trade_id) == row.trade_sequence + row.fill_count - 1
    return found


def test_one_form_alone_is_counted_as_if_there_might_be_another(trades: DataFrame) -> None:
    for channel in ("trade", "aggTrade"):
        alone = trades.where(F.col("channel") == channel)
        found = fills.touched(alone)
        assert not found.has_both_forms
        quarter = int(fill_cases.TIME.timestamp()) // fills.QUARTER_S
        assert found.quarters == {quarter - 1, quarter}
        judged, told = (
            sorted(fills.forms(alone, has_both).collect()) for has_both in (True, False)
        )
        assert told == judged
        assert {row.is_counted for row in told} == ({True, False} if channel == "trade" else {True})
    assert fills.touched(trades).has_both_forms


@pytest.mark.parametrize("symbol", fill_cases.CASES)
def test_a_fill_that_both_channels_tell_counts_once(counted: Fills, symbol: str) -> None:
    assert fill_cases.names(counted[symbol]) == fill_cases.CASES[symbol][1]
