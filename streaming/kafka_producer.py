"""Frames and events to Kafka: idempotent, acknowledged by all replicas, in order per key.

Everything happens on the event loop. librdkafka has its own threads for the network; a thread of ours
that waits for delivery reports would take the interpreter's lock from the reader once per record, which
costs a third of the throughput. So reports are served in passing, between frames, and by a slow tick.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from shared.clock import Clock
from shared.errors import ConfigurationError
from shared.market.codec import Codec
from shared.market.events import Event, Origin
from shared.market.topics import FEED_OF_EVENT, Feed, message_key, topic_name
from shared.settings import KafkaSettings
from streaming.errors import BrokerError, DeliveryError
from streaming.instrumentation import ProducerStats

# Reports wait at most this long when no frame comes by.
_TICK_S = 0.05
_METADATA_TIMEOUT_S = 15
# Asking librdkafka for its queue's length takes a lock; between two looks at most this many records
# of at most two per frame are added, far below any high-water mark.
_RECORDS_BETWEEN_LOOKS = 64
# Origins carry the epoch, so their number grows with every reconnect.
_MOST_ROUTES = 20_000


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


class _Route:
    """Where the records of one origin go, worked out once."""

    __slots__ = ("key", "raw_topic", "topics")

    def __init__(self, origin: Origin) -> None:
        self.key = message_key(origin.market, origin.symbol).encode()
        self.raw_topic = topic_name(origin.exchange, Feed.RAW_EVENTS)
        self.topics = {
            kind: topic_name(origin.exchange, feed) for kind, feed in FEED_OF_EVENT.items()
        }


class EventProducer:
    """Publishes to one exchange's topics and keeps the first delivery error.

    Nothing handed in is ever dropped: what librdkafka has no room for waits here in order, and
    `is_full` asks the readers to pause long before that.

    Args:
        kafka: broker, limits and compression.
        codec: encodes events.
        clock: our time, for `ingestion_timestamp`.
        high_water: buffered records from which `is_full` is true.
        low_water: buffered records at which `drained` lets go.
    """

    def __init__(
        self, kafka: KafkaSettings, codec: Codec, clock: Clock, high_water: int, low_water: int
    ) -> None:
        config = producer_config(kafka) | {"on_delivery": self._on_delivery}
        self._producer = Producer(config, logger=logging.getLogger("librdkafka"))
        self._produce = self._producer.produce
        self._bootstrap = kafka.bootstrap_servers
        self._codec = codec
        self._clock = clock
        self._high_water = high_water
        self._low_water = low_water
        self._waiting: deque[tuple[str, bytes, bytes]] = deque()
        self._sent = 0
        self._failed = 0
        self._next_look = 0
        self._routes: dict[Origin, _Route] = {}
        self._failure: DeliveryError | None = None

    async def check(self, topics: Iterable[str]) -> None:
        """Make sure that the broker answers and has the topics.

        Raises:
            BrokerError: nobody answers there.
            ConfigurationError: a topic is missing.
        """
        try:
            found = await asyncio.to_thread(self._producer.list_topics, timeout=_METADATA_TIMEOUT_S)
        except KafkaException as error:
            raise BrokerError(self._bootstrap, _reason(error)) from error
        missing = sorted(set(topics) - set(found.topics))
        if missing:
            raise ConfigurationError(
                f"Kafka at {self._bootstrap}",
                f"has no topic {', '.join(missing)}",
                "Create them: python scripts/setup_kafka.py",
            )

    @property
    def is_full(self) -> bool:
        """Whether reading should pause until `drained` returns."""
        if self._sent < self._next_look:
            return False
        self._next_look = self._sent + _RECORDS_BETWEEN_LOOKS
        self._serve()
        return self._buffered() >= self._high_water

    @property
    def failure(self) -> DeliveryError | None:
        """The first delivery error, for ever."""
        return self._failure

    @property
    def stats(self) -> ProducerStats:
        """The counters as of now."""
        return ProducerStats(self._sent, self._failed, self._buffered())

    def publish_frame(self, origin: Origin, frame: bytes, received_ns: int) -> None:
        """Send one frame, which must be JSON, as it came."""
        route = self._routes.get(origin) or self._route(origin)
        now_us = self._clock.now_ns() // 1000
        record = self._codec.encode_raw(origin, frame, received_ns, now_us)
        self._send(route.raw_topic, record, route.key)

    def publish(self, events: Iterable[Event]) -> None:
        """Send events, each to its feed's topic."""
        now_us = self._clock.now_ns() // 1000
        for event in events:
            origin = event.origin
            route = self._routes.get(origin) or self._route(origin)
            self._send(route.topics[type(event)], self._codec.encode(event, now_us), route.key)

    def _route(self, origin: Origin) -> "_Route":
        if len(self._routes) >= _MOST_ROUTES:
            self._routes.clear()
        route = self._routes[origin] = _Route(origin)
        return route

    async def drained(self) -> None:
        """Wait until the buffer is at its low-water mark, or a delivery has failed."""
        while self._buffered() > self._low_water and self._failure is None:
            await asyncio.sleep(0.005)
            self._serve()

    async def run(self) -> None:
        """Serve delivery reports until cancelled.

        Raises:
            DeliveryError: a record could not be delivered.
        """
        while True:
            self._serve()
            if self._failure is not None:
                raise self._failure
            await asyncio.sleep(_TICK_S)

    async def close(self, budget_s: float) -> int:
        """Flush within the budget (seconds); returns how many records were not delivered."""
        deadline = asyncio.get_running_loop().time() + budget_s
        while self._waiting and self._failure is None:
            self._serve()
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.005)
        left_s = max(0.0, deadline - asyncio.get_running_loop().time())
        left = await asyncio.to_thread(self._producer.flush, left_s)
        return left + len(self._waiting) + self._failed

    def _buffered(self) -> int:
        return len(self._producer) + len(self._waiting)

    def _send(self, topic: str, record: bytes, key: bytes) -> None:
        self._sent += 1
        if self._waiting or not self._is_accepted(topic, record, key):
            self._waiting.append((topic, record, key))

    def _is_accepted(self, topic: str, record: bytes, key: bytes) -> bool:
        try:
            self._produce(topic, record, key)
        except BufferError:
            return False
        except KafkaException as error:
            self._fail(topic, _reason(error))
        return True

    def _serve(self) -> None:
        """Run the callbacks of finished deliveries, and send on what had to wait."""
        self._producer.poll(0)
        while self._waiting and self._is_accepted(*self._waiting[0]):
            self._waiting.popleft()

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._fail(message.topic() or "", error.str())

    def _fail(self, topic: str, reason: str) -> None:
        self._failed += 1
        if self._failure is None:
            self._failure = DeliveryError(topic, reason)


def _reason(error: KafkaException) -> str:
    cause = error.args[0]
    return cause.str() if isinstance(cause, KafkaError) else str(cause)
