from datetime import UTC, date, datetime

import pytest

from shared.lake import upkeep
from shared.lake.timeline import Instant
from shared.lake.upkeep import FileSlice, Plan, TableState, plan

TODAY = date(2024, 8, 9)
YESTERDAY = "symbol=BTCUSDT/date=2024-08-08"
NOW = "symbol=BTCUSDT/date=2024-08-09"


def history(count: int) -> tuple[Instant, ...]:
    return tuple(
        Instant(f"{20240809000000000 + n * 1000}", "commit", f"{20240809000000500 + n * 1000}")
        for n in range(count)
    )


def state(*slices: FileSlice, merged: bool = False, timeline=(), **more) -> TableState:
    return TableState("t", merged, tuple(timeline), slices, **more)


def test_nothing_is_due_on_an_empty_or_a_kept_table():
    assert plan(state(), TODAY) == Plan()
    kept = state(FileSlice(YESTERDAY, 10), FileSlice(YESTERDAY, 20), timeline=history(64))
    assert plan(kept, TODAY) == Plan()
    assert plan(kept, TODAY).steps == []


@pytest.mark.parametrize(
    ("partition", "logs", "expected"),
    [(NOW, 9, 0), (NOW, 10, 2), (YESTERDAY, 1, 2), (YESTERDAY, 0, 0)],
)
def test_compaction_is_due_by_log_files_or_when_the_day_is_closed(partition, logs, expected):
    other = FileSlice(NOW, 5, (1,))
    given = state(FileSlice(partition, 5, (1,) * logs), other, merged=True)
    assert plan(given, TODAY).compact == expected


def test_a_closed_day_is_merged_down_to_two_files_and_big_ones_are_left_alone():
    small = (FileSlice(YESTERDAY, 10),) * 3
    assert plan(state(*small), TODAY).merge_closed == (YESTERDAY,)
    big = (FileSlice(YESTERDAY, upkeep.SMALL_CLOSED),) * 3
    assert plan(state(*big), TODAY).merge_closed == ()
    assert plan(state(*big, small[0]), TODAY).merge_closed == ()
    assert plan(state(*small, merged=True), TODAY).merge_closed == ()


def test_an_open_day_is_merged_when_its_small_files_are_many():
    small = FileSlice(NOW, upkeep.SMALL_OPEN - 1)
    merged = FileSlice(NOW, upkeep.SMALL_OPEN)
    assert plan(state(*(small,) * 47, merged), TODAY).merge_open == ()
    assert plan(state(*(small,) * 48, merged), TODAY).merge_open == (NOW,)


def test_the_open_day_with_most_small_files_comes_first():
    other = NOW.replace("BTCUSDT", "ETHUSDT")
    given = state(*(FileSlice(NOW, 1),) * 48, *(FileSlice(other, 1),) * 49)
    assert plan(given, TODAY).merge_open == (other, NOW)


def test_one_run_merges_a_bounded_number_of_symbol_days_the_oldest_first():
    names = [f"symbol=S{n:02}/date=2024-08-{day:02}" for day in (7, 6) for n in range(20)]
    due = plan(state(*(FileSlice(name, 1) for name in names for _ in range(3))), TODAY)
    assert due.merge_closed == tuple(names[20:] + names[:10])


def test_what_was_interrupted_is_finished_and_what_expired_cleaned():
    due = plan(state(timeline=[Instant("1", "clustering")], expired_bytes=1), TODAY)
    assert due == Plan(finish=True, clean=True)


def test_writes_beyond_the_newest_are_archived():
    assert plan(state(timeline=history(65)), TODAY).archive == 0
    assert plan(state(timeline=history(90)), TODAY).archive == 26


def test_writes_that_somebody_has_yet_to_look_at_are_not_archived():
    assert plan(state(timeline=history(90)), TODAY, unread=80).archive == 10
    assert plan(state(timeline=history(90)), TODAY, unread=90).archive == 0


def test_sixty_writes_follow_the_oldest_retained_one():
    assert upkeep.earliest_retained(history(60)) is None
    assert upkeep.earliest_retained(history(61)) == history(61)[0]


def test_a_state_counts_its_files_and_names_its_savepoints():
    given = state(
        FileSlice(YESTERDAY, 1, (2, 3)),
        FileSlice(YESTERDAY, upkeep.SMALL_OPEN),
        FileSlice(NOW, 4),
        timeline=[Instant("7", "commit", "8"), Instant("7", "savepoint", "9")],
    )
    assert given.base_files == {YESTERDAY: 2, NOW: 1}
    assert given.small_files == 1
    assert given.savepoints == ("7",)
    assert [item.bytes for item in given.slices] == [6, upkeep.SMALL_OPEN, 4]


def test_a_plan_is_told_in_its_order():
    everything = Plan(True, 3, ("a",), ("b", "c"), True, 9)
    assert everything.steps == [
        "finish what was interrupted",
        "compact 3 file groups",
        "merge files of 1 closed symbol-days",
        "merge files of 2 open symbol-days",
        "clean",
        "archive 9 writes",
    ]


@pytest.mark.parametrize(("hour", "expected"), [(0, date(2024, 8, 7)), (1, date(2024, 8, 8))])
def test_a_day_is_closed_an_hour_after_its_end(hour, expected):
    assert upkeep.first_open_day(datetime(2024, 8, 8, hour, 30, tzinfo=UTC)) == expected
