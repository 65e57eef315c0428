"""Hudi: a table's rows and what they cover go into one commit; reads are snapshots or increments.

A commit's extra metadata holds a checkpoint: for bronze the Kafka offsets, for the rest the completion
time of the last source commit. Completion time, not request time, is what incremental reads compare.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from hudi import HudiReadOptions, HudiTableBuilder
from pyarrow import fs
from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F

from crypto_pipeline.errors import CheckpointMissingError
from crypto_pipeline.tables import TableSpec, WriteMode
from crypto_pipeline.utils.hudi_options import (
    EACH_KEY_ONCE,
    MERGE,
    Hoodie,
    compaction,
    write_options,
)
from shared.lake import timeline

_META_PREFIX = "lake."
CHECKPOINT = "checkpoint"
"""The note that says what a commit covers."""
# A tick asks for what a hundred commits carry, for most of them many times; reading one takes 10 ms.
_METADATA_KEPT = 128
_COMMIT_TIME = "_hoodie_commit_time"


@dataclass(frozen=True)
class Commit:
    """One completed commit of a table."""

    requested: str
    completed: str
    action: str


@dataclass(frozen=True)
class CommitReport:
    """What a write did."""

    commit: Commit
    rows: int
    bytes: int


def opened(path: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a folder or URI, and the folder's path there."""
    system, root = fs.FileSystem.from_uri(_uri(path))
    return system, root


def table_path(lake: str, spec: TableSpec) -> str:
    """Return a table's absolute folder or URI."""
    return f"{lake}/{spec.name}"


def write(
    df: DataFrame,
    spec: TableSpec,
    lake: str,
    checkpoint: Any,
    more: Mapping[str, Any] | None = None,
    *,
    is_each_key_once: bool = False,
) -> CommitReport:
    """Commit rows and the checkpoint they cover at once; no rows still advance the checkpoint.

    Before the first rows of a new schema the logs of the old one are compacted: hudi-rs reads no log of
    another schema than the table's.

    Args:
        df: rows in the table's columns.
        spec: the table.
        lake: the lake's root.
        checkpoint: what the rows cover, see `last_checkpoint`.
        more: what else the commit is to carry, by name, see `notes`.
        is_each_key_once: no two rows have the same key; else of these the last by the table's order is kept.
    """
    path = table_path(lake, spec)
    if spec.mode is WriteMode.UPSERT and has_other_schema(lake, spec):
        compact(df.sparkSession, spec, lake)
    meta: dict[str, str] = {Hoodie.META_PREFIX: _META_PREFIX}
    for name, value in {CHECKPOINT: checkpoint, **(more or {})}.items():
        meta[f"{_META_PREFIX}{name}"] = msgspec.json.encode(value).decode()
    options = write_options(spec) | (EACH_KEY_ONCE if is_each_key_once else {})
    df.write.format("hudi").options(**options, **meta).mode("append").save(path)
    commit = next(item for item in commits(lake, spec) if item.action != "replacecommit")
    statistics = commit_metadata(lake, spec, commit)
    return CommitReport(commit, *_written(statistics))


def compact(spark: SparkSession, spec: TableSpec, lake: str) -> None:
    """Merge all logs of an upserted table into its base files, while nobody writes to it.

    A plan that a killed run left is carried out first, for a new one leaves its files out.
    """
    for operation in ("execute", "scheduleandexecute"):
        spark.sql(compaction(table_path(lake, spec), operation)).collect()


def commits(lake: str, spec: TableSpec) -> list[Commit]:
    """Return a table's completed commits, newest completion first; none if it does not exist."""
    system, root = fs.FileSystem.from_uri(_uri(table_path(lake, spec)))
    listing = system.get_file_info(
        fs.FileSelector(f"{root}/.hoodie/timeline", allow_not_found=True)
    )
    done = timeline.writes(timeline.instants(entry.base_name for entry in listing))
    return [Commit(item.requested, item.completed or "", item.action) for item in done]


