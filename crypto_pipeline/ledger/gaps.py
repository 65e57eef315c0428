"""The rows of `quality_gaps`: each range that did not come live, from discovery to its end. Pure.

A row is never deleted. What came live after all is healed by the stream itself; where later records show
that a range is part of another (one that began on the day before, say), its row is withdrawn.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from crypto_pipeline.ledger.days import Gap, State
from crypto_pipeline.ledger.held import Edge
from shared.market.id_ranges import IdRanges

_LATE = "live, but late"


class Cause(StrEnum):
    """Why a range did not come live."""

    EXPIRED = "expired in Kafka"
    REFUSED = "refused"
    JUMP = "jump in the stream"
    UNSEEN = "not seen by the collector"


class Mark(msgspec.Struct, frozen=True):
    """Kafka offsets of a stream's partition that brought no row, both ends included, and why."""

    partition: int
    first_offset: int
    last_offset: int
    cause: Cause
    reason: str


class GapRow(msgspec.Struct, frozen=True):
    """One row; times in µs since the epoch, UTC."""

    first_id: int
    last_id: int
    missing: list[tuple[int, int]]
    open: list[tuple[int, int]]
    before_us: int | None
    after_us: int | None
    cause: str
    reason: str
    state: str
    why_not: str | None
    healed_from: str | None
    found_us: int
    healed_us: int | None

    @property
    def ids(self) -> int:
        """How many ids the range has."""
        return self.last_id - self.first_id + 1


def changed_rows(
    gaps: Sequence[Gap],
    known: Iterable[GapRow],
    live: IdRanges,
    marks: Sequence[Mark],
    now_us: int,
) -> list[GapRow]:
    """Return the rows of one stream and day that are new, or other than they were.

    Args:
        gaps: as they are now, lowest first.
        known: the rows of that stream and day.
        live: the ids that came live on that day and on those beside it.
        marks: what may explain them, all of the stream's topic.
        now_us: our time.
    """
    before = {row.first_id: row for row in known}
    rows = [_row(gap, before.get(gap.first_id), marks, now_us) for gap in gaps]
    present = {row.first_id for row in rows}
    rows += [_ended(row, live, now_us) for row in before.values() if row.first_id not in present]
    return [row for row in rows if row != before.get(row.first_id)]


def _row(gap: Gap, known: GapRow | None, marks: Sequence[Mark], now_us: int) -> GapRow:
    cause, reason = _cause(gap, marks)
    if cause is Cause.UNSEEN and known is not None:
        cause, reason = Cause(known.cause), known.reason
    is_healed = gap.state is State.HEALED
    was_healed = known is not None and known.state == State.HEALED
    healed_us = (known.healed_us if known and was_healed else now_us) if is_healed else None
    return GapRow(
        first_id=gap.first_id,
        last_id=gap.last_id,
        missing=gap.missing,
        open=gap.open,
        before_us=gap.before.time_us if gap.before else None,
        after_us=gap.after.time_us if gap.after else None,
        cause=cause,
        reason=reason,
        state=gap.state,
        why_not=gap.why_not if gap.missing and not gap.open else None,
        healed_from=", ".join(gap.sources) or None,
        found_us=known.found_us if known else now_us,
        healed_us=healed_us,
    )


def _ended(row: GapRow, live: IdRanges, now_us: int) -> GapRow:
    """Return a row whose range no longer begins where it did."""
    late = live.within(row.first_id, row.last_id)
    if late and late[0][0] == row.first_id:
        return _closed(row, State.HEALED, late[0][1], now_us)
    return _closed(row, State.WITHDRAWN, row.first_id - 1, now_us)


def _closed(row: GapRow, state: State, last_id: int, now_us: int) -> GapRow:
    if row.state == state and not row.missing and row.last_id == last_id:
        return row
    return msgspec.structs.replace(
        row,
        last_id=last_id,
        missing=[],
        open=[],
        state=state,
        why_not=None,
        healed_from=_LATE if state is State.HEALED else None,
        healed_us=now_us if state is State.HEALED else None,
    )


def _cause(gap: Gap, marks: Sequence[Mark]) -> tuple[Cause, str]:
    before, after = gap.before, gap.after
    if before is not None and after is not None and before.partition == after.partition:
        for mark in marks:
            if mark.partition == before.partition and _encloses(before, mark, after):
                return mark.cause, mark.reason
    if gap.seen:
        return Cause.JUMP, gap.seen
    return Cause.UNSEEN, ""


def _encloses(before: Edge, mark: Mark, after: Edge) -> bool:
    return before.offset < mark.first_offset and mark.last_offset < after.offset
