"""What keeps a table fast, decided from its timeline and files alone.

Nothing here is tuned by a user. `crypto-lake maintain --dry-run` shows a plan, the maintenance job
carries it out; both compute it here. The rules:

1. What a killed run left half done is finished first.
2. An upserted table is compacted when a slice has `MOST_LOGS` log files, or has any on a closed day.
3. An appended table's files of a closed day are merged into one as long as that day has more than
   `CLOSED_FILES` of them and at least two below `SMALL_CLOSED`; those of an open day, once it has
   `OPEN_FILES` below `SMALL_OPEN`. The open day's limit is lower, so that a row is rewritten about twice.
4. File versions that the last `RETAINED` writes do not need are deleted.
5. Writes beyond the newest `ACTIVE` are archived, cleaning first: without the clustering's instant
   its replaced files would be read again.

A table is looked at three times an hour, so its timeline stays within `ACTIVE` + 20 writes and a few cleans,
below 100; of those that every tick writes, within `ACTIVE` + 40.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from shared.lake.timeline import SAVEPOINT, Instant, writes

RETAINED = 60
ACTIVE = 64
"""Hudi wants some more writes on the timeline than cleaning keeps files of."""
MOST_LOGS = 10
CLOSED_FILES = 2
OPEN_FILES = 48
SMALL_OPEN = 16 * 1024**2
SMALL_CLOSED = 256 * 1024**2
PARTITIONS_PER_RUN = 30
"""How many symbol-days one run merges, of open and of closed days each: bounded work."""
_CLOSED_AFTER = timedelta(hours=1)  # late records of a day are still on their way when it ends


@dataclass(frozen=True)
class FileSlice:
    """The newest state of one file group: a base file, and log files that are merged when read."""

    partition: str
    base_bytes: int
    log_bytes: tuple[int, ...] = ()

    @property
    def day(self) -> date:
        """The UTC day of its partition `symbol=…/date=…`."""
        return date.fromisoformat(self.partition.rpartition("date=")[2])

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return self.base_bytes + sum(self.log_bytes)


@dataclass(frozen=True)
class TableState:
    """A table as it lies on disk.

    `old_bytes` are in files that no newest slice names, `expired_bytes` those of them that go with
    the next clean.
    """

    name: str
    is_merged_on_read: bool
    timeline: tuple[Instant, ...]
    slices: tuple[FileSlice, ...]
    old_bytes: int = 0
    expired_bytes: int = 0

    @property
    def savepoints(self) -> tuple[str, ...]:
        """The instants that savepoints keep."""
        return tuple(item.requested for item in self.timeline if item.action == SAVEPOINT)

    @property
    def base_files(self) -> dict[str, int]:
        """Base files of each symbol-day."""
        counts: dict[str, int] = defaultdict(int)
        for item in self.slices:
            counts[item.partition] += 1
        return dict(counts)

    @property
    def small_files(self) -> int:
        """Base files below `SMALL_OPEN` beside another one of the same symbol-day."""
        counts = self.base_files
        return sum(
            item.base_bytes < SMALL_OPEN and counts[item.partition] > 1 for item in self.slices
        )


@dataclass(frozen=True)
class Plan:
    """What the next run does with one table."""

    finish: bool = False
    compact: int = 0
    merge_closed: tuple[str, ...] = ()
    merge_open: tuple[str, ...] = ()
    clean: bool = False
    archive: int = 0

    @property
    def steps(self) -> list[str]:
        """The steps as people read them, in their order; none when there is nothing to do."""
        told = {
            "finish what was interrupted": self.finish,
            f"compact {self.compact} file groups": self.compact,
            f"merge files of {len(self.merge_closed)} closed symbol-days": self.merge_closed,
            f"merge files of {len(self.merge_open)} open symbol-days": self.merge_open,
            "clean": self.clean,
            f"archive {self.archive} writes": self.archive,
        }
        return [text for text, due in told.items() if due]


def first_open_day(now: datetime) -> date:
    """Return the first UTC day that is not closed."""
    return (now.astimezone(UTC) - _CLOSED_AFTER).date()


def earliest_retained(timeline: Iterable[Instant]) -> Instant | None:
    """Return the oldest write whose file versions are kept; None while all are.

    It is the one before the last `RETAINED`: Hudi keeps what a reader of that moment had open.
    """
    done = writes(timeline)
    return done[RETAINED] if len(done) > RETAINED else None


def plan(state: TableState, today: date, unread: int = 0) -> Plan:
    """Return what is due.

    Args:
        state: of the table.
        today: the first day that is not closed.
        unread: how many of its newest writes somebody has yet to look at on the timeline.
    """
    due = _to_compact(state, today) if state.is_merged_on_read else 0
    closed, opened = ((), ()) if state.is_merged_on_read else _to_merge(state, today)
    surplus = len(writes(state.timeline)) - max(ACTIVE, unread)
    return Plan(
        finish=any(item.is_unfinished_service for item in state.timeline),
        compact=due,
        merge_closed=closed,
        merge_open=opened,
        clean=state.expired_bytes > 0,
        archive=surplus if surplus > 1 else 0,
    )


def _to_compact(state: TableState, today: date) -> int:
    """Return how many slices have log files if one of them is due, for all are compacted at once."""
    logged = [item for item in state.slices if item.log_bytes]
    is_due = any(len(item.log_bytes) >= MOST_LOGS or item.day < today for item in logged)
    return len(logged) if is_due else 0


def _to_merge(state: TableState, today: date) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the symbol-days whose small files are merged: closed ones by age, open ones by need."""
    below: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    days = {}
    for item in state.slices:
        days[item.partition] = item.day
        below[item.partition][0] += item.base_bytes < SMALL_CLOSED
        below[item.partition][1] += item.base_bytes < SMALL_OPEN
    files = state.base_files
    in_order = sorted(days, key=lambda partition: (days[partition], partition))
    closed = [
        partition
        for partition in in_order
        if days[partition] < today and files[partition] > CLOSED_FILES and below[partition][0] > 1
    ]
    opened = sorted(
        (
            partition
            for partition in in_order
            if days[partition] >= today and below[partition][1] >= OPEN_FILES
        ),
        key=lambda partition: -below[partition][1],
    )
    return tuple(closed[:PARTITIONS_PER_RUN]), tuple(opened[:PARTITIONS_PER_RUN])
