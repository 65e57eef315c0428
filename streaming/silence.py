"""When to write to a socket that is silent as a whole, and when to give it up. Pure.

A reset may go unnoticed by the reader, but what is written to a dead socket comes back at once. So after
half a second of silence the socket is pinged, then after twice as long each time, up to the longest wait.
A venue that is there answers; one that does not for that longest wait is gone.
"""

from enum import Enum, auto

_FIRST_WAIT_NS = 500_000_000


class Measure(Enum):
    """What to do about a silence."""

    PING = auto()
    GIVE_UP = auto()


class Silence:
    """One socket's silence; every time is in ns since the epoch.

    Args:
        longest_ns: the longest wait between two pings, and for an answer.
        now_ns: when the socket was opened.
    """

    def __init__(self, longest_ns: int, now_ns: int) -> None:
        self._longest_ns = longest_ns
        self._pongs = 0
        self.end(now_ns)

    def end(self, now_ns: int) -> None:
        """Learn that there was no silence, or that nobody listened."""
        self._heard_ns = now_ns
        self._wait_ns = _FIRST_WAIT_NS
        self._ping_ns = now_ns + self._wait_ns
        self._unanswered_ns: int | None = None

    def look(self, heard_ns: int, pongs: int, now_ns: int) -> Measure | None:
        """Judge, about once a second: data was last heard at `heard_ns`, and so many pings answered."""
        if heard_ns > self._heard_ns:
            self.end(heard_ns)
        if pongs > self._pongs:
            self._pongs, self._unanswered_ns = pongs, None
        if self._unanswered_ns is not None and now_ns - self._unanswered_ns > self._longest_ns:
            return Measure.GIVE_UP
        if now_ns < self._ping_ns:
            return None
        self._unanswered_ns = self._unanswered_ns or now_ns
        self._wait_ns = min(2 * self._wait_ns, self._longest_ns)
        self._ping_ns = now_ns + self._wait_ns
        return Measure.PING
