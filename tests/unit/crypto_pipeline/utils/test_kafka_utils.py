import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_pipeline.utils.kafka_utils import (
    BronzeCheckpoint,
    LostRange,
    Watermarks,
    next_range,
    spark_offsets,
    still_held,
)


def test_a_first_read_starts_at_the_earliest_offset():
    covered = next_range({}, Watermarks({"t": {0: 5}}, {"t": {0: 9}}), 100)
    assert covered == BronzeCheckpoint({"t": {0: 5}}, {"t": {0: 9}})
    assert covered.span == 4
    assert not covered.is_empty


def test_a_further_read_starts_where_the_last_commit_ended():
    covered = next_range({"t": {0: 7}}, Watermarks({"t": {0: 5}}, {"t": {0: 9}}), 100)
    assert (covered.start, covered.end, covered.lost) == ({"t": {0: 7}}, {"t": {0: 9}}, [])


def test_nothing_new_is_empty():
    assert next_range({"t": {0: 9}}, Watermarks({"t": {0: 5}}, {"t": {0: 9}}), 100).is_empty
    assert next_range({}, Watermarks({}, {}), 100).is_empty


def test_expired_offsets_are_a_lost_range_and_reading_goes_on_behind_it():
    covered = next_range({"t": {0: 2}}, Watermarks({"t": {0: 5}}, {"t": {0: 5}}), 100)
    assert covered.lost == [LostRange("t", 0, 2, 5)]
    assert covered.start == {"t": {0: 5}}
    assert covered.span == 0
    assert not covered.is_empty


def test_a_topic_made_anew_is_read_from_its_beginning():
    covered = next_range({"t": {0: 50}}, Watermarks({"t": {0: 0}}, {"t": {0: 3}}), 100)
    assert (covered.start, covered.end) == ({"t": {0: 0}}, {"t": {0: 3}})


def test_a_topic_that_is_away_keeps_its_place():
    covered = next_range({"gone": {0: 5}}, Watermarks({"t": {0: 0}}, {"t": {0: 3}}), 100)
    assert covered.end == {"t": {0: 3}, "gone": {0: 5}}
    assert covered.span == 3


@given(
    st.dictionaries(st.integers(0, 5), st.integers(0, 1000), min_size=1),
    st.integers(1, 500),
)
def test_capped_reads_reach_the_end_without_a_hole_or_an_overlap(ends, most):
    broker = Watermarks({"t": dict.fromkeys(ends, 0)}, {"t": ends})
    done: dict[str, dict[int, int]] = {}
    read = 0
    while not (covered := next_range(done, broker, most)).is_empty:
        assert covered.start["t"] == done.get("t", dict.fromkeys(ends, 0))
        assert covered.span <= most + len(ends)
        read += covered.span
        done = covered.end
    assert read == sum(ends.values())


def test_spark_gets_its_own_json_of_the_topics_asked_for():
    text = spark_offsets({"t": {0: 5, 1: 6}, "u": {0: 1}}, ["t"])
    assert json.loads(text) == {"t": {"0": 5, "1": 6}}


READ = BronzeCheckpoint({"t": {0: 10}}, {"t": {0: 20}})


@pytest.mark.parametrize(
    ("earliest", "end", "again", "lost"),
    [
        (5, 30, (10, 20), None),
        (15, 30, (15, 20), (10, 15)),
        (20, 20, None, (10, 20)),
        (25, 30, None, (10, 20)),
        (0, 12, None, (10, 20)),
    ],
)
def test_a_range_is_read_again_as_far_as_the_broker_holds_it(earliest, end, again, lost):
    found = still_held(READ, Watermarks({"t": {0: earliest}}, {"t": {0: end}}))
    first, until = again or (earliest, earliest)
    assert (found.start, found.end) == ({"t": {0: first}}, {"t": {0: until}})
    assert found.lost == ([LostRange("t", 0, *lost)] if lost else [])


def test_a_topic_that_is_gone_is_lost_and_a_partition_that_came_is_named():
    broker = Watermarks({"t": {0: 0, 1: 3}, "u": {0: 0}}, {"t": {0: 30, 1: 9}, "u": {0: 1}})
    found = still_held(READ, broker)
    assert (found.start, found.end) == ({"t": {0: 10, 1: 3}}, {"t": {0: 20, 1: 3}})
    assert found.span == 10
    gone = still_held(READ, Watermarks({}, {}))
    assert gone == BronzeCheckpoint({}, {}, [LostRange("t", 0, 10, 20)])


def test_a_range_without_records_loses_nothing():
    read = BronzeCheckpoint({"t": {0: 7}}, {"t": {0: 7}})
    found = still_held(read, Watermarks({"t": {0: 9}}, {"t": {0: 9}}))
    assert (found.span, found.lost) == (0, [])
