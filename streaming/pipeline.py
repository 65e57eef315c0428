"""The way of one connection's frames: protocol, then the raw topic and the typed ones, counted."""

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec
import structlog

from shared.market.events import DeadLetter, Event, Origin, StreamState, StreamStatus
from streaming.deduplicator import Deduplicator
from streaming.exchanges.protocol import ExchangeProtocol, dead_letter
from streaming.instrumentation import ConnectionStats

# Kafka takes records of 1 MB by default; the envelope needs some of it. Venue frames stay far below.
LARGEST_FRAME = 900_000
# One frame in so many is looked at for its age.
_SAMPLED = 64
_NOTED = {DeadLetter, StreamStatus}


class Publisher(Protocol):
    """Where records go."""

    def publish_frame(
        self, origin: Origin, frame: bytes, received_ns: int, events: Iterable[Event]
    ) -> None:
        """Send one JSON frame as it came, then the events that it brought."""
        ...

    def publish(self, events: Iterable[Event]) -> None:
        """Send events."""
        ...


class Pipeline:
    """Turns each frame into its raw record and its events' records, in order.

    A frame that is no JSON cannot stand inside a raw record: it travels in a dead letter, as text.
    While two sockets carry the same, raw records come from both, events once.
    """

    def __init__(
        self,
        protocol: ExchangeProtocol,
        publisher: Publisher,
        stats: ConnectionStats,
        deduplicator: Deduplicator | None = None,
        on_status: Callable[[StreamStatus], None] = lambda _: None,
        on_age: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._protocol = protocol
        self._publisher = publisher
        self._stats = stats
        self._deduplicator = deduplicator or Deduplicator()
        self._on_status = on_status
        self._on_age = on_age
        self._log = structlog.get_logger().bind(connection=stats.name)

    def take(self, frame: bytes, received_ns: int) -> None:
        """Translate and publish one frame."""
        stats = self._stats
        stats.received += 1
        stats.last_message_ns = received_ns
        if len(frame) > LARGEST_FRAME:
            self.forward([self._refused(frame, received_ns, f"{len(frame)} bytes are too many")])
            return
        events = self._protocol.receive(frame, received_ns)
        if events and type(events[0]) is not DeadLetter and frame.isascii():
            new = self._new(events)
            self._publisher.publish_frame(events[0].origin, frame, received_ns, new)
            if len(events) == 1 and type(events[0]) is not StreamStatus:
                stats.events += len(new)
            else:
                self._count(new)
        else:
            self._take_unusual(frame, events, received_ns)
        stats.processed += 1
        if not stats.processed % _SAMPLED and events and events[0].event_time is not None:
            self._on_age((received_ns // 1000 - events[0].event_time) / 1e6)

    def _take_unusual(self, frame: bytes, events: list[Event], received_ns: int) -> None:
        """Publish a frame raw if it may be, else see to it that a dead letter holds it."""
        is_refused = bool(events) and isinstance(events[0], DeadLetter)
        if _is_utf8(frame) and (not is_refused or _is_json(frame)):
            origin = events[0].origin if events else self._protocol.control_origin
            self._publisher.publish_frame(origin, frame, received_ns, ())
        elif not is_refused:
            # A decoder may skip the broken bytes, a reader of the raw topic cannot.
            events.append(self._refused(frame, received_ns, "not UTF-8"))
        self.forward(events)

    def forward(self, events: list[Event]) -> None:
        """Publish events; what a person should know of goes to the log and the counters."""
        new = self._new(events)
        self._publisher.publish(new)
        self._count(new)

    def _new(self, events: list[Event]) -> list[Event]:
        if self._deduplicator.is_idle:
            return events
        return [event for event in events if self._deduplicator.is_new(event)]

    def _count(self, events: list[Event]) -> None:
        self._stats.events += len(events)
        for event in events:
            if type(event) in _NOTED:
                self._note(event)

    def _note(self, event: Event) -> None:
        if isinstance(event, DeadLetter):
            self._stats.dead_letters += 1
            self._log.warning("dead letter", reason=event.reason, payload=event.payload[:500])
        elif isinstance(event, StreamStatus):
            self._note_status(event)

    def _note_status(self, event: StreamStatus) -> None:
        self._on_status(event)
        if event.state is StreamState.GAP:
            self._stats.gaps += 1
        ids = {}
        if event.expected is not None:
            ids = {"expected": event.expected, "received": event.received}
        self._log.info(
            "stream",
            state=event.state,
            symbol=event.origin.symbol,
            channel=event.origin.channel,
            epoch=event.origin.epoch,
            reason=event.reason,
            **ids,
        )

    def _refused(self, frame: bytes, received_ns: int, reason: str) -> DeadLetter:
        return dead_letter(self._protocol.control_origin, frame, f"frame: {reason}", received_ns)


def _is_utf8(frame: bytes) -> bool:
    try:
        frame.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_json(frame: bytes) -> bool:
    try:
        msgspec.json.decode(frame)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
