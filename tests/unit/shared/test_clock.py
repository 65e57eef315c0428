import time

import pytest

from shared.clock import SettableClock, SystemClock


def test_the_system_clock_tells_the_machines_time():
    before = time.time_ns()
    assert before <= SystemClock().now_ns() <= time.time_ns()


def test_a_settable_clock_moves_only_when_told_and_never_back():
    clock = SettableClock(5)
    clock.advance(3)
    assert clock.now_ns() == 8
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1)
