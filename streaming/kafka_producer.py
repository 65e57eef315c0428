"""Frames and events to Kafka: idempotent, acknowledged by all replicas, in order per key.

Everything happens on the event loop. librdkafka has its own threads for the network; a thread of ours
that waits for delivery reports would take the interpreter's lock from the reader once per record, which
costs a third of the throughput. So reports are served in passing, between frames, and by a slow tick.

With a `SegmentLog` an outage of the broker stops nothing: see `streaming.spill`. Without one, records
wait in memory up to the delivery time-out.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from shared.clock import Clock
from shared.errors import ConfigurationError
from shared.market.codec import Envelope
from shared.market.events import Event, Origin
from shared.market.topics import FEED_OF_EVENT, Feed, message_key, topic_name
from shared.settings import KafkaSettings, Settings
from streaming.errors import BrokerError, DeliveryError
from streaming.instrumentation import ProducerStats
from streaming.segment_format import Record
from streaming.segment_log import SegmentLog
from streaming.spill import Spill

# Reports wait at most this long when no frame comes by.
_TICK_S = 0.05
# While a spill is drained, each look may hand over the next records.
_SPILL_TICK_S = 0.005
_METADATA_TIMEOUT_S = 15
# Asking librdkafka for its queue's length takes a lock; between two looks at most this many records
# of at most two per frame are added, far below any high-water mark.
_RECORDS_BETWEEN_LOOKS = 64
# librdkafka's message.max.bytes, with room for headers: it would refuse the record each time anew.
_LARGEST_RECORD = 999_000
# A broker that is away is not flushed to; one that is there acknowledges what was handed over.
_SPILL_FLUSH_S = 2.0
_log = logging.getLogger("librdkafka")
_PURGED = {KafkaError._PURGE_INFLIGHT, KafkaError._PURGE_QUEUE}  # noqa: SLF001 - librdkafka's names
# Looks whose records' acknowledgement is timed; while the broker is away the oldest are forgotten.
_MOST_MARKS = 4096
# Origins carry the epoch, so their number grows with every reconnect; most are told to be forgotten.
_MOST_ROUTES = 20_000


def producer_config(
    kafka: KafkaSettings, is_patient: bool = False
) -> dict[str, str | int | float | bool]:
    """Return librdkafka's configuration; patient, it never gives a record up to an outage."""
    return {
        "bootstrap.servers": kafka.bootstrap_servers,
        "enable.idempotence": True,
        "acks": "all",
        "max.in.flight.requests.per.connection": 5,
        "compression.type": kafka.compression.value,
        "linger.ms": kafka.linger_ms,
        "batch.num.messages": kafka.batch_messages,
        "queue.buffering.max.messages": kafka.queue_messages,
        # 0 stands for ever.
        "delivery.timeout.ms": 0 if is_patient else int(kafka.delivery_timeout_s * 1000),
        # Only failures come back: a callback for each record would cost more than sending it.
        "delivery.report.only.error": True,
    }


class _Route:
    """Where the records of one origin go and what they begin with, worked out once."""

    __slots__ = ("envelope", "key", "raw_topic", "topics")

    def __init__(self, origin: Origin, pipeline_version: str) -> None:
        self.envelope = Envelope(origin, pipeline_version)
        self.key = message_key(origin.market, origin.symbol).encode()
        self.raw_topic = topic_name(origin.exchange, Feed.RAW_EVENTS)
        self.topics = {
            kind: topic_name(origin.exchange, feed) for kind, feed in FEED_OF_EVENT.items()
        }


