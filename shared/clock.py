"""The one place that asks what time it is; pure code takes times as arguments."""

import time
from typing import Protocol


class Clock(Protocol):
    """A source of wall-clock time in integer nanoseconds since the epoch, UTC."""

    def now_ns(self) -> int:
        """Return the current time in ns since the epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    # No function of ours around it: it is asked for every frame.
    now_ns = staticmethod(time.time_ns)


class SettableClock:
    """A clock for tests that stands still until it is moved."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Return the time it was last set to, in ns since the epoch."""
        return self._now_ns

    def advance(self, nanoseconds: int) -> None:
        """Move the clock forward; a negative step raises ValueError."""
        if nanoseconds < 0:
            msg = f"a clock cannot go back ({nanoseconds} ns)"
            raise ValueError(msg)
        self._now_ns += nanoseconds
