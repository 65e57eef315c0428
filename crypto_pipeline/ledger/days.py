"""What one stream holds of one UTC day, what it lacks, and what became of that. Pure.

A stream is a channel of a symbol of a market. Its ids count on over midnight, so a day is judged beside
its neighbours, the nearest days that have rows: ids that nobody holds belong to the day that holds the id
before them, until a record says otherwise. Ids below the first one held are not expected.

Everything here is a function of what was delivered, whatever the order and however it was split.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import msgspec

from crypto_pipeline.ledger.held import Edge, Held, count, ids_of, joined
from shared.market.id_ranges import IdRanges

LIVE = ""
"""The source of what came through the exchange's stream."""

_NOT_KEPT = "the exchange keeps no past messages of this channel"


class State(StrEnum):
    """What is to be said of a day, or of one of its gaps."""

    COMPLETE = "complete"
    OPEN = "open"
    HEALED = "healed"
    UNHEALABLE = "unhealable"
    UNNUMBERED = "unnumbered"
    WITHDRAWN = "withdrawn"


class Told(NamedTuple):
    """What the collector said of missing ids: `gap` when it saw them jump, or `unhealable`."""

    state: str
    first_id: int
    last_id: int
    reason: str


class Island(NamedTuple):
    """New records of one day and source: `ids` counts each delivery; without numbers `held` is None."""

    source: str
    held: Held | None
    ids: int
    messages: int
    first_us: int
    last_us: int


class Day(msgspec.Struct, frozen=True):
    """What is known of one stream and day; `held` is by source.

    `delivered` counts ids, each time they came. `before` and `after` are the nearest days with rows.
    """

    held: dict[str, list[Held]]
    delivered: int
    messages: int
    first_us: int
    last_us: int
    told: list[Told] = []
    before: str | None = None
    after: str | None = None

    @property
    def ranges(self) -> list[Held]:
        """What is held from whatever source."""
        return joined(item for ranges in self.held.values() for item in ranges)


class Gap(NamedTuple):
    """Ids that did not come live; `missing` are those that are held from nowhere, `open` in question.

    `before` and `after` are the records at its two sides.
    """

    first_id: int
    last_id: int
    missing: list[tuple[int, int]]
    open: list[tuple[int, int]]
    sources: tuple[str, ...]
    before: Edge | None
    after: Edge | None
    seen: str
    why_not: str

    @property
    def state(self) -> State:
        """Open while an id is missing that may yet be found."""
        if not self.missing:
            return State.HEALED
        return State.OPEN if self.open else State.UNHEALABLE


class Verdict(NamedTuple):
    """The figures of a day; ids are None where the channel does not number its messages."""

    state: State
    first_id: int | None
    last_id: int | None
    present: int
    missing: int
    gaps: list[Gap]


def grown(day: Day | None, islands: Iterable[Island]) -> Day:
    """Return a day with new records; there is at least one."""
    new = list(islands)
    held: dict[str, list[Held]] = dict(day.held) if day else {}
    for item in new:
        if item.held is not None:
            held[item.source] = [*held.get(item.source, []), item.held]
    fresh = Day(
        held={source: joined(ranges) for source, ranges in sorted(held.items())},
        delivered=sum(item.ids for item in new),
        messages=sum(item.messages for item in new),
        first_us=min(item.first_us for item in new),
        last_us=max(item.last_us for item in new),
    )
    if day is None:
        return fresh
    return msgspec.structs.replace(
        day,
        held=fresh.held,
        delivered=day.delivered + fresh.delivered,
        messages=day.messages + fresh.messages,
        first_us=min(day.first_us, fresh.first_us),
        last_us=max(day.last_us, fresh.last_us),
    )


def renewed(
    known: Mapping[str, Day], islands: Mapping[str, list[Island]], told: Mapping[str, list[Told]]
) -> tuple[dict[str, Day], list[str]]:
    """Return the days of one stream as they are now, by date, and which of them to judge anew.

    Those are the days of new records and statuses, and the nearest on either side of each, which new
    records may have given another neighbour.

    Args:
        known: the days as they were: those concerned, and two on either side of each.
        islands: the new records by date.
        told: new statuses, by the date that seems to hold their ids; the ids decide.
    """
    days = dict(known)
    for date, items in islands.items():
        days[date] = grown(days.get(date), items)
    for date, day in days.items():
        before = [item for item in (*days, day.before) if item is not None and item < date]
        after = [item for item in (*days, day.after) if item is not None and item > date]
        days[date] = msgspec.structs.replace(
            day, before=max(before, default=None), after=min(after, default=None)
        )
    touched = {*islands, *told}
    touched |= {near for date in touched for near in (days[date].before, days[date].after) if near}
    news = [item for items in told.values() for item in items]
    news += [item for date in touched for item in days[date].told]
    found = {date: _informed(days[date], days, news) for date in touched}
    return days | found, sorted(found)