def newest_write(lake: str, spec: TableSpec) -> Commit | None:
    """Return the newest commit that brought rows; None without any.

    Clustering and compaction rewrite rows without adding any, so they are no news.
    """
    commit, _ = _newest_write(lake, spec)
    return commit


def latest_completion(lake: str, spec: TableSpec) -> str | None:
    """Return the completion time of the newest commit that brought rows; None without any."""
    newest = newest_write(lake, spec)
    return None if newest is None else newest.completed


@lru_cache(maxsize=_METADATA_KEPT)
def commit_metadata(lake: str, spec: TableSpec, commit: Commit) -> Mapping[str, Any]:
    """Return a commit's own metadata as Hudi wrote it; read once, for a completed commit never changes."""
    reader = HudiTableBuilder.from_base_uri(table_path(lake, spec)).build().get_timeline()
    instants = {
        "commit": reader.get_completed_commits,
        "deltacommit": reader.get_completed_deltacommits,
        "replacecommit": reader.get_completed_replacecommits,
    }[commit.action]()
    instant = next(item for item in instants if item.timestamp == commit.requested)
    metadata: Mapping[str, Any] = msgspec.json.decode(reader.get_instant_metadata_in_json(instant))
    return metadata


def checkpoint_of(lake: str, spec: TableSpec, commit: Commit) -> bytes | None:
    """Return the checkpoint a commit carries, None for clustering and the like."""
    return _note(commit_metadata(lake, spec, commit), CHECKPOINT)


def notes(lake: str, spec: TableSpec, name: str) -> Iterator[tuple[Commit, bytes | None]]:
    """Yield the commits that brought rows, newest first, and the note (JSON) of that name each carries."""
    return ((commit, _note(metadata, name)) for commit, metadata in _writes(lake, spec))


def last_checkpoint(lake: str, spec: TableSpec) -> bytes | None:
    """Return the newest checkpoint on the timeline, walking back past maintenance.

    Raises:
        CheckpointMissingError: the table has commits, but none carries one.
    """
    commit, metadata = _newest_write(lake, spec)
    if commit is None and commits(lake, spec):
        raise CheckpointMissingError(spec.name)
    return _note(metadata, CHECKPOINT)


def writes_since_checkpoint(lake: str, spec: TableSpec) -> int:
    """Return how many of the newest commits reach back to the newest checkpoint, that one included."""
    for number, commit in enumerate(commits(lake, spec), 1):
        if checkpoint_of(lake, spec, commit) is not None:
            return number
    return 0


def read(spark: SparkSession, spec: TableSpec, lake: str) -> DataFrame:
    """Return a table's rows as of now, without Hudi's own columns."""
    frame = _reader(spark).load(table_path(lake, spec))
    return frame.select(_columns(lake, spec))


