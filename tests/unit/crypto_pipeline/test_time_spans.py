from crypto_pipeline.assets.time_spans import TimeSpan, begin, following
from crypto_pipeline.utils.hudi_utils import Commit

MINUTE_US, NEAR_US = 60_000_000, 60_000_000


def commits(*spans: TimeSpan | None):
    """Return commits that completed at "01", "02", …, the newest first."""
    completed = enumerate(spans, 1)
    listed = [(Commit("", f"{number:02}", "deltacommit"), span) for number, span in completed]
    return reversed(listed)


def minutes(earliest: float | None, latest: float) -> TimeSpan:
    first = None if earliest is None else int(earliest * MINUTE_US)
    return TimeSpan(first, int(latest * MINUTE_US))


def found(*spans: TimeSpan | None, after: str) -> tuple[str, int | None] | None:
    return begin(commits(*spans), after, MINUTE_US, NEAR_US)


def test_the_last_commit_from_before_the_windows_and_the_minute_about_them_is_found():
    spans = [minutes(number, number + 0.99) for number in range(10)]
    # New rows from 9:00 on may share a span with others from 8:00 on, whose forms reach back to 7:00.
    assert found(*spans, after="09") == ("07", 7 * MINUTE_US)
    assert found(*spans, after="07") == ("05", 5 * MINUTE_US)


def test_rows_of_one_moment_are_told_apart_to_the_microsecond():
    new = TimeSpan(10 * MINUTE_US, 10 * MINUTE_US)
    assert found(TimeSpan(0, 8 * MINUTE_US - 1), new, after="01") == ("01", 8 * MINUTE_US)
    assert found(TimeSpan(0, 8 * MINUTE_US), new, after="01") is None


def test_a_late_row_reaches_back_as_far_as_its_own_time():
    spans = [*(minutes(number, number + 0.99) for number in range(10)), minutes(4.5, 9.99)]
    assert found(*spans, after="10") == ("02", 2 * MINUTE_US)


def test_where_nothing_is_new_any_time_will_do():
    assert found(minutes(0, 1), minutes(1, 2), after="02") == ("02", None)


def test_where_commits_do_not_tell_nothing_is_left_out():
    told = [minutes(number, number + 0.99) for number in range(10)]
    assert found(*told, None, after="10") is None, "what is new tells nothing"
    assert found(*told, minutes(None, 12), after="10") is None, "what is new was merged"
    assert found(*told, minutes(0, 12), after="10") is None, "the timeline does not reach back"
    assert found(None, None, minutes(10, 11), after="02") is None


def test_a_commit_that_tells_nothing_is_passed_over_on_the_way_back():
    spans = minutes(1, 2), None, minutes(8, 9), minutes(10, 11)
    assert found(*spans, after="03") == ("01", 8 * MINUTE_US)


def test_a_commit_tells_what_is_sure_of_all_before_it_too():
    own = minutes(5, 6)
    assert following(commits(), own, now_us=0) == own
    assert following(commits(minutes(1, 9)), own, now_us=0) == minutes(5, 9)
    assert following(commits(minutes(1, 3)), own, now_us=0) == own


def test_what_an_older_version_wrote_is_not_from_after_its_own_time():
    now_us = 20 * MINUTE_US
    assert following(commits(None), minutes(5, 6), now_us) == minutes(5, 20 + 60)
    assert following(commits(minutes(1, 90), None), minutes(5, 6), now_us) == minutes(5, 90)
    assert following(commits(minutes(1, 3), None), minutes(5, 95), now_us) == minutes(5, 95)
