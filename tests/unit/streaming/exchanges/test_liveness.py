import random

import pytest

from shared.market.events import StreamState
from streaming.exchanges.liveness import Liveness, Remedy

SECOND = 10**9
MINUTE = 60 * SECOND


def proved(at: int = 1) -> Liveness:
    life = Liveness()
    life.ask(at)
    life.prove(at)
    return life


def flow(life: Liveness, start: float, end: float, every: float) -> list[StreamState]:
    """Frames every so many seconds, and a look each second; returns what changed."""
    changes, due = [], start
    for second in range(int(start), int(end)):
        while due <= second:
            life.seen(int(due * SECOND))
            due += every
        changes.append(life.look(second * SECOND))
    return [state for state in changes if state is not None]


def test_an_acknowledgement_proves_nothing():
    life = Liveness()
    life.ask(0)
    life.acknowledge()
    assert (life.state, life.is_healthy) == (StreamState.ACKNOWLEDGED, False)
    assert life.look(15 * SECOND - 1) is None
    assert life.look(15 * SECOND) is StreamState.UNPROVED
    assert life.look(16 * SECOND) is None
    life.prove(17 * SECOND)
    life.acknowledge()
    assert (life.state, life.is_healthy) == (StreamState.FIRST_DATA, True)


def test_a_fast_stream_that_dies_is_found_in_ten_seconds():
    life = proved()
    assert flow(life, 0, 600, 0.1) == [StreamState.LIVE]
    last = life.seen_ns
    assert life.look(last + 6 * SECOND) is StreamState.QUIET
    assert life.look(last + 9 * SECOND) is None, "already told"
    assert life.look(last + 10 * SECOND) is StreamState.STALE
    assert life.look(last + 11 * SECOND) is None
    assert not life.is_healthy


def test_the_limit_is_five_times_the_longest_usual_interval():
    life = proved()
    assert flow(life, 0, 1200, 8) == [StreamState.LIVE]
    last = life.seen_ns
    assert life.limit_ns(last) == pytest.approx(40 * SECOND, rel=0.01)
    assert life.look(last + 41 * SECOND) is StreamState.STALE


def test_bursts_do_not_make_a_quiet_market_look_dead():
    life, randomly = proved(), random.Random(3)
    now, changes = 0.0, []
    for _ in range(200):
        for _ in range(50):
            now += 0.001
            life.seen(int(now * SECOND))
        rest = randomly.expovariate(1 / 30)
        changes += [life.look(second * SECOND) for second in range(int(now) + 1, int(now + rest))]
        now += rest
    assert StreamState.STALE not in changes


@pytest.mark.parametrize("seed", range(2))
def test_streams_that_trade_at_random_and_seldom_raise_no_alarm(seed):
    randomly = random.Random(seed)
    changes = []
    for _ in range(40):
        life, due = proved(), 0.0
        for second in range(1200):
            while due <= second:
                life.seen(int(due * SECOND) + 1)
                due += randomly.expovariate(1 / 20)
            changes.append(life.look(second * SECOND + 2))
    assert StreamState.STALE not in changes


def test_a_regular_stream_is_still_known_by_its_longest_interval():
    life = proved()
    flow(life, 0, 1200, 8)
    assert life.usual_ns(life.seen_ns) == pytest.approx(8 * SECOND, rel=0.01)


def test_on_another_connection_the_richer_past_counts():
    old, new = proved(), proved()
    flow(old, 0, 100, 10)
    flow(new, 0, 20, 10)
    new.learn_from(old)
    assert (new.intervals, new.mean_ns) == (old.intervals, old.mean_ns)
    old.learn_from(proved())
    assert old.intervals > 1


def test_data_after_a_silence_makes_it_live_and_the_silence_is_not_taken_for_its_habit():
    life = proved()
    flow(life, 0, 600, 0.1)
    assert life.look(700 * SECOND) is StreamState.STALE
    life.seen(701 * SECOND)
    assert life.look(702 * SECOND) is StreamState.LIVE
    assert life.look(703 * SECOND) is None
    assert life.limit_ns(703 * SECOND) < 11 * SECOND


def test_habits_are_forgotten_slowly():
    life = proved()
    flow(life, 0, 1200, 10)
    before = life.usual_ns(1200 * SECOND)
    flow(life, 1200, 2400, 0.5)
    assert life.usual_ns(2400 * SECOND) == pytest.approx(before / 2, rel=0.05)


def test_remedies_come_in_turn_and_less_and_less_often():
    life = Liveness()
    life.ask(0)
    given, now = [], 0
    while len(given) < 5:
        now += SECOND
        life.look(now)
        remedy = life.remedy(now)
        if remedy is not None:
            given.append((now // SECOND, remedy))
    assert given == [
        (15, Remedy.RESUBSCRIBE),
        (30, Remedy.MOVE),
        (60, Remedy.RESUBSCRIBE),
        (120, Remedy.RESUBSCRIBE),
        (240, Remedy.RESUBSCRIBE),
    ]


def test_a_stale_stream_gets_its_first_remedy_at_once_and_a_healthy_one_none():
    life = proved()
    flow(life, 0, 600, 0.1)
    assert life.remedy(600 * SECOND) is None
    life.look(620 * SECOND)
    assert life.remedy(620 * SECOND) is Remedy.RESUBSCRIBE
    assert life.remedy(621 * SECOND) is None


def test_what_was_learned_goes_over_to_another_connection():
    old, new, silent = proved(), proved(1200 * SECOND), Liveness()
    flow(old, 0, 1200, 10)
    new.learn_from(old)
    assert new.usual_ns(1200 * SECOND) == old.usual_ns(1200 * SECOND)
    old.look(1300 * SECOND)
    old.remedy(1300 * SECOND)
    silent.ask(1300 * SECOND)
    silent.learn_from(old)
    silent.look(1315 * SECOND)
    assert silent.remedy(1315 * SECOND) is Remedy.MOVE, "the second remedy, not the first again"


def test_a_stale_stream_that_resumes_and_rests_again_is_not_live_yet():
    life = proved()
    flow(life, 0, 600, 0.1)
    life.look(650 * SECOND)
    life.seen(651 * SECOND)
    assert life.look(657 * SECOND) is None, "silent again for half its limit"
    assert life.state is StreamState.STALE
