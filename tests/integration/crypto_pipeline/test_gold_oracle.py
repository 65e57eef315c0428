"""A small form of the comparison that runs over ten million trades by hand."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.integration.crypto_pipeline import gold_oracle

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def test_gold_of_generated_trades_is_that_of_a_second_computation(
    spark: SparkSession, tmp_path: Path
) -> None:
    verdicts = list(gold_oracle.run(spark, 30_000, tmp_path))
    assert len(verdicts) == 7
    assert all(verdict.rows for verdict in verdicts)
