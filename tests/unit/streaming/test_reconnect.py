from itertools import islice, repeat

from streaming.reconnect import backoff_delays


def test_the_first_retry_is_immediate_then_5_10_20_up_to_300_seconds():
    delays = list(islice(backoff_delays(repeat(0.5)), 9))
    assert delays == [0, 5, 10, 20, 40, 80, 160, 300, 300]


def test_jitter_moves_a_delay_by_a_quarter_at_most():
    assert list(islice(backoff_delays(repeat(0.0)), 2))[1] == 3.75
    assert list(islice(backoff_delays(repeat(1.0)), 2))[1] == 6.25


def test_delays_end_with_their_jitter():
    assert list(backoff_delays(iter([0.5]))) == [0, 5]