class EventProducer:
    """Publishes to one exchange's topics and keeps the first delivery error.

    Nothing handed in is ever dropped: what librdkafka has no room for waits here in order, and
    `is_full` asks the readers to pause long before that. The order per key is that of the calls.

    Args:
        kafka: broker, limits and compression.
        pipeline_version: goes into every record.
        clock: our time, for `ingestion_timestamp`.
        high_water: buffered records from which `is_full` is true.
        low_water: buffered records at which `drained` lets go.
        log: where records go while the broker is away; closed by `close`. None: they wait.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        pipeline_version: str,
        clock: Clock,
        high_water: int,
        low_water: int,
        log: SegmentLog | None = None,
    ) -> None:
        config: dict[str, Any] = producer_config(kafka, log is not None) | {
            "on_delivery": self._on_delivery
        }
        if log is not None:
            config["error_cb"] = self._on_error
        self._producer = Producer(config, logger=_log)
        self._produce = self._producer.produce
        self._bootstrap = kafka.bootstrap_servers
        self._pipeline_version = pipeline_version
        self._clock = clock
        self._high_water = high_water
        self._low_water = low_water
        self._waiting: deque[Record] = deque()
        self._purged: dict[int, list[tuple[int, Record]]] = {}
        self._sent = 0
        self._spill: Spill | None = None
        # One look per record decides: whether it may go straight to librdkafka.
        self._is_detoured = False
        if log is not None:
            self._spill = Spill(log, self._is_accepted, self._producer.__len__)
            self._sent = log.records
            self._is_detoured = self._spill.is_active
        self._failed = 0
        self._next_look = 0
        self._marks: deque[tuple[int, int]] = deque(maxlen=_MOST_MARKS)
        self.on_acknowledged: Callable[[float], None] = lambda _: None
        self._routes: dict[Origin, _Route] = {}
        self._failure: DeliveryError | None = None

    async def check(self, topics: Iterable[str]) -> None:
        """Make sure that the broker answers and has the topics.

        A collector that died in an outage, with records on disk, does not wait for its end.

        Raises:
            BrokerError: nobody answers there.
            ConfigurationError: a topic is missing.
        """
        try:
            found = await asyncio.to_thread(self._producer.list_topics, timeout=_METADATA_TIMEOUT_S)
        except KafkaException as error:
            if self._spill is not None and self._spill.is_active:
                self._spill.begin(_reason(error))
                return
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
        self._marks.append((self._sent, self._clock.now_ns()))
        self._serve()
        if self._spill is not None and self._spill.is_active:
            return self._spill.is_full or len(self._waiting) >= self._high_water
        return self._buffered() >= self._high_water

    @property
    def failure(self) -> DeliveryError | None:
        """The first delivery error, for ever."""
        return self._failure

    @property
    def stats(self) -> ProducerStats:
        """The counters as of now."""
        spill = self._spill
        if spill is None:
            return ProducerStats(self._sent, self._failed, self._buffered())
        held = 0 if spill.is_in_queue else len(self._producer)
        return ProducerStats(
            self._sent,
            self._failed,
            held + len(self._waiting),
            spill_state=spill.state,
            spill_records=spill.records,
            spill_bytes=spill.size,
        )

    def publish_frame(
        self, origin: Origin, frame: bytes, received_ns: int, events: Iterable[Event]
    ) -> None:
        """Send one frame, which must be JSON, as it came, then the events that it brought."""
        own = self._routes.get(origin) or self._route(origin)
        now_us = self._clock.now_ns() // 1000
        self._send(own.raw_topic, own.envelope.raw(frame, received_ns, now_us), own.key)
        for event in events:
            route = own
            # Nearly always the frame's own stream: the same object.
            if event.origin is not origin:
                route = self._routes.get(event.origin) or self._route(event.origin)
            record = route.envelope.typed(event, now_us)
            self._send(route.topics[type(event)], record, route.key)

    def publish(self, events: Iterable[Event]) -> None:
        """Send events, each to its feed's topic."""
        now_us = self._clock.now_ns() // 1000
        for event in events:
            origin = event.origin
            route = self._routes.get(origin) or self._route(origin)
            record = route.envelope.typed(event, now_us)
            self._send(route.topics[type(event)], record, route.key)

    def forget(self, origin: Origin) -> None:
        """Let go of what was kept for an origin that will bring nothing more."""
        self._routes.pop(origin, None)

    def _route(self, origin: Origin) -> "_Route":
        if len(self._routes) >= _MOST_ROUTES:
            self._routes.clear()
        route = self._routes[origin] = _Route(origin, self._pipeline_version)
        return route

    async def drained(self) -> None:
        """Wait until there is room again, or a delivery has failed."""
        while self._is_held_up() and self._failure is None:
            await asyncio.sleep(0.005)
            self._serve()

    async def acknowledged(self) -> None:
        """Wait until Kafka has all that was published so far; needs a producer without a log.

        Raises:
            DeliveryError: a record could not be delivered.
        """
        while self._buffered() and self._failure is None:
            await asyncio.sleep(0.005)
            self._serve()
        if self._failure is not None:
            raise self._failure

    async def run(self) -> None:
        """Serve delivery reports until cancelled.

        Raises:
            DeliveryError: a record could not be delivered.
        """
        while True:
            self._serve()
            if self._failure is not None:
                raise self._failure
            is_spilling = self._spill is not None and self._spill.is_active
            await asyncio.sleep(_SPILL_TICK_S if is_spilling else _TICK_S)

    async def close(self, budget_s: float) -> int:
        """Flush within the budget (seconds); returns how many records were not delivered.

        With a log, what is not delivered is kept there for the next start and does not count.
        """
        if self._spill is not None and self._spill.is_active:
            budget_s = min(budget_s, _SPILL_FLUSH_S)
        deadline = asyncio.get_running_loop().time() + budget_s
        while self._waiting and self._failure is None:
            self._serve()
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.005)
        left_s = max(0.0, deadline - asyncio.get_running_loop().time())
        left = await asyncio.to_thread(self._producer.flush, left_s)
        if self._spill is None:
            return left + len(self._waiting) + self._failed
        before = [] if self._spill.is_in_queue else await asyncio.to_thread(self._take_back)
        is_delivered = self._failure is None
        return self._spill.close(before, self._waiting, is_delivered) + self._failed

    def _is_held_up(self) -> bool:
        if self._spill is not None and self._spill.is_active:
            return self._spill.is_full or len(self._waiting) > self._low_water
        return self._buffered() > self._low_water

    def _buffered(self) -> int:
        return len(self._producer) + len(self._waiting)

    def _send(self, topic: str, record: bytes, key: bytes) -> None:
        self._sent += 1
        if not self._is_detoured:
            # As `_is_accepted`, without the call: this is done twice for every frame.
            try:
                self._produce(topic, record, key)
            except BufferError:
                pass
            except KafkaException as error:
                self._fail(topic, _reason(error))
                return
            else:
                return
        self._detour(Record(topic, record, key))

    def _detour(self, record: Record) -> None:
        """Keep a record that may not or cannot go to librdkafka now, in its place in the order."""
        self._is_detoured = True
        if self._spill is not None and len(record.value) + len(record.key) > _LARGEST_RECORD:
            self._fail(record.topic, f"{len(record.value)} bytes are too large for Kafka")
        elif (
            self._waiting
            or self._spill is None
            or not self._spill.is_active
            or not self._spill.take(record)
        ):
            self._waiting.append(record)

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
        if self._marks:
            self._time_acknowledgements()
        spill = self._spill
        if spill is not None:
            self._serve_spill(spill)
        if spill is None or not spill.is_active:
            while self._waiting and self._is_accepted(*self._waiting[0]):
                self._waiting.popleft()
            self._is_detoured = bool(self._waiting)

    def _time_acknowledgements(self) -> None:
        """Tell how long ago the records were published that have been acknowledged since."""
        marks, now_ns, done = self._marks, self._clock.now_ns(), self.stats.produced
        while marks and marks[0][0] <= done:
            self.on_acknowledged((now_ns - marks.popleft()[1]) / 1e9)

    def _serve_spill(self, spill: Spill) -> None:
        acknowledged = self._sent - spill.records - self._buffered()
        if not spill.is_active:
            spill.watch(acknowledged)
        elif self._failure is None:
            spill.step(self._waiting, acknowledged)
        else:
            # What failed must not be committed with the rest of its window.
            spill.flush()
        self._is_detoured = spill.is_active

    def _take_back(self) -> list[Record]:
        """Return what librdkafka still holds, in order per key, and empty it."""
        self._producer.purge()
        self._producer.flush(_SPILL_FLUSH_S)
        # What was on its way is older than what had not left yet.
        return [
            record
            for code in (KafkaError._PURGE_INFLIGHT, KafkaError._PURGE_QUEUE)  # noqa: SLF001 - as above
            for _, record in sorted(self._purged.get(code, []), key=lambda item: item[0])
        ]

    def _on_error(self, error: KafkaError) -> None:
        if self._spill is not None and error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - as above
            self._spill.begin(error.str())
            self._is_detoured = True
        else:
            # With this callback librdkafka no longer writes errors to its log.
            _log.warning("%s", error.str())

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        topic = message.topic() or ""
        if error.code() in _PURGED:
            record = Record(topic, message.value() or b"", message.key() or b"")
            self._purged.setdefault(error.code(), []).append((message.timestamp()[1], record))
        else:
            self._fail(topic, error.str())

    def _fail(self, topic: str, reason: str) -> None:
        self._failed += 1
        if self._failure is None:
            self._failure = DeliveryError(topic, reason)


def producer_of(
    settings: Settings, clock: Clock, log: SegmentLog | None = None, version_suffix: str = ""
) -> EventProducer:
    """Return a producer by the settings; see `EventProducer`. The suffix marks its records' version."""
    streaming = settings.streaming
    return EventProducer(
        settings.kafka,
        streaming.pipeline_version + version_suffix,
        clock,
        streaming.high_water_frames,
        streaming.low_water_frames,
        log,
    )


def _reason(error: KafkaException) -> str:
    cause = error.args[0]
    return cause.str() if isinstance(cause, KafkaError) else str(cause)
