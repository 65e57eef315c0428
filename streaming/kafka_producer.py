"""Frames and events to Kafka: idempotent, acknowledged by all replicas, in order per key."""

import asyncio
import threading
from collections.abc import Iterable

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from shared.clock import Clock
from shared.market.codec import Codec
from shared.market.events import DeadLetter, Event, Origin
from shared.market.topics import Feed, feed_of, message_key, topic_name
from shared.settings import KafkaSettings
from streaming.errors import DeliveryError
from streaming.instrumentation import ProducerStats


def producer_config(kafka: KafkaSettings) -> dict[str, str | int | float | bool]:
    """Return librdkafka's configuration."""
    return {
        "bootstrap.servers": kafka.bootstrap_servers,
        "enable.idempotence": True,
        "acks": "all",
        "max.in.flight.requests.per.connection": 5,
        "compression.type": kafka.compression.value,
        "linger.ms": kafka.linger_ms,
        "batch.num.messages": kafka.batch_messages,
        "queue.buffering.max.messages": kafka.queue_messages,
        "delivery.timeout.ms": int(kafka.delivery_timeout_s * 1000),
        # Only failures come back: a callback for each record would cost more than sending it.
        "delivery.report.only.error": True,
    }


class EventProducer:
    """Publishes to one exchange's topics and latches the first delivery error.

    Args:
        kafka: broker, limits and compression.
        codec: encodes events.
        clock: our time, for `ingestion_timestamp`.
        high_water: buffered records from which `drained` waits.
        low_water: buffered records at which it lets go.
    """

    def __init__(
        self, kafka: KafkaSettings, codec: Codec, clock: Clock, high_water: int, low_water: int
    ) -> None:
        self._producer = Producer(producer_config(kafka) | {"on_delivery": self._on_delivery})
        self._codec = codec
        self._clock = clock
        self._high_water = high_water
        self._low_water = low_water
        self._sent = 0
        self._failed = 0
        self._topics: dict[tuple[str, type[Event]], str] = {}
        self._raw: dict[Origin, tuple[str, str]] = {}
        self._loop = asyncio.get_running_loop()
        self._failure: asyncio.Future[None] = self._loop.create_future()
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka-poll", daemon=True)
        self._poller.start()

    @property
    def is_full(self) -> bool:
        """Whether reading should pause until `drained` returns."""
        return len(self._producer) >= self._high_water

    @property
    def stats(self) -> ProducerStats:
        """The counters as of now."""
        return ProducerStats(self._sent, self._failed, len(self._producer))

    def publish_frame(self, origin: Origin, frame: bytes, received_ns: int) -> None:
        """Send one frame, which must be JSON, as it came."""
        route = self._raw.get(origin)
        if route is None:
            topic = topic_name(origin.exchange, Feed.RAW_EVENTS)
            route = self._raw[origin] = (topic, message_key(origin.market, origin.symbol))
        now_us = self._clock.now_ns() // 1000
        record = self._codec.encode_raw(origin, frame, received_ns, now_us)
        self._producer.produce(route[0], record, route[1])
        self._sent += 1

    def publish(self, events: Iterable[Event]) -> None:
        """Send events, each to its feed's topic."""
        now_us = self._clock.now_ns() // 1000
        for event in events:
            origin = event.origin
            kind = (origin.exchange, type(event))
            topic = self._topics.get(kind)
            if topic is None:
                topic = self._topics[kind] = topic_name(origin.exchange, feed_of(event))
            record = self._codec.encode(event, now_us)
            self._producer.produce(topic, record, message_key(origin.market, origin.symbol))
            self._sent += 1

    async def drained(self) -> None:
        """Wait until the buffer is below its low-water mark."""
        while len(self._producer) > self._low_water and not self._failure.done():  # noqa: ASYNC110 - librdkafka tells nobody when its queue shrinks
            await asyncio.sleep(0.005)

    async def failed(self) -> None:
        """Return never; raise DeliveryError once a record could not be delivered."""
        await asyncio.shield(self._failure)

    def close(self, budget_s: float) -> int:
        """Flush within the budget; returns how many records were not delivered in time."""
        left = self._producer.flush(budget_s)
        self._stopping.set()
        self._poller.join()
        if not self._failure.done():
            self._failure.cancel()
        return left + self._failed

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(0.2)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed += 1
            latched = DeliveryError(message.topic() or "", error.str())
            self._loop.call_soon_threadsafe(self._latch, latched)

    def _latch(self, error: DeliveryError) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)


def is_spliceable(events: list[Event]) -> bool:
    """Say whether a frame may stand inside a raw record: not if it was no JSON at all."""
    return not (len(events) == 1 and isinstance(events[0], DeadLetter)) or _is_json(events[0])


def _is_json(letter: DeadLetter) -> bool:
    try:
        msgspec.json.decode(letter.payload)
    except msgspec.DecodeError:
        return False
    return True
