"""The embedded Kafka and Spark do what the lake needs of them."""

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from pyspark.sql import SparkSession

from tests.conftest import REPO

pytestmark = [pytest.mark.kafka, pytest.mark.spark]


def test_spark_reads_what_kafka_acknowledged(kafka_broker: str, spark: SparkSession) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_broker})
    admin.create_topics([NewTopic("spark-reads", 1)])["spark-reads"].result(30)
    producer = Producer({"bootstrap.servers": kafka_broker, "acks": "all"})
    for number in range(100):
        producer.produce("spark-reads", value=str(number))
    assert producer.flush(30) == 0
    rows = (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", kafka_broker)
        .option("subscribe", "spark-reads")
        .load()
        .selectExpr("cast(value as string) as value", "offset")
        .collect()
    )
    assert sorted((row.offset, row.value) for row in rows) == [(n, str(n)) for n in range(100)]


def test_python_functions_run_beside_the_server(spark: SparkSession) -> None:
    doubled = spark.range(10).groupBy("id").applyInPandas(lambda group: group * 2, "id long")
    assert sorted(row.id for row in doubled.collect()) == list(range(0, 20, 2))


def test_what_spark_keeps_of_its_clients_lies_in_its_own_folder(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert spark.range(1).count() == 1
    assert list(tmp_path_factory.getbasetemp().glob("spark*/spark/artifacts/spark-*"))
    assert not (REPO / "artifacts").exists()
