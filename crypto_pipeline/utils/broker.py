"""One look at the Kafka broker: which offsets it holds."""

from confluent_kafka import Consumer, KafkaException, TopicPartition

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
