"""The way round an absent broker: new records wait on disk until it takes those before them.

librdkafka's queue comes first, then the log, then what is new. While `is_active`, nothing new may go
to librdkafka; each `step` moves things on as far as the broker allows:

| librdkafka's queue is | log         | step                                                       |
|-----------------------|-------------|------------------------------------------------------------|
| not empty             | any         | new records go to the log                                  |
| empty                 | not drained | all that was handed over is delivered: commit, hand more   |
| empty                 | drained     | commit, go direct again                                    |

The last records of the log are never the last for long while frames come in. So once all of it is
handed over to a broker that has acknowledged others, new records wait in memory for the last
acknowledgement, for at most a second.
"""

import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum

import structlog

from streaming.segment_format import Record
from streaming.segment_log import SegmentLog

# An acknowledgement takes milliseconds, the election of a new leader may take seconds.
_AWAY_AFTER_S = 3.0
# What a crash may repeat, and how long handing over holds up the loop: about 10 ms.
_WINDOW = 5000
# For the acknowledgement of the last window, while new records wait in memory.
_LONGEST_CLOSING_S = 1.0
_MOST_WAITING = 20_000


class SpillState(StrEnum):
    """Whether records take the way over the disk, and how that goes."""

    OFF = "off"
    SPILLING = "spilling"
    DRAINING = "draining"
    FULL = "full"


class Spill:
    """The detour of one producer.

    Args:
        log: where records wait; what an earlier process left in it goes first.
        hand: gives a record to librdkafka, False if that has no room.
        queued: records that librdkafka holds.
        now_s: a clock that only goes forward, in s.
    """

    def __init__(
        self,
        log: SegmentLog,
        hand: Callable[[str, bytes, bytes], bool],
        queued: Callable[[], int],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spilled = log
        self._hand = hand
        self._queued = queued
        self._now_s = now_s
        self._log = structlog.get_logger()
        self.is_active = log.records > 0
        self._is_away = False
        self._was_queued = False
        self._closing_since: float | None = None
        self._in_hand: deque[Record] = deque()
        self._handed = 0
        self._acknowledged = 0
        self._moved_s = now_s()

    @property
    def state(self) -> SpillState:
        """What to tell people."""
        if not self.is_active:
            return SpillState.OFF
        if self._spilled.is_full:
            return SpillState.FULL
        return SpillState.SPILLING if self._is_away else SpillState.DRAINING

    @property
    def records(self) -> int:
        """Records in the log that no acknowledgement covers."""
        return self._spilled.records

    @property
    def size(self) -> int:
        """Bytes of the log."""
        return self._spilled.size

    @property
    def is_full(self) -> bool:
        """Whether reading should pause, since neither broker nor disk takes more."""
        return self._spilled.is_full

    @property
    def is_in_queue(self) -> bool:
        """Whether what librdkafka holds is from the log, where it also still stands."""
        return self._handed > 0

    def watch(self, acknowledged: int) -> None:
        """Look whether the broker still acknowledges; begin the detour if it does not.

        Args:
            acknowledged: records that librdkafka has got rid of since the start.
        """
        if self._has_stalled(acknowledged):
            self.begin(f"nothing acknowledged for {_AWAY_AFTER_S:g} s")

    def begin(self, reason: str) -> None:
        """Send new records to the log from now on."""
        if not self.is_active:
            self._log.warning("the broker is away, records go to disk", reason=reason)
            self.is_active = True
            self._was_queued = self._queued() > 0
        self._is_away = True
        self._closing_since = None

    def take(self, record: Record) -> bool:
        """Keep a record on disk; False if it has to wait in memory."""
        if self._closing_since is not None or self._spilled.is_full:
            return False
        self._spilled.append(record)
        return True

    def step(self, waiting: deque[Record], acknowledged: int) -> None:
        """Hand on what the broker takes, and bring what waits in memory to the log.

        Args:
            waiting: records after all of the log; when this ends the detour they are next.
            acknowledged: records that librdkafka has got rid of since the start.
        """
        self._spilled.flush()
        if self._queued():
            self._was_queued = True
            if self._has_stalled(acknowledged):
                self.begin("no longer acknowledged")
            if self._closing_since is not None and (
                self._now_s() - self._closing_since > _LONGEST_CLOSING_S
                or len(waiting) > _MOST_WAITING
            ):
                self._closing_since = None
        else:
            self._hand_over()
        while waiting and self.is_active and self.take(waiting[0]):
            waiting.popleft()

    def flush(self) -> None:
        """Hand the log's last records to the operating system."""
        self._spilled.flush()

    def close(self, before: list[Record], waiting: deque[Record], is_delivered: bool) -> int:
        """Keep what is not delivered for the next start; returns how many records could not be.

        Args:
            before: records that come before the log's, not handed over from it.
            waiting: records that come after it.
            is_delivered: whether what librdkafka no longer holds has reached the broker.
        """
        if is_delivered and not self._queued() and not self._in_hand:
            self._spilled.commit()
        lost = 0
        try:
            self._spilled.prepend(before)
        except OSError as error:
            self._log.error("not kept", records=len(before), error=str(error))
            lost = len(before)
        while waiting and not self._spilled.is_full:
            self._spilled.append(waiting.popleft())
        self._spilled.close()
        if self._spilled.records:
            self._log.warning("kept on disk for the next start", records=self._spilled.records)
        return lost + len(waiting) + self._spilled.unwritten

    def _hand_over(self) -> None:
        """With nothing in librdkafka's queue: commit what went through it, hand over what is next."""
        if self._was_queued and not self._in_hand:
            self._is_away = False
            if self._handed:
                self._spilled.commit()
                self._handed = 0
            if not self._spilled.records:
                self._log.info("the broker has taken what was on disk")
                self._closing_since = None
                self.is_active = False
                return
        if not self._in_hand:
            self._in_hand.extend(self._spilled.read(_WINDOW))
        while self._in_hand and self._hand(*self._in_hand[0]):
            self._in_hand.popleft()
            self._handed += 1
            self._was_queued = True
        is_all_handed = not self._in_hand and not self._spilled.unread
        if self._handed and is_all_handed and not self._is_away:
            self._closing_since = self._now_s()

    def _has_stalled(self, acknowledged: int) -> bool:
        now_s = self._now_s()
        if acknowledged != self._acknowledged or not self._queued():
            self._acknowledged = acknowledged
            self._moved_s = now_s
        return now_s - self._moved_s >= _AWAY_AFTER_S
