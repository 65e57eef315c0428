"""The lake's tables as they lie on disk: found by their `.hoodie` folder, read through hudi-rs."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow as pa
from hudi import HudiReadOptions, HudiTable, HudiTableBuilder
from pyarrow import fs

from crypto_lake.errors import NoLakeError, QueryError, TooEarlyError
from crypto_lake.slices import SliceDataset, schema_of
from shared.lake import timeline, upkeep
from shared.lake.releases import Release
from shared.lake.survey import survey
from shared.lake.timeline import Instant

_CHECKPOINT = "lake.checkpoint"


@dataclass(frozen=True)
class TableInfo:
    """What a listing says of a table."""

    table: str
    rows: int
    symbols: int
    first_date: str | None
    last_date: str | None
    bytes: int
    last_commit: str | None


class Lake:
    """All tables under one root, a folder or a URI; rows are read as of now, a time or a release.

    Raises:
        NoLakeError: there is none.
    """

    def __init__(self, root: str, as_of: datetime | Release | None = None) -> None:
        self.root = root
        self._as_of = as_of
        self._system, self._path = fs.FileSystem.from_uri(
            root if "://" in root else f"file://{root}"
        )
        self.names = self._find()
        if not self.names:
            raise NoLakeError(root)

    def read(
        self,
        name: str,
        symbols: Iterable[str] = (),
        dates: Iterable[str] = (),
        columns: Iterable[str] = (),
    ) -> pa.Table:
        """Return a table's rows; only the named partitions are opened.

        Raises:
            QueryError: there is no such table.
            TooEarlyError: its file versions do not reach back to the lake's time.
        """
        return self.dataset(name, symbols, dates).to_table(columns=list(columns) or None)

    def dataset(
        self, name: str, symbols: Iterable[str] = (), dates: Iterable[str] = ()
    ) -> SliceDataset:
        """Return a table, or the named partitions of it, as a dataset: rows are read when asked for.

        Errors as for `read`.
        """
        wanted = (("symbol", set(symbols)), ("date", set(dates)))
        filters = [(field, "IN", ",".join(sorted(values))) for field, values in wanted if values]
        options = HudiReadOptions(filters=filters or None)
        if self._as_of is not None:
            options = options.with_as_of_timestamp(self._instant(name, self._as_of))
        return SliceDataset(self._table(name), options, self._system, f"{self._path}/{name}")

    def schema(self, name: str) -> pa.Schema:
        """Return a table's columns without Hudi's own."""
        return schema_of(self._table(name))

    def info(self, name: str) -> TableInfo:
        """Count and measure one table."""
        rows, symbols, dates = 0, set(), set()
        for batch in self.dataset(name).to_batches(columns=["symbol", "date"]):
            rows += batch.num_rows
            symbols.update(batch["symbol"].unique().to_pylist())
            dates.update(batch["date"].unique().to_pylist())
        files = self._system.get_file_info(fs.FileSelector(f"{self._path}/{name}", recursive=True))
        latest = self._table(name).get_timeline().get_latest_commit_timestamp()
        return TableInfo(
            table=name,
            rows=rows,
            symbols=len(symbols),
            first_date=min(dates, default=None),
            last_date=max(dates, default=None),
            bytes=sum(item.size or 0 for item in files),
            last_commit=latest,
        )

    def timeline(self, name: str) -> list[Instant]:
        """Return a table's actions that are not archived."""
        folder = fs.FileSelector(f"{self._path}/{name}/.hoodie/timeline")
        return timeline.instants(item.base_name for item in self._system.get_file_info(folder))

    def state(self, name: str) -> upkeep.TableState:
        """Return what a table's upkeep is decided from."""
        table = self._table(name)
        actions = self.timeline(name)
        earliest = upkeep.earliest_retained(actions)
        as_of = HudiReadOptions().with_as_of_timestamp(earliest.requested) if earliest else None
        files = self._system.get_file_info(fs.FileSelector(f"{self._path}/{name}", recursive=True))
        return survey(
            name,
            actions,
            ((item.base_name, item.size or 0) for item in files if "/.hoodie/" not in item.path),
            table.get_file_slices(),
            table.get_file_slices(as_of) if as_of else (),
            is_merged_on_read=table.is_mor,
        )

    def offsets(self, name: str) -> list[tuple[str, int, int]]:
        """Return (topic, partition, offset) up to where a bronze table holds Kafka; else nothing.

        The offsets stand in the extra metadata of the table's own commits.
        """
        timeline = self._table(name).get_timeline()
        for instant in reversed(timeline.get_completed_commits()):
            metadata = json.loads(timeline.get_instant_metadata_in_json(instant))
            text = (metadata.get("extraMetadata") or {}).get(_CHECKPOINT)
            if text is not None:
                end = json.loads(text).get("end", {})
                return [
                    (topic, int(partition), offset)
                    for topic, partitions in sorted(end.items())
                    for partition, offset in sorted(partitions.items())
                ]
        return []

    def _instant(self, name: str, as_of: datetime | Release) -> str:
        if isinstance(as_of, datetime):
            return readable_at(name, self.timeline(name), as_of).requested
        if name not in as_of.tables:
            raise QueryError(f"{name}: not in the release; {', '.join(sorted(as_of.tables))} are")
        return as_of.tables[name]

    def _table(self, name: str) -> HudiTable:
        if name not in self.names:
            raise QueryError(f"{name}: no such table; there are {', '.join(self.names)}")
        return HudiTableBuilder.from_base_uri(f"{self.root}/{name}").build()

    def _find(self) -> list[str]:
        """Return the tables that something was written to; a new one has no commit at first."""
        entries = self._system.get_file_info(fs.FileSelector(self._path, allow_not_found=True))
        marks = self._system.get_file_info(
            [f"{item.path}/.hoodie/hoodie.properties" for item in entries]
        )
        found = zip(entries, marks, strict=True)
        made = (item.base_name for item, mark in found if mark.type == fs.FileType.File)
        return sorted(name for name in made if timeline.writes(self.timeline(name)))


def readable_at(name: str, actions: list[Instant], when: datetime) -> Instant:
    """Return the write whose state a table showed at a time.

    Raises:
        TooEarlyError: the files of that state may be gone, or there was no table yet.
    """
    limit = timeline.instant_at(when)
    done = timeline.writes(actions)
    kept = {item.requested for item in actions if item.action == timeline.SAVEPOINT}
    seen = next((item for item in done if (item.completed or "") <= limit), None)
    reach = done[: upkeep.RETAINED]
    if seen is None or (seen not in reach and seen.requested not in kept):
        first = reach[-1].completed if reach else None
        raise TooEarlyError(name, commit_time(first, "milliseconds"))
    return seen


def days(start: date | None, end: date | None) -> list[str]:
    """Return the days from start to end, both included, as partition names; none for no bound.

    Raises:
        QueryError: only one of them is given, or the end lies before the start.
    """
    if start is None and end is None:
        return []
    if start is None or end is None or end < start:
        raise QueryError(f"start {start} and end {end}: give both, the start first")
    count = (end - start).days + 1
    return [(start + timedelta(days=number)).isoformat() for number in range(count)]


def commit_time(instant: str | None, precision: str = "seconds") -> str:
    """Return a Hudi instant (UTC, to the millisecond) as people write times."""
    if instant is None:
        return "-"
    return timeline.moment(instant).isoformat(sep=" ", timespec=precision)
