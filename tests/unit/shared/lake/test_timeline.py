from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.lake.timeline import Instant, instant_at, instants, moment, writes

FIRST, SECOND, THIRD = "20240808000000000", "20240808000100000", "20240808000200000"


def test_each_action_is_told_once_in_its_latest_state():
    names = [
        f"{FIRST}.commit.requested",
        f"{FIRST}.inflight",
        f"{FIRST}_{SECOND}.commit",
        f"{SECOND}.clustering.requested",
        f"{SECOND}.clustering.inflight",
        f"{SECOND}_{THIRD}.replacecommit",
        f"{THIRD}.compaction.requested",
        "history",
        f".{FIRST}_{SECOND}.commit.crc",
    ]
    for order in (names, names[::-1]):
        assert instants(order) == [
            Instant(FIRST, "commit", SECOND),
            Instant(SECOND, "replacecommit", THIRD),
            Instant(THIRD, "compaction"),
        ]


def test_a_write_in_flight_is_a_commit_without_completion():
    assert instants([f"{FIRST}.inflight"]) == [Instant(FIRST, "commit")]


def test_a_savepoint_stands_beside_the_commit_whose_time_it_bears():
    found = instants([f"{FIRST}_{SECOND}.commit", f"{FIRST}_{THIRD}.savepoint"])
    assert found == [Instant(FIRST, "commit", SECOND), Instant(FIRST, "savepoint", THIRD)]
    assert writes(found) == [Instant(FIRST, "commit", SECOND)]


def test_writes_are_ordered_by_completion_newest_first():
    early = Instant(FIRST, "deltacommit", THIRD)
    late = Instant(SECOND, "commit", SECOND)
    clean = Instant(THIRD, "clean", THIRD)
    pending = Instant(THIRD, "deltacommit")
    assert writes([late, clean, pending, early]) == [early, late]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (Instant(FIRST, "compaction"), True),
        (Instant(FIRST, "clustering"), True),
        (Instant(FIRST, "commit"), False),
        (Instant(FIRST, "replacecommit", SECOND), False),
    ],
)
def test_an_unfinished_service_is_a_planned_compaction_or_clustering(item, expected):
    assert item.is_unfinished_service is expected


def test_instants_and_times_convert_both_ways_in_utc():
    when = datetime(2024, 8, 8, 1, 2, 3, 456000, tzinfo=UTC)
    assert instant_at(when) == "20240808010203456"
    assert instant_at(when.replace(tzinfo=None)) == "20240808010203456"
    assert instant_at(when.astimezone(timezone(timedelta(hours=5)))) == "20240808010203456"
    assert moment("20240808010203456") == when
