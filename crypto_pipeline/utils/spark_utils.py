"""Spark sessions and reads, without Dagster."""

from functools import cache

from pyspark.sql import DataFrame, SparkSession

from crypto_pipeline.utils import versions
from crypto_pipeline.utils.kafka_utils import BronzeCheckpoint, spark_offsets


@cache
def connect(remote: str) -> SparkSession:
    """Return this process's session with a Spark Connect server; opened, and its versions checked, once."""
    session = SparkSession.builder.remote(remote).getOrCreate()
    versions.check(session, remote)
    return session


def read_kafka(spark: SparkSession, bootstrap: str, covered: BronzeCheckpoint) -> DataFrame:
    """Return the records of a range; a part that the broker lost meanwhile is an error."""
    topics = sorted(covered.end)
    return (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", bootstrap)
        .option("subscribe", ",".join(topics))
        .option("startingOffsets", spark_offsets(covered.start, topics))
        .option("endingOffsets", spark_offsets(covered.end, topics))
        .option("failOnDataLoss", "true")
        .load()
    )
