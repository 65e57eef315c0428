from crypto_pipeline.rounds import OTHERS, Round, turn_of
from crypto_pipeline.tables import EACH_TICK
from tests.unit.crypto_pipeline.test_definitions import GRAPH

EVERY_S = 60.0


def test_a_table_comes_after_those_that_feed_it():
    for number, name in enumerate(OTHERS):
        assert GRAPH[name].isdisjoint(OTHERS[number + 1 :]), name


def test_as_many_tables_share_a_tick_as_take_the_time_together():
    left = ("a", "b", "c", "d")
    seconds = {"a": 4.0, "b": 6.0, "c": 5.0}
    assert Round(0, left).portion(seconds, 10) == ("a", "b")
    assert Round(0, left).portion(seconds, 9.9) == ("a",)
    assert Round(0, left).portion(seconds, 100) == left
    assert Round(0, left).portion(seconds, 0) == ("a",), "one that takes longer goes alone"
    assert Round(0, left).portion({}, 0) == left, "what is not told counts as nothing"
    assert Round(0, ()).portion(seconds, 10) == ()


def test_trades_do_not_come_between_letters_and_the_ledger():
    left = ("gold_daily_summary", "quality_dead_letters", "quality_completeness", "quality_gaps")
    seconds = dict.fromkeys(left, 6.0)
    assert Round(0, left).portion(seconds, 13) == left[:1]
    assert Round(0, left[1:]).portion(seconds, 13) == left[1:]


def test_another_round_begins_once_this_one_is_through_and_the_time_has_come():
    through, amid = Round(100, ()), Round(100, OTHERS[-2:])
    assert through.now(159, EVERY_S) == through
    assert through.now(160, EVERY_S) == Round(160, OTHERS)
    assert through.now(99, EVERY_S) == Round(99, OTHERS), "the clock was set back"
    assert amid.now(1000, EVERY_S) == amid
    assert amid.without(OTHERS[-2:-1]) == Round(100, OTHERS[-1:])
    assert amid.without(OTHERS) == through


def test_a_table_of_another_version_is_passed_over():
    assert Round(100, ("gone", OTHERS[0])).now(101, EVERY_S) == Round(100, OTHERS[:1])
    assert Round(100, ("gone",)).now(101, EVERY_S) == Round(100, ())


def test_a_check_looks_at_the_last_turn_of_the_tables_that_it_needs():
    assert turn_of({"bronze_depth", "quality_dead_letters"}) == "quality_dead_letters"
    assert turn_of({"gold_ohlcv", "silver_klines"}) == "silver_klines"
    assert turn_of({"bronze_trades", "gold_volume_profile"}) == OTHERS[3]
    assert len({turn_of({name}) for name in EACH_TICK}) == len(EACH_TICK)
    assert turn_of({"quality_reconciliation"}) is None