def judged(day: Day, days: Mapping[str, Day], *, is_fetchable: bool) -> Verdict:
    """Judge a day beside its neighbours, which are among `days`."""
    own = day.ranges
    if not own:
        return Verdict(State.UNNUMBERED, None, None, day.messages, 0, [])
    missing = _missing(own, day, days)
    reasons: dict[tuple[str, str], IdRanges] = {}
    for item in day.told:
        reasons.setdefault((item.state, item.reason), IdRanges()).add(item.first_id, item.last_id)
    edges = [
        item for near in _around(day, days) for ranges in near.held.values() for item in ranges
    ]
    starts = {item.first_id: item.start for item in edges}
    ends = {item.last_id: item.end for item in edges}
    fetched = {source: ids_of(ranges) for source, ranges in day.held.items() if source != LIVE}
    gaps = []
    for first, last in _not_live(day, missing):
        lost = missing.within(first, last)
        said = {key: ids.within(first, last) for key, ids in reasons.items()}
        given_up = [
            piece
            for (state, _), ids in said.items()
            for piece in (ids if state == State.UNHEALABLE else [])
        ]
        gap = Gap(
            first_id=first,
            last_id=last,
            missing=lost,
            open=_without(lost, given_up) if is_fetchable else [],
            sources=tuple(source for source, ids in fetched.items() if ids.within(first, last)),
            before=ends.get(first - 1),
            after=starts.get(last + 1),
            seen=_text(said, "gap"),
            why_not=_text(said, State.UNHEALABLE) if is_fetchable else _NOT_KEPT,
        )
        gaps.append(gap)
    states = {gap.state for gap in gaps} - {State.HEALED}
    state = State.OPEN if State.OPEN in states else min(states, default=State.COMPLETE)
    present = count((item.first_id, item.last_id) for item in own)
    return Verdict(state, own[0].first_id, own[-1].last_id, present, count(missing), gaps)


def _around(day: Day, days: Mapping[str, Day]) -> list[Day]:
    """Return the day before (if any), the day, and the day after (if any)."""
    before = [days[day.before]] if day.before else []
    return [*before, day, *([days[day.after]] if day.after else [])]


def _missing(own: list[Held], day: Day, days: Mapping[str, Day]) -> IdRanges:
    """Return the ids that nobody holds, as far as the id before them is this day's."""
    everything = joined(item for near in _around(day, days) for item in near.ranges)
    mine = ids_of(own)
    theirs = ids_of(days[day.after].ranges if day.after else [])
    found = IdRanges()
    for left, right in pairwise(everything):
        if left.last_id in mine and left.last_id not in theirs:
            found.add(left.last_id + 1, right.first_id - 1)
    return found


def _not_live(day: Day, missing: IdRanges) -> IdRanges:
    found = IdRanges()
    for source, ranges in day.held.items():
        for item in ranges if source != LIVE else ():
            found.add(item.first_id, item.last_id)
    for item in day.held.get(LIVE, ()):
        found.remove(item.first_id, item.last_id)
    for first, last in missing:
        found.add(first, last)
    return found


def _informed(day: Day, days: Mapping[str, Day], news: list[Told]) -> Day:
    """Return a day with what was told of its ids, and of ids above them if it is the last day."""
    own = day.ranges
    if not own:
        return day
    concerned = _not_live(day, _missing(own, day, days))
    highest = max((item.last_id for item in news), default=0)
    if day.after is None and highest > own[-1].last_id:
        concerned.add(own[-1].last_id + 1, highest)
    said: dict[tuple[str, str], IdRanges] = {}
    for item in news:
        for first, last in concerned.within(item.first_id, item.last_id):
            said.setdefault((item.state, item.reason), IdRanges()).add(first, last)
    told = [
        Told(state, first, last, reason)
        for (state, reason), ids in sorted(said.items())
        for first, last in ids
    ]
    return msgspec.structs.replace(day, told=told)


def _without(ids: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[tuple[int, int]]:
    rest = IdRanges()
    for first, last in ids:
        rest.add(first, last)
    for first, last in others:
        rest.remove(first, last)
    return list(rest)


def _text(said: Mapping[tuple[str, str], list[tuple[int, int]]], state: str) -> str:
    """Return the reasons that were given for this state."""
    return "; ".join(reason for (name, reason), ids in said.items() if ids and name == state)
