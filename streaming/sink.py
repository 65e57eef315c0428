"""Where a collector's records go: Kafka, or nowhere when frames are only recorded."""

from collections.abc import Callable, Iterable
from typing import Protocol

from shared.market.events import Event, Origin
from streaming.errors import DeliveryError
from streaming.instrumentation import ProducerStats


class Sink(Protocol):
    """Takes records in order and says how it goes; see `streaming.kafka_producer`."""

    on_acknowledged: Callable[[float], None]
    """Told now and then how many seconds lie between publishing and acknowledgement."""

    @property
    def is_full(self) -> bool:
        """Whether to wait for `drained` before publishing more."""
        ...

    @property
    def failure(self) -> DeliveryError | None:
        """The first record that could not be delivered."""
        ...

    @property
    def stats(self) -> ProducerStats:
        """The counters as of now."""
        ...

    async def check(self, topics: Iterable[str]) -> None:
        """Make sure that records can be taken."""
        ...

    def publish_frame(self, origin: Origin, frame: bytes, received_ns: int) -> None:
        """Take one JSON frame as it came."""
        ...

    def publish(self, events: Iterable[Event]) -> None:
        """Take events."""
        ...

    async def drained(self) -> None:
        """Wait until there is room."""
        ...

    async def run(self) -> None:
        """Do what is to be done in the background, until cancelled."""
        ...

    async def close(self, budget_s: float) -> int:
        """Let go of everything within the budget; returns how many records were not delivered."""
        ...


class NowhereSink:
    """Counts records and forgets them, for `crypto-stream record`."""

    is_full = False
    failure = None

    def __init__(self) -> None:
        self.stats = ProducerStats()
        self.on_acknowledged: Callable[[float], None] = lambda _: None

    async def check(self, topics: Iterable[str]) -> None:
        """Need nothing."""

    def publish_frame(self, origin: Origin, frame: bytes, received_ns: int) -> None:  # noqa: ARG002 - forgets them
        """Count one frame."""
        self.stats.sent += 1

    def publish(self, events: Iterable[Event]) -> None:
        """Count events."""
        self.stats.sent += sum(1 for _ in events)

    async def drained(self) -> None:
        """Never be full."""

    async def run(self) -> None:
        """Have nothing to do."""

    async def close(self, budget_s: float) -> int:  # noqa: ARG002 - nothing waits
        """Owe nothing."""
        return 0
