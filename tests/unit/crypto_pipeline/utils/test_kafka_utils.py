import json

from hypothesis import given
from hypothesis import strategies as st

from crypto_pipeline.utils.kafka_utils import (
    BronzeCheckpoint,
    LostRange,
    Watermarks,
    next_range,
    spark_offsets,
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
