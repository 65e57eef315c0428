"""Spark sessions and reads, without Dagster."""

from functools import cache

from pyspark.sql import DataFrame, SparkSession

from crypto_pipeline.utils import versions
from crypto_pipeline.utils.kafka_utils import BronzeCheckpoint, spark_offsets

_SESSION = "5f1e1f0c-6c1f-4b0e-9d0b-6a3f5d5f9a10"


# A partition of Kafka with many records is read in so many ranges; each costs a look or two at the broker.
_RANGES = 8
_RANGE_RECORDS = 20_000
# Each fetch is two looks at the broker for what it holds, and brings 500 records unless told otherwise.
_A_FETCH = {
    "kafka.max.poll.records": "20000",
    "kafka.max.partition.fetch.bytes": str(8 * 1024 * 1024),
}


@cache
def connect(remote: str) -> SparkSession:
    """Return this process's handle on the session that all ticks of the lake share.

    It is opened, and the server's versions checked, once. The server keeps a Python daemon for each
    session that ever ran Python, and never ends it: a session a tick would cost it 57 MB a minute, and
    each tick the start of new Python workers.
    """
    parameter = f"session_id={_SESSION}"
    session = SparkSession.builder.remote(
        f"{remote}{';' if '/;' in remote else '/;'}{parameter}"
    ).create()
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
        # Symbols are not spread evenly over the partitions, and one task would read the fullest of them alone.
        .option("minPartitions", str(min(_RANGES, 1 + covered.span // _RANGE_RECORDS)))
        .options(**_A_FETCH)
        .load()
    )
