"""When an endpoint that fails may be tried again: one breaker per endpoint.

| state     | success   | failure   | last straw | time is up |
|-----------|-----------|-----------|------------|------------|
| CLOSED    | CLOSED    | CLOSED    | OPEN       | CLOSED     |
| OPEN      | OPEN      | OPEN      | OPEN       | HALF_OPEN  |
| HALF_OPEN | CLOSED    | OPEN      | OPEN       | HALF_OPEN  |

CLOSED lets every attempt through, OPEN none, and HALF_OPEN has let the one through that decides. The
last straw is the failure that makes the threshold, counted since the last success. Each opening lasts
longer than the one before, 5, 10, 20 … 300 s, until a success closes the breaker. Results that come
while it is OPEN belong to attempts from before and change nothing.
"""

from collections.abc import Iterator
from enum import Enum, auto
from itertools import islice

from streaming.reconnect import backoff_delays


class BreakerState(Enum):
    """See the module's table."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class Signal(Enum):
    """What moves a breaker: the columns of the module's table."""

    SUCCESS = auto()
    FAILURE = auto()
    LAST_STRAW = auto()
    TIME_IS_UP = auto()


_CLOSED, _OPEN, _HALF_OPEN = BreakerState
TRANSITIONS: dict[BreakerState, dict[Signal, BreakerState]] = {
    state: dict(zip(Signal, row, strict=True))
    for state, row in {
        _CLOSED: (_CLOSED, _CLOSED, _OPEN, _CLOSED),
        _OPEN: (_OPEN, _OPEN, _OPEN, _HALF_OPEN),
        _HALF_OPEN: (_CLOSED, _OPEN, _OPEN, _HALF_OPEN),
    }.items()
}


class CircuitBreaker:
    """One endpoint's state; every attempt that it admits must be reported back.

    Args:
        threshold: failures in a row that open it, at least 1.
        jitter: endless numbers from 0 to 1 that spread the open times by a quarter either way.
    """

    def __init__(self, threshold: int, jitter: Iterator[float]) -> None:
        self._threshold = threshold
        self._jitter = jitter
        self._failures = 0
        self._delays = self._open_times()
        self.state = BreakerState.CLOSED
        self.open_until_ns = 0

    def admits(self, now_ns: int) -> bool:
        """Say whether an attempt may go out now; the first after the open time is the probe."""
        if self.state is BreakerState.OPEN and now_ns >= self.open_until_ns:
            self._move(Signal.TIME_IS_UP)
            return True
        return self.state is BreakerState.CLOSED

    def succeeded(self) -> None:
        """Learn that an attempt reached the endpoint."""
        self._move(Signal.SUCCESS)
        if self.state is BreakerState.CLOSED:
            self._failures = 0
            self._delays = self._open_times()
            self.open_until_ns = 0

    def failed(self, now_ns: int) -> None:
        """Learn that an attempt failed; opens the breaker at the threshold."""
        before = self.state
        self._failures += 1
        is_last = self._failures >= self._threshold
        self._move(Signal.LAST_STRAW if is_last else Signal.FAILURE)
        if self.state is BreakerState.OPEN and before is not BreakerState.OPEN:
            self.open_until_ns = now_ns + int(next(self._delays) * 1e9)

    def _move(self, signal: Signal) -> None:
        self.state = TRANSITIONS[self.state][signal]

    def _open_times(self) -> Iterator[float]:
        # The first delay of a reconnect is none, which would be no opening at all.
        return islice(backoff_delays(self._jitter), 1, None)
