"""Where a collector's records go: Kafka, or nowhere when frames are only recorded."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from shared.market.events import Event, Origin
from streaming.errors import RecordingStoppedError, StreamingError
from streaming.instrumentation import ProducerStats
from streaming.pipeline import Publisher
from streaming.recorder import Recorder, RecorderState

_LOOK_S = 0.5


class PatientPublisher(Publisher, Protocol):
    """A publisher that asks for a pause when it has too much in hand."""

    @property
    def is_full(self) -> bool:
        """Whether to wait for `drained` before publishing more."""
        ...

    async def drained(self) -> None:
        """Wait until there is room."""
        ...

    def forget(self, origin: Origin) -> None:
        """Let go of what was kept for an origin that will bring nothing more."""
        ...


class Sink(PatientPublisher, Protocol):
    """Takes records in order and says how it goes; see `streaming.kafka_producer`."""

    on_acknowledged: Callable[[float], None]
    """Told now and then how many seconds lie between publishing and acknowledgement."""

    @property
    def failure(self) -> StreamingError | None:
        """What makes it impossible to go on."""
        ...

    @property
    def stats(self) -> ProducerStats:
        """The counters as of now."""
        ...

    async def check(self, topics: Iterable[str]) -> None:
        """Make sure that records can be taken."""
        ...

    async def run(self) -> None:
        """Do what is to be done in the background, until cancelled."""
        ...

    async def close(self, budget_s: float) -> int:
        """Let go of everything within the budget; returns how many records were not delivered."""
        ...


class NowhereSink:
    """Counts records and forgets them, for `crypto-stream record`: the recorder is what matters."""

    is_full = False

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.stats = ProducerStats()
        self.on_acknowledged: Callable[[float], None] = lambda _: None

    @property
    def failure(self) -> StreamingError | None:
        """What the recorder has failed of."""
        if self._recorder.state is not RecorderState.FAILED:
            return None
        return RecordingStoppedError(self._recorder.reason)

    async def check(self, topics: Iterable[str]) -> None:
        """Need nothing."""

    def publish_frame(
        self,
        origin: Origin,  # noqa: ARG002 - forgets it
        frame: bytes,  # noqa: ARG002 - as above
        received_ns: int,  # noqa: ARG002 - as above
        events: Iterable[Event],
    ) -> None:
        """Count one frame and its events."""
        self.stats.sent += 1
        self.publish(events)

    def publish(self, events: Iterable[Event]) -> None:
        """Count events."""
        self.stats.sent += sum(1 for _ in events)

    def forget(self, origin: Origin) -> None:
        """Keep nothing."""

    async def drained(self) -> None:
        """Never be full."""

    async def run(self) -> None:
        """Watch the recorder.

        Raises:
            RecordingStoppedError: it has failed.
        """
        while True:
            await asyncio.sleep(_LOOK_S)
            if self.failure is not None:
                raise self.failure

    async def close(self, budget_s: float) -> int:  # noqa: ARG002 - nothing waits
        """Owe nothing."""
        return 0
