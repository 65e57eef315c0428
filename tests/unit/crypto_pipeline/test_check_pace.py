"""When an asset check looks again, and at how much."""

import pytest

from crypto_pipeline.check_pace import in_turn, portion, rests

BTC, BTC_BEFORE, ETH, SOL = (
    ("BTCUSDT", "2024-08-08"),
    ("BTCUSDT", "2024-08-07"),
    ("ETHUSDT", "2024-08-08"),
    ("SOLUSDT", "2024-08-08"),
)
SIZES = {BTC: 50, BTC_BEFORE: 20, ETH: 30, SOL: 10}


@pytest.mark.parametrize(
    ("seconds", "later_s", "is_too_soon"),
    [
        (0.5, 1, False),
        (2, 1, False),
        (3, 179, True),
        (3, 181, False),
        (60, 899, True),
        (60, 901, False),
    ],
)
def test_a_long_look_is_followed_by_a_rest_in_proportion_to_it(seconds, later_s, is_too_soon):
    assert rests(1000.0, seconds, 1000.0 + later_s) is is_too_soon


def test_what_waits_and_what_was_wrong_come_before_what_was_written_since():
    assert in_turn([SOL], [BTC], {ETH, BTC, BTC_BEFORE}) == [SOL, BTC, BTC_BEFORE, ETH]
    assert in_turn([], [], {ETH, BTC}) == [BTC, ETH]


@pytest.mark.parametrize(
    ("bytes_last", "seconds_last", "taken"),
    [
        (1, 2.0, [SOL]),
        (79, 5.0, [SOL]),
        (80, 5.0, [SOL, BTC, BTC_BEFORE]),
        (160, 10.0, [SOL, BTC, BTC_BEFORE]),
        (110, 5.0, [SOL, BTC, BTC_BEFORE, ETH]),
        (11, 0.001, [SOL, BTC, BTC_BEFORE, ETH]),
        (0, 0.0, [SOL, BTC, BTC_BEFORE, ETH]),
    ],
)
def test_a_look_takes_whole_symbols_for_about_five_seconds(bytes_last, seconds_last, taken):
    wanted = [SOL, BTC, ETH, BTC_BEFORE]
    assert portion(wanted, SIZES, bytes_last, seconds_last) == taken


def test_without_an_earlier_look_the_first_takes_what_usually_goes():
    assert portion([BTC, ETH], {BTC: 30_000_000, ETH: 10_000_000}, 0, 0.0) == [BTC, ETH]
    assert portion([BTC, ETH], {BTC: 30_000_000, ETH: 10_000_001}, 0, 0.0) == [BTC]


def test_by_turns_every_partition_is_looked_at_also_beside_one_that_stays_wrong():
    waiting, seen = [], []
    for _ in range(4):
        wanted = in_turn(waiting, [BTC], {BTC, ETH, SOL})
        chosen = portion(wanted, SIZES, 30, 5.0)
        waiting = [each for each in wanted if each not in chosen]
        seen.append(chosen)
    assert seen == [[BTC], [ETH], [SOL], [BTC]]
