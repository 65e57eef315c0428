"""The Kafka broker: which offsets it holds, and the few records that the lake itself sends."""

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from crypto_pipeline.errors import KafkaUnreachableError
from crypto_pipeline.utils.kafka_utils import Offsets, Watermarks

_TIMEOUT_S = 10


def watermarks(bootstrap: str, topics: list[str]) -> Watermarks:
    """Ask the broker for the offsets it holds of those topics that exist.

    Raises:
        KafkaUnreachableError: it did not answer.
    """
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "lake", "log_level": 0})
    try:
        known = consumer.list_topics(timeout=_TIMEOUT_S).topics
        earliest: Offsets = {}
        end: Offsets = {}
        for topic in sorted(set(topics) & set(known)):
            earliest[topic], end[topic] = {}, {}
            for partition in known[topic].partitions:
                place = TopicPartition(topic, partition)
                low, high = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
                earliest[topic][partition], end[topic][partition] = low, high
    except KafkaException as error:
        raise KafkaUnreachableError(f"{bootstrap}: {error}") from error
    finally:
        consumer.close()
    return Watermarks(earliest, end)


def publish(bootstrap: str, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
    """Send (key, value) records and wait until the broker has them.

    Raises:
        KafkaUnreachableError: it did not take them all.
    """
    refused: list[str] = []

    def told(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            refused.append(error.str())

    config = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 0}
    producer = Producer(config | {"delivery.timeout.ms": _TIMEOUT_S * 1000})
    for key, value in records:
        producer.produce(topic, value, key, on_delivery=told)
    producer.flush()
    if refused:
        raise KafkaUnreachableError(f"{bootstrap}, topic {topic}: {refused[0]}")
