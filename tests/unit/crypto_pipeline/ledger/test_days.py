"""The ledger against a plain set of ids, whatever the order and the increments of what is delivered."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from crypto_pipeline.ledger.days import (
    LIVE,
    Day,
    Gap,
    Island,
    State,
    Told,
    Verdict,
    judged,
    renewed,
)
from crypto_pipeline.ledger.gaps import GapRow, changed_rows
from crypto_pipeline.ledger.held import Edge, Held, ids_of

REST = "binance_rest"
DAYS = ("2024-08-08", "2024-08-09", "2024-08-12")
# Ids below 20 are of the first day, below 40 of the second, and so on.
PER_DAY = 20


def date_of(number: int) -> str:
    return DAYS[min(number // PER_DAY, len(DAYS) - 1)]


def island(first: int, last: int, source: str = LIVE, offset: int = 0) -> Island:
    held = Held(first, last, Edge(offset, 0, first), Edge(offset, 0, last))
    return Island(source, held, last - first + 1, last - first + 1, first, last)


@dataclass
class Ledger:
    """One stream's table, fed by increments; only what is near is handed to the judge."""

    days: dict[str, Day] = field(default_factory=dict)
    rows: dict[str, dict[int, GapRow]] = field(default_factory=dict)

    def take(self, islands: Iterable[Island], told: Iterable[Told] = (), now_us: int = 1) -> None:
        new: dict[str, list[Island]] = {}
        for item in islands:
            assert item.held is not None
            for first, last in cut(item.held.first_id, item.held.last_id):
                piece = island(first, last, item.source, item.held.start.offset)
                new.setdefault(date_of(first), []).append(piece)
        news: dict[str, list[Told]] = {}
        for said in told:
            below = [
                (ranges[0].first_id, date)
                for date, ranges in (
                    *((date, day.ranges) for date, day in self.days.items()),
                    *((date, [piece.held]) for date, pieces in new.items() for piece in pieces),
                )
                if ranges[0].first_id < said.first_id
            ]
            if below:
                news.setdefault(max(below)[1], []).append(said)
        days, concerned = renewed(self.days, new, news)
        assert set(new) <= set(concerned)
        self.days = days
        for date in concerned:
            self.follow(date, now_us)

    def follow(self, date: str, now_us: int) -> list[GapRow]:
        day = self.days[date]
        near = [self.days[item] for item in (day.before, date, day.after) if item]
        live = ids_of(item for one in near for item in one.held.get(LIVE, ()))
        known = self.rows.setdefault(date, {})
        changed = changed_rows(self.verdict(date).gaps, known.values(), live, [], now_us)
        known |= {row.first_id: row for row in changed}
        return changed

    def verdict(self, date: str, *, is_fetchable: bool = True) -> Verdict:
        return judged(self.days[date], self.days, is_fetchable=is_fetchable)

    def gaps(self) -> list[Gap]:
        return [gap for date in sorted(self.days) for gap in self.verdict(date).gaps]


def cut(first: int, last: int) -> list[tuple[int, int]]:
    """Return a range cut at midnight."""
    numbers = range(first, last + 1)
    pieces: dict[str, list[int]] = {}
    for number in numbers:
        pieces.setdefault(date_of(number), []).append(number)
    return [(items[0], items[-1]) for items in pieces.values()]


RANGES = st.tuples(st.integers(0, 55), st.integers(0, 6), st.sampled_from([LIVE, REST]))
DELIVERIES = st.lists(RANGES, min_size=1, max_size=14)


def numbers(pieces: Iterable[tuple[int, int]]) -> set[int]:
    return {number for first, last in pieces for number in range(first, last + 1)}


