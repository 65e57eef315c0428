"""Whether one subscription is alive, judged by nothing but its own past. Pure.

| state        | ack          | data       | 15 s without data | half the limit | the limit |
|--------------|--------------|------------|-------------------|----------------|-----------|
| SUBSCRIBED   | ACKNOWLEDGED | FIRST_DATA | UNPROVED          |                |           |
| ACKNOWLEDGED |              | FIRST_DATA | UNPROVED          |                |           |
| UNPROVED     |              | FIRST_DATA |                   |                |           |
| FIRST_DATA   |              | LIVE       |                   | QUIET          | STALE     |
| LIVE         |              |            |                   | QUIET          | STALE     |
| QUIET        |              | LIVE       |                   |                | STALE     |
| STALE        |              | LIVE       |                   |                |           |

BROKEN and CLOSED, without a socket, prove nothing either.

An acknowledgement proves nothing: venues acknowledge streams that they never send. The limit of silence
is `max(10 s, 5 x usual)`, where `usual` is the longest interval that the subscription has shown,
forgotten by half every 20 minutes. Not the mean: trades come in bursts, and a market that rests for a
minute after each is not dead. But where trades come at random, the longest of few intervals may be
short by luck: `usual` is at least their mean and three standard deviations. A subscription without a
past starts with two minutes as its usual interval, which fades with its age and no faster than it shows
intervals of its own: one that has spoken twice in five minutes has shown nothing yet. A silence that
ended as STALE at most doubles it.
"""

import math
from enum import Enum, auto

from shared.market.events import StreamState

PROOF_NS = 15_000_000_000
SHORTEST_LIMIT_NS = 10_000_000_000
USUAL_TIMES = 5
_FIRST_USUAL_NS = 120_000_000_000
_FIRST_FADES_NS = 60_000_000_000
_FIRST_FADES_INTERVALS = 10
_DEVIATIONS = 3
# The weight of a new interval in mean and variance once there are a hundred.
_LEAST_WEIGHT = 0.01
_HALF_LIFE_NS = 20 * 60_000_000_000
_LONGEST_WAIT_NS = 600_000_000_000
_MOVE_AT = 2

_UNPROVEN = {
    StreamState.SUBSCRIBED,
    StreamState.ACKNOWLEDGED,
    StreamState.UNPROVED,
    StreamState.BROKEN,
    StreamState.CLOSED,
}
_FLOWING = {StreamState.FIRST_DATA, StreamState.LIVE}


class Remedy(Enum):
    """What may bring a subscription back."""

    RESUBSCRIBE = auto()
    MOVE = auto()


