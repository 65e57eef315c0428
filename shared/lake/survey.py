"""A table's state from what a reader of Hudi and a listing of its files say."""

from collections.abc import Iterable
from typing import Protocol

from shared.lake.timeline import Instant
from shared.lake.upkeep import FileSlice, TableState, earliest_retained


class ReadSlice(Protocol):
    """A file slice as hudi-rs tells it; a slice of log files alone has an empty base file name."""

    @property
    def partition_path(self) -> str:
        """`symbol=…/date=…`."""
        ...

    @property
    def base_file_name(self) -> str:
        """Name of the base file."""
        ...

    @property
    def base_file_size(self) -> int:
        """Bytes of the base file."""
        ...

    @property
    def log_file_names(self) -> list[str]:
        """Names of the log files."""
        ...

    @property
    def log_file_sizes(self) -> list[int]:
        """Bytes of each log file."""
        ...


def file_instant(name: str) -> str | None:
    """Return the time of the write that left a data file; None for a file of another kind.

    A base file is `<group>_<token>_<time>.parquet`, a log file `.<group>_<time>.log.<n>_<token>`.
    """
    stem, mark, _ = name.partition(".log.")
    if not mark:
        stem, mark, _ = name.rpartition(".parquet")
    time = stem.rpartition("_")[2]
    is_data = mark and time.isdigit() and not name.endswith(".crc")
    return time if is_data else None


def survey(
    name: str,
    timeline: Iterable[Instant],
    files: Iterable[tuple[str, int]],
    current: Iterable[ReadSlice],
    retained: Iterable[ReadSlice],
    *,
    is_merged_on_read: bool,
) -> TableState:
    """Return a table's state.

    Args:
        name: of the table.
        timeline: its actions.
        files: name and bytes of every file in its partitions.
        current: the slices as of now.
        retained: the slices as of `earliest_retained`, any while that is None.
        is_merged_on_read: whether it has log files.
    """
    actions = tuple(timeline)
    newest = list(current)
    in_use = _names(newest)
    needed = in_use | _names(retained)
    earliest = earliest_retained(actions)
    old = expired = 0
    for file, size in files:
        instant = file_instant(file)
        if instant is None or file in in_use:
            continue
        old += size
        if earliest is not None and instant < earliest.requested and file not in needed:
            expired += size
    slices = (
        FileSlice(item.partition_path, item.base_file_size or 0, tuple(item.log_file_sizes))
        for item in newest
    )
    return TableState(name, is_merged_on_read, actions, tuple(slices), old, expired)


def _names(slices: Iterable[ReadSlice]) -> set[str]:
    found = set()
    for item in slices:
        found.add(item.base_file_name)
        found.update(item.log_file_names)
    return found