@given(DELIVERIES, st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_and_any_increments_give_the_same_ledger(deliveries, random, size):
    pieces = [
        island(first, first + more, source, offset)
        for offset, (first, more, source) in enumerate(deliveries)
    ]
    at_once = Ledger()
    at_once.take(pieces)
    shuffled = random.sample(pieces, len(pieces))
    in_steps = Ledger()
    for start in range(0, len(shuffled), size):
        in_steps.take(shuffled[start : start + size], now_us=start)
    assert in_steps.days == at_once.days
    assert in_steps.gaps() == at_once.gaps()


@given(DELIVERIES, st.integers(1, 5))
def test_the_figures_are_those_of_a_plain_set(deliveries, size):
    ledger = Ledger()
    for start in range(0, len(deliveries), size):
        part = deliveries[start : start + size]
        ledger.take(island(first, first + more, source) for first, more, source in part)
    held, live = set(), set()
    for first, more, source in deliveries:
        held |= set(range(first, first + more + 1))
        live |= set(range(first, first + more + 1)) if source == LIVE else set()
    lost = set(range(min(held), max(held) + 1)) - held
    verdicts = {date: ledger.verdict(date) for date in ledger.days}
    for date, verdict in verdicts.items():
        mine = {number for number in held if date_of(number) == date}
        assert (verdict.first_id, verdict.last_id) == (min(mine), max(mine))
        assert verdict.present == len(mine)
        owned = {number for number in lost if max(n for n in held if n < number) in mine}
        assert verdict.missing == len(owned)
        assert numbers(item for gap in verdict.gaps for item in gap.missing) == owned
        assert numbers((gap.first_id, gap.last_id) for gap in verdict.gaps) == owned | (mine - live)
        assert (verdict.state is State.COMPLETE) is not bool(owned)
    assert sum(day.delivered for day in ledger.days.values()) == sum(
        more + 1 for _, more, _ in deliveries
    )


@given(DELIVERIES, st.integers(1, 5))
def test_every_id_that_is_missing_stands_in_one_open_row_and_no_other(deliveries, size):
    ledger = Ledger()
    for start in range(0, len(deliveries), size):
        part = deliveries[start : start + size]
        ledger.take(island(first, first + more, source) for first, more, source in part)
    rows = [row for known in ledger.rows.values() for row in known.values()]
    missing = [number for row in rows for number in numbers(row.missing)]
    assert sorted(missing) == sorted(numbers(item for gap in ledger.gaps() for item in gap.missing))
    assert all(bool(row.missing) is (row.state == State.OPEN) for row in rows)
    covered = [n for row in rows for n in range(row.first_id, row.last_id + 1)]
    assert len(covered) == len(set(covered))
    for date in ledger.days:
        assert ledger.follow(date, 99) == []


def test_ids_below_the_first_one_held_are_not_expected():
    ledger = Ledger()
    ledger.take([island(7, 9)])
    assert ledger.verdict(DAYS[0]) == Verdict(State.COMPLETE, 7, 9, 3, 0, [])


def test_what_lacks_about_midnight_is_the_earlier_days_until_the_next_holds_it():
    ledger = Ledger()
    ledger.take([island(10, 15), island(25, 30)])
    assert ledger.verdict(DAYS[0]).missing == 9
    ledger.take([island(20, 24, REST)])
    assert ledger.verdict(DAYS[0]).missing == 4
    assert ledger.verdict(DAYS[1]).gaps[0].sources == (REST,)
    ledger.take([island(16, 19, REST)])
    assert [ledger.verdict(date).state for date in DAYS[:2]] == [State.COMPLETE] * 2


def test_a_day_far_back_is_the_neighbour_when_there_is_none_between():
    ledger = Ledger()
    ledger.take([island(10, 15)])
    ledger.take([island(45, 50)])
    assert ledger.days[DAYS[0]].after == DAYS[2]
    assert ledger.verdict(DAYS[0]).missing == 29
    ledger.take([island(22, 23)])
    assert [ledger.verdict(date).missing for date in DAYS] == [6, 21, 0]


def test_what_the_collector_tells_before_the_records_come_waits_for_them():
    ledger = Ledger()
    ledger.take([island(1, 5)])
    ledger.take([], [Told("unhealable", 25, 26, "gone"), Told("gap", 25, 26, "trade ids")])
    assert ledger.verdict(DAYS[0]).gaps == []
    ledger.take([island(6, 24)])
    ledger.take([island(27, 30)])
    (gap,) = ledger.verdict(DAYS[1]).gaps
    assert (gap.state, gap.why_not, gap.seen) == (State.UNHEALABLE, "gone", "trade ids")
    assert gap.missing == [(25, 26)]
    assert gap.open == []


def test_a_gap_is_open_as_long_as_a_part_of_it_may_be_found():
    ledger = Ledger()
    ledger.take([island(1, 2), island(9, 9)], [Told("unhealable", 5, 8, "gone")])
    (gap,) = ledger.verdict(DAYS[0]).gaps
    assert (gap.state, gap.open) == (State.OPEN, [(3, 4)])
    ledger.take([island(3, 4, REST)])
    assert ledger.verdict(DAYS[0]).state is State.UNHEALABLE
    ledger.take([island(5, 8, "binance_archive")])
    (gap,) = ledger.verdict(DAYS[0]).gaps
    assert (gap.state, gap.sources) == (State.HEALED, ("binance_archive", REST))


def test_what_nobody_can_fetch_is_not_open():
    ledger = Ledger()
    ledger.take([island(1, 2), island(9, 9)])
    verdict = ledger.verdict(DAYS[0], is_fetchable=False)
    assert verdict.state is State.UNHEALABLE
    assert "no past" in verdict.gaps[0].why_not


def test_a_channel_without_numbers_is_counted_and_says_so():
    plain = Island(LIVE, None, 0, 7, 1, 2)
    days, concerned = renewed({}, {DAYS[0]: [plain]}, {})
    assert concerned == [DAYS[0]]
    assert judged(days[DAYS[0]], days, is_fetchable=False) == Verdict(
        State.UNNUMBERED, None, None, 7, 0, []
    )
