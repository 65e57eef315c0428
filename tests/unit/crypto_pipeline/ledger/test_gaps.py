import pytest

from crypto_pipeline.ledger.days import Gap, State
from crypto_pipeline.ledger.gaps import Cause, GapRow, Mark, changed_rows
from crypto_pipeline.ledger.held import Edge
from shared.market.id_ranges import IdRanges

BEFORE, AFTER = Edge(10, 0, 1_000), Edge(20, 0, 2_000)


def gap(first: int = 5, last: int = 8, **fields) -> Gap:
    plain = Gap(first, last, [(first, last)], [(first, last)], (), BEFORE, AFTER, "", "")
    return plain._replace(**fields)


def ids(*ranges: tuple[int, int]) -> IdRanges:
    found = IdRanges()
    for first, last in ranges:
        found.add(first, last)
    return found


def rows(gaps, known=(), live=(), marks=(), now_us=7) -> list[GapRow]:
    return changed_rows(gaps, known, ids(*live), marks, now_us)


def test_a_row_tells_the_gap_and_when_it_was_found():
    (row,) = rows([gap()])
    assert (row.first_id, row.last_id, row.ids, row.missing) == (5, 8, 4, [(5, 8)])
    assert (row.before_us, row.after_us, row.found_us, row.healed_us) == (1_000, 2_000, 7, None)
    assert (row.state, row.cause, row.reason) == (State.OPEN, Cause.UNSEEN, "")


def test_a_second_look_changes_nothing():
    known = rows([gap()])
    assert rows([gap()], known, now_us=8) == []


def test_a_row_keeps_when_it_was_found_and_when_it_was_healed():
    known = rows([gap()])
    (healed,) = rows([gap(missing=[], open=[], sources=("binance_rest",))], known, now_us=8)
    assert (healed.state, healed.healed_from) == (State.HEALED, "binance_rest")
    assert (healed.found_us, healed.healed_us) == (7, 8)
    more = gap(missing=[], open=[], sources=("binance_archive", "binance_rest"))
    (again,) = rows([more], [healed], now_us=9)
    assert (again.healed_from, again.healed_us) == ("binance_archive, binance_rest", 8)


def test_a_row_that_cannot_be_healed_says_why():
    (row,) = rows([gap(open=[], why_not="gone")])
    assert (row.state, row.why_not) == (State.UNHEALABLE, "gone")
    (row,) = rows([gap(missing=[(5, 6)], open=[(6, 6)], why_not="gone")])
    assert (row.state, row.why_not) == (State.OPEN, None)


@pytest.mark.parametrize(
    ("partition", "first", "last", "cause"),
    [
        (0, 11, 19, Cause.EXPIRED),
        (0, 10, 19, Cause.JUMP),
        (0, 11, 20, Cause.JUMP),
        (1, 11, 19, Cause.JUMP),
    ],
)
def test_offsets_between_the_neighbours_explain_more_than_a_jump(partition, first, last, cause):
    mark = Mark(partition, first, last, Cause.EXPIRED, "offsets 11 to 19")
    (row,) = rows([gap(seen="trade ids")], marks=[mark])
    assert row.cause == cause
    assert row.reason == ("offsets 11 to 19" if cause is Cause.EXPIRED else "trade ids")


@pytest.mark.parametrize(
    ("before", "after"), [(None, AFTER), (BEFORE, None), (BEFORE, AFTER._replace(partition=1))]
)
def test_without_two_neighbours_on_one_partition_offsets_say_nothing(before, after):
    mark = Mark(0, 11, 12, Cause.REFUSED, "price -1")
    (row,) = rows([gap(before=before, after=after)], marks=[mark])
    assert row.cause == Cause.UNSEEN


def test_a_cause_once_known_stays():
    known = rows([gap()], marks=[Mark(0, 11, 12, Cause.REFUSED, "price -1")])
    healed = gap(missing=[], open=[], before=None)
    (row,) = rows([healed], known, now_us=8)
    assert (row.cause, row.reason) == (Cause.REFUSED, "price -1")


def test_what_comes_live_after_all_ends_a_row_as_far_as_it_reaches():
    known = rows([gap()])
    ended, rest = sorted(
        rows([gap(7, 8)], known, live=[(1, 6), (9, 20)], now_us=8), key=lambda row: row.first_id
    )
    assert (ended.first_id, ended.last_id, ended.missing) == (5, 6, [])
    assert (ended.state, ended.healed_from, ended.healed_us) == ("healed", "live, but late", 8)
    assert (rest.first_id, rest.state) == (7, State.OPEN)
    assert rows([gap(7, 8)], [ended, rest], live=[(1, 6), (9, 20)], now_us=9) == []


def test_a_range_that_turns_out_to_be_part_of_another_is_withdrawn():
    known = rows([gap()])
    withdrawn, whole = sorted(
        rows([gap(3, 8)], known, live=[(1, 2), (9, 20)], now_us=8), key=lambda row: -row.first_id
    )
    assert (withdrawn.first_id, withdrawn.ids, withdrawn.missing) == (5, 0, [])
    assert (withdrawn.state, withdrawn.healed_us) == (State.WITHDRAWN, None)
    assert (whole.first_id, whole.ids) == (3, 6)
    assert rows([gap(3, 8)], [withdrawn, whole], live=[(1, 2), (9, 20)], now_us=9) == []
