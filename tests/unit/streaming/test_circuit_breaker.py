from itertools import repeat

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streaming import circuit_breaker
from streaming.circuit_breaker import TRANSITIONS, BreakerState, CircuitBreaker, Signal

SECOND = 1_000_000_000


def breaker(threshold: int = 3) -> CircuitBreaker:
    return CircuitBreaker(threshold, repeat(0.5))


def opened(now_ns: int = 0) -> CircuitBreaker:
    found = breaker(1)
    found.failed(now_ns)
    return found


def test_the_table_in_the_docstring_is_the_table_in_force():
    lines = [line for line in circuit_breaker.__doc__.splitlines() if line.startswith("| ")]
    head, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    signals = [Signal[name.upper().replace(" ", "_")] for name in head[1:]]
    described = {
        BreakerState[name]: {
            signal: BreakerState[cell] for signal, cell in zip(signals, cells, strict=True)
        }
        for name, *cells in rows
    }
    assert described == TRANSITIONS


def test_failures_below_the_threshold_hold_nothing_back():
    found = breaker(3)
    for _ in range(2):
        found.failed(0)
    assert found.admits(0)
    found.succeeded()
    for _ in range(2):
        found.failed(0)
    assert found.admits(0), "only failures in a row count"


def test_an_open_breaker_admits_nothing_until_its_time_is_over_and_then_one():
    found = opened()
    assert not found.admits(5 * SECOND - 1)
    assert found.admits(5 * SECOND)
    assert found.state is BreakerState.HALF_OPEN
    assert not found.admits(6 * SECOND), "the probe is on its way"


def test_each_failed_probe_opens_it_for_longer_up_to_300_seconds():
    found, now, times = opened(), 0, []
    for _ in range(8):
        times.append((found.open_until_ns - now) // SECOND)
        now = found.open_until_ns
        assert found.admits(now)
        found.failed(now)
    assert times == [5, 10, 20, 40, 80, 160, 300, 300]


def test_a_good_probe_closes_it_and_forgets_the_past():
    found = breaker(2)
    found.failed(0)
    found.failed(0)
    found.admits(found.open_until_ns)
    found.succeeded()
    assert (found.state, found.open_until_ns) == (BreakerState.CLOSED, 0)
    found.failed(0)
    assert found.admits(0)
    found.failed(0)
    assert found.open_until_ns == 5 * SECOND


def test_late_results_of_earlier_attempts_leave_an_open_breaker_as_it_is():
    found = opened()
    found.succeeded()
    found.failed(4 * SECOND)
    assert (found.state, found.open_until_ns) == (BreakerState.OPEN, 5 * SECOND)


class Endpoint(RuleBasedStateMachine):
    """Attempts one after another, each reported, over any course of time."""

    @initialize(threshold=st.integers(1, 4), jitter=st.floats(0, 1))
    def start(self, threshold, jitter):
        self.now, self.in_a_row, self.threshold = 0, 0, threshold
        self.breaker = CircuitBreaker(threshold, repeat(jitter))

    @rule(seconds=st.integers(0, 400))
    def wait(self, seconds):
        self.now += seconds * SECOND

    @rule(is_good=st.booleans())
    def attempt(self, is_good):
        was_open = self.in_a_row >= self.threshold
        is_due = self.now >= self.breaker.open_until_ns
        assert self.breaker.admits(self.now) == (not was_open or is_due)
        if was_open and not is_due:
            return
        assert self.breaker.admits(self.now) == (not was_open), "a probe goes alone"
        if is_good:
            self.in_a_row = 0
            self.breaker.succeeded()
        else:
            self.in_a_row += 1
            self.breaker.failed(self.now)

    @invariant()
    def it_is_open_just_while_the_failures_in_a_row_reach_the_threshold(self):
        is_open = self.in_a_row >= self.threshold
        assert (self.breaker.state is BreakerState.OPEN) == is_open

    @invariant()
    def it_never_stays_away_longer_than_300_seconds_and_a_quarter(self):
        assert self.breaker.open_until_ns <= self.now + 375 * SECOND


TestEndpoint = Endpoint.TestCase