def read_small(
    lake: str,
    spec: TableSpec,
    symbols: Collection[str] = (),
    dates: Collection[str] = (),
    columns: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Return rows of a few small partitions without Spark; none while the table does not exist.

    Args:
        lake: the lake's root.
        spec: the table.
        symbols: only these; all if there are none.
        dates: likewise.
        columns: only these; all if there are none.
    """
    written = _written_columns(lake, spec)
    if not written and not commits(lake, spec):
        return []
    filters = [
        (field, "IN", ",".join(sorted(wanted)))
        for field, wanted in (("symbol", symbols), ("date", dates))
        if wanted
    ]
    wanted = list(columns) or [column.name for column in spec.columns]
    # As `_columns`: what no commit has written yet cannot be asked for, and is null.
    held = [name for name in wanted if not written or name in written]
    options = HudiReadOptions(filters=filters or None, projection=held)
    batches = HudiTableBuilder.from_base_uri(table_path(lake, spec)).build().read(options)
    return [dict.fromkeys(wanted) | row for batch in batches for row in batch.to_pylist()]


def dates_of(lake: str, spec: TableSpec, symbol: str) -> list[str]:
    """Return the dates of a symbol's partitions, oldest first."""
    system, root = fs.FileSystem.from_uri(_uri(table_path(lake, spec)))
    found = system.get_file_info(fs.FileSelector(f"{root}/symbol={symbol}", allow_not_found=True))
    return sorted(item.base_name.partition("=")[2] for item in found)


def news(lake: str, spec: TableSpec, after: str, until: str) -> list[Commit]:
    """Return the commits on the timeline that brought rows after `after` up to `until`, completion times.

    What clustering and compaction touched meanwhile is no news.
    """
    return [
        item
        for item in commits(lake, spec)
        if after < item.completed <= until and checkpoint_of(lake, spec, item) is not None
    ]


def partitions_of_news(lake: str, spec: TableSpec, after: str, until: str) -> set[tuple[str, str]]:
    """Return (symbol, date) of what those commits brought, see `news`."""
    return {
        pair for item in news(lake, spec, after, until) for pair in partitions_of(lake, spec, item)
    }


def partitions_since(lake: str, spec: TableSpec, after: str, until: str) -> set[tuple[str, str]]:
    """Return (symbol, date) of what commits completed after `after` up to `until` wrote to.

    Where the timeline no longer reaches back that far, those are all partitions.
    """
    known = commits(lake, spec)
    if known and known[-1].completed <= after:
        return partitions_of_news(lake, spec, after, until)
    system, root = fs.FileSystem.from_uri(_uri(table_path(lake, spec)))
    listed = system.get_file_info(fs.FileSelector(root, allow_not_found=True))
    names = (item.base_name.partition("symbol=")[2] for item in listed)
    return {(symbol, date) for symbol in names if symbol for date in dates_of(lake, spec, symbol)}


def read_marked(
    spark: SparkSession, spec: TableSpec, lake: str, after: str | None, since: str | None = None
) -> DataFrame:
    """Return a table's rows as of now, with `is_new`: whether a commit completed after `after` wrote them.

    One scan instead of two: an incremental read merges the files of a merge-on-read table again. A table
    has one writer, so a commit requested after another's completion is also completed after it.

    Args:
        spark: the session.
        spec: the table.
        lake: the lake's root.
        after: a completion time, None: all rows are new.
        since: only rows of commits completed after this; None: of all.
    """
    reader = _reader(spark)
    if since is not None:
        reader = _incremental(reader, since)
    frame = reader.load(table_path(lake, spec))
    is_new = F.col(_COMMIT_TIME) > F.lit(after or "")
    return frame.select(*_columns(lake, spec), is_new.alias("is_new"))


def rows_of(lake: str, spec: TableSpec, commit: Commit) -> int:
    """Return how many rows a commit wrote."""
    return _written(commit_metadata(lake, spec, commit))[0]


def partitions_of(lake: str, spec: TableSpec, commit: Commit) -> list[tuple[str, str]]:
    """Return (symbol, date) of each partition that a commit wrote to."""
    written = commit_metadata(lake, spec, commit)["partitionToWriteStats"]
    pairs = [path.split("/") for path in written]
    return sorted((symbol.partition("=")[2], date.partition("=")[2]) for symbol, date in pairs)


def held_partitions(
    lake: str, spec: TableSpec, pairs: Iterable[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Return those of some (symbol, date) that the table has a folder of."""
    system, root = fs.FileSystem.from_uri(_uri(table_path(lake, spec)))
    wanted = sorted(pairs)
    folders = [f"{root}/symbol={symbol}/date={day}" for symbol, day in wanted]
    found = system.get_file_info(folders) if folders else []
    return {
        pair for pair, info in zip(wanted, found, strict=True) if info.type is fs.FileType.Directory
    }


def sizes_of(
    lake: str, spec: TableSpec, pairs: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """Return how many bytes the files of each of some (symbol, date) have, older forms that wait for cleaning too."""
    system, root = fs.FileSystem.from_uri(_uri(table_path(lake, spec)))
    sizes = {}
    for symbol, day in pairs:
        folder = fs.FileSelector(f"{root}/symbol={symbol}/date={day}", allow_not_found=True)
        sizes[symbol, day] = sum(item.size or 0 for item in system.get_file_info(folder))
    return sizes


def read_since(
    spark: SparkSession, spec: TableSpec, lake: str, after: str | None, until: str
) -> DataFrame:
    """Return rows of commits completed after `after` (None: all) up to `until`, completion times."""
    reader = _incremental(_reader(spark), after or "000").option(Hoodie.END, until)
    frame = reader.load(table_path(lake, spec))
    return frame.select(_columns(lake, spec))


def has_other_schema(lake: str, spec: TableSpec) -> bool:
    """Tell whether a table's newest rows lack one of its columns or have another type in it.

    Nested types are not compared: they never change.
    """
    held = _written_columns(lake, spec)
    return bool(held) and any(
        held.get(column.name) not in {column.type, ""} for column in spec.columns
    )


def _reader(spark: SparkSession) -> DataFrameReader:
    return spark.read.format("hudi").options(**MERGE)


def _incremental(reader: DataFrameReader, after: str) -> DataFrameReader:
    return reader.option(Hoodie.QUERY_TYPE, "incremental").option(Hoodie.BEGIN, after)


def _columns(lake: str, spec: TableSpec) -> list[Column]:
    """Return a table's columns; one of a newer version, that no commit has written yet, is null."""
    held = _written_columns(lake, spec)
    return [
        F.lit(None).cast(column.type).alias(column.name)
        if held and column.name not in held
        else F.col(column.name)
        for column in spec.columns
    ]


def _writes(lake: str, spec: TableSpec) -> Iterator[tuple[Commit, Mapping[str, Any]]]:
    """Yield the commits that brought rows, newest first, and their metadata."""
    for commit in commits(lake, spec):
        metadata = commit_metadata(lake, spec, commit)
        if _note(metadata, CHECKPOINT) is not None:
            yield commit, metadata


def _newest_write(lake: str, spec: TableSpec) -> tuple[Commit | None, Mapping[str, Any]]:
    """Return the newest commit that brought rows, and its metadata; None and nothing without any."""
    return next(_writes(lake, spec), (None, {}))


def _note(metadata: Mapping[str, Any], name: str) -> bytes | None:
    text = (metadata.get("extraMetadata") or {}).get(f"{_META_PREFIX}{name}")
    return None if text is None else text.encode()


def _written_columns(lake: str, spec: TableSpec) -> dict[str, str]:
    """Return the columns of the newest rows and Spark's names of their types, "" of nested ones."""
    commit, metadata = _newest_write(lake, spec)
    if commit is None:
        return {}
    schema = msgspec.json.decode(metadata["extraMetadata"]["schema"])
    return {field["name"]: _type(field["type"]) for field in schema["fields"]}


def _type(avro: Any) -> str:
    """Return Spark's name of one of Avro's plain types, or of such a type or null; "" of others."""
    match avro:
        case [*kinds]:
            return _type(next(kind for kind in kinds if kind != "null"))
        case {"logicalType": "decimal", "precision": precision, "scale": scale}:
            return f"decimal({precision},{scale})"
        case {"logicalType": "timestamp-micros"}:
            return "timestamp"
        case str(name):
            return {"long": "bigint"}.get(name, name)
        case _:
            return ""


def _written(metadata: Mapping[str, Any]) -> tuple[int, int]:
    stats = [stat for part in metadata["partitionToWriteStats"].values() for stat in part]
    return (
        sum(stat["numWrites"] for stat in stats),
        sum(stat["totalWriteBytes"] for stat in stats),
    )


def _uri(path: str) -> str:
    return path if "://" in path else f"file://{path}"
