"""The sum that a range of ids comes to is the one that Spark adds up."""

import pytest
from pyspark.sql import SparkSession

from crypto_pipeline.transforms.id_sums import sum_of, sum_of_range

pytestmark = pytest.mark.spark


@pytest.mark.parametrize(("first", "last"), [(0, 0), (1, 100_000), (4_123_456_789, 4_123_556_789)])
def test_a_range_of_ids_comes_to_the_sum_that_spark_adds_up(
    spark: SparkSession, first: int, last: int
) -> None:
    (row,) = spark.range(first, last + 1).agg(sum_of("id").alias("sum")).collect()
    assert row["sum"] == sum_of_range(first, last)