class Liveness:
    """One subscription's state and its usual interval; every time is in ns since the epoch.

    `seen` is called for every frame and only takes notes; `look`, about once a second, judges.
    """

    __slots__ = (
        "_asked_ns",
        "_judged_ns",
        "_longest_ns",
        "_next_remedy_ns",
        "first_ns",
        "intervals",
        "is_acknowledged",
        "learned_ns",
        "mean_ns",
        "remedies",
        "seen_ns",
        "state",
        "variance",
    )

    def __init__(self) -> None:
        self.learned_ns = 0.0
        self.first_ns = 0
        self.intervals = 0
        self.mean_ns = self.variance = 0.0
        self.remedies = 0
        self.state = StreamState.CLOSED
        self.ask(0)

    def ask(self, now_ns: int) -> None:
        """Learn that the venue was asked on a fresh socket; what was learned before stays."""
        self.state = StreamState.SUBSCRIBED
        self._asked_ns = self._judged_ns = self.seen_ns = now_ns
        self._longest_ns = 0
        self._next_remedy_ns = now_ns + PROOF_NS
        self.is_acknowledged = False

    def acknowledge(self) -> bool:
        """Learn that the venue confirmed; says whether that is news, for data may have come before."""
        self.is_acknowledged = True
        if self.state is not StreamState.SUBSCRIBED:
            return False
        self.state = StreamState.ACKNOWLEDGED
        return True

    def end(self, state: StreamState) -> None:
        """Learn that the socket is gone: BROKEN, or CLOSED as planned."""
        self.state = state

    def excuse(self, now_ns: int) -> None:
        """Learn that nobody listened until now."""
        if not self.is_proved:
            self._asked_ns = now_ns
            self._next_remedy_ns = max(self._next_remedy_ns, now_ns + PROOF_NS)
        self.seen_ns = self._judged_ns = now_ns
        self._longest_ns = 0

    def seen(self, now_ns: int) -> None:
        """Note a frame."""
        interval = now_ns - self.seen_ns
        # Faster than `max`, and this is done for every frame.
        if interval > self._longest_ns:  # noqa: PLR1730
            self._longest_ns = interval
        self.seen_ns = now_ns

    def prove(self, now_ns: int) -> None:
        """Learn of the first frame since the venue was asked."""
        self.state = StreamState.FIRST_DATA
        self.seen_ns = self._judged_ns = now_ns
        self._longest_ns = 0
        self.first_ns = self.first_ns or now_ns
        self.remedies = 0

    def learn_from(self, before: "Liveness") -> None:
        """Take over what the same subscription has shown on another connection."""
        self.learned_ns = max(self.learned_ns, before.learned_ns)
        self.first_ns = before.first_ns or self.first_ns
        if before.intervals > self.intervals:
            self.intervals = before.intervals
            self.mean_ns, self.variance = before.mean_ns, before.variance
        self.remedies = 0 if self.is_proved else before.remedies

    @property
    def is_proved(self) -> bool:
        """Whether data has come since the venue was asked."""
        return self.state not in _UNPROVEN

    @property
    def is_healthy(self) -> bool:
        """Whether data has come and is not overdue."""
        return self.is_proved and self.state is not StreamState.STALE

    def usual_ns(self, now_ns: int) -> float:
        """Return the usual longest interval between two frames."""
        age = max(0, now_ns - self.first_ns)
        known = min(age / _FIRST_FADES_NS, self.intervals / _FIRST_FADES_INTERVALS)
        first = _FIRST_USUAL_NS * math.exp(-known)
        return max(first, self.learned_ns, self.mean_ns + _DEVIATIONS * math.sqrt(self.variance))

    def limit_ns(self, now_ns: int) -> float:
        """Return the silence from which the subscription counts as stale."""
        return max(SHORTEST_LIMIT_NS, USUAL_TIMES * self.usual_ns(now_ns))

    def look(self, now_ns: int) -> StreamState | None:
        """Judge; returns the new state if it changed."""
        before = self.state
        if not self.is_proved:
            if now_ns - self._asked_ns >= PROOF_NS:
                self.state = StreamState.UNPROVED
        else:
            self._learn(now_ns)
            self._judge(now_ns)
        return None if self.state is before else self.state

    def remedy(self, now_ns: int) -> Remedy | None:
        """Return what to try now: first ask again, then move, then ask less and less often."""
        if self.is_healthy or now_ns < self._next_remedy_ns:
            return None
        self.remedies += 1
        wait_ns = min(PROOF_NS << (self.remedies - 1), _LONGEST_WAIT_NS)
        self._next_remedy_ns = now_ns + wait_ns
        return Remedy.MOVE if self.remedies == _MOVE_AT else Remedy.RESUBSCRIBE

    def _learn(self, now_ns: int) -> None:
        fade = 0.5 ** ((now_ns - self._judged_ns) / _HALF_LIFE_NS)
        longest: float = self._longest_ns
        if self.state is StreamState.STALE:
            # Perhaps we brought it back, and then this silence is not its own.
            longest = min(longest, 2 * self.usual_ns(now_ns))
        self.learned_ns = max(self.learned_ns * fade, longest)
        if longest:
            self._count(longest)
        self._judged_ns = now_ns
        self._longest_ns = 0

    def _count(self, interval_ns: float) -> None:
        """Take the longest interval between two looks into mean and variance."""
        self.intervals += 1
        weight = max(1 / self.intervals, _LEAST_WEIGHT)
        off = interval_ns - self.mean_ns
        self.mean_ns += weight * off
        self.variance = (1 - weight) * (self.variance + weight * off * off)

    def _judge(self, now_ns: int) -> None:
        silence, limit = now_ns - self.seen_ns, self.limit_ns(now_ns)
        if silence >= limit:
            if self.state is not StreamState.STALE:
                self.state = StreamState.STALE
                self._next_remedy_ns = now_ns
        elif silence >= limit / 2:
            if self.state in _FLOWING:
                self.state = StreamState.QUIET
        elif self.state is not StreamState.LIVE:
            self.state = StreamState.LIVE
            self.remedies = 0
