"""Hudi's table services over Spark Connect: look at a table, and carry out what its upkeep asks for.

Each step is an action of its own on the table's timeline: killed anywhere, it is finished by the next
run or rolled back by the next write, and readers see the table before it or after it. The caller sees
to it that nobody writes to the table meanwhile. Sources: Hudi 1.2's procedures (`CALL help(…)`); all but
`run_clean` take a path, that one wants a registered table.
"""

import time
from collections.abc import Iterator
from datetime import date

from hudi import HudiReadOptions, HudiTableBuilder
from pyarrow import fs
from pyspark.sql import SparkSession

from crypto_pipeline.specs import TableSpec, WriteMode
from crypto_pipeline.utils.hudi_options import Hoodie, compaction, service_options
from crypto_pipeline.utils.hudi_utils import opened, table_path
from shared.lake import upkeep
from shared.lake.survey import survey
from shared.lake.timeline import instants
from shared.lake.upkeep import Plan, TableState

_DATABASE = "lake_upkeep"
_GROUP_BYTES = 2 * 1024**3
_FILE_BYTES = 1024**3


def state_of(lake: str, spec: TableSpec) -> TableState | None:
    """Return a table's state, None while it does not exist."""
    system, root = opened(table_path(lake, spec))
    listing = system.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    folder = f"{root}/.hoodie/timeline/"
    names = (item.path.removeprefix(folder) for item in listing if item.path.startswith(folder))
    actions = instants(name for name in names if "/" not in name)
    if not actions:
        return None
    table = HudiTableBuilder.from_base_uri(table_path(lake, spec)).build()
    earliest = upkeep.earliest_retained(actions)
    retained = (
        table.get_file_slices(HudiReadOptions().with_as_of_timestamp(earliest.requested))
        if earliest
        else ()
    )
    files = (
        (item.base_name, item.size or 0)
        for item in listing
        if item.is_file and "/.hoodie/" not in item.path
    )
    return survey(
        spec.name,
        actions,
        files,
        table.get_file_slices(),
        retained,
        is_merged_on_read=spec.mode is WriteMode.UPSERT,
    )


def maintain(
    spark: SparkSession, lake: str, spec: TableSpec, today: date, unread: int = 0
) -> Iterator[tuple[str, float]]:
    """Carry out what is due on a table, yielding each step and its seconds as it is done.

    Cleaning and archiving are planned last, for compacting and merging leave them more to do. The
    newest `unread` writes are not archived.
    """
    path = table_path(lake, spec)
    due = _due(lake, spec, today, unread)
    calls: list[tuple[str, list[str]]] = []
    if due.finish:
        calls.append(("finish", [compaction(path, "execute"), clustering(path, "execute")]))
    if due.compact:
        calls.append((f"compact {due.compact}", [compaction(path, "scheduleandexecute")]))
    merges = ((due.merge_closed, upkeep.SMALL_CLOSED), (due.merge_open, upkeep.SMALL_OPEN))
    for partitions, small in merges:
        if partitions:
            merge = clustering(path, "scheduleandexecute", partitions, small)
            calls.append((f"merge {len(partitions)}", [merge]))
    yield from _carry_out(spark, calls)
    due = _due(lake, spec, today, unread)
    calls = [("clean", [*_registered(path, spec), _cleaning(spec)])] if due.clean else []
    if due.archive:
        calls.append((f"archive {due.archive}", [_archival(path, max(upkeep.ACTIVE, unread))]))
    yield from _carry_out(spark, calls)


def save(spark: SparkSession, lake: str, spec: TableSpec, instant: str, comment: str) -> None:
    """Let cleaning keep a table's state as of a write; one that is kept already stays so."""
    state = state_of(lake, spec)
    if state is not None and instant not in state.savepoints:
        path = table_path(lake, spec)
        call = (
            f"path => '{path}', commit_time => '{instant}', user => 'lake', comments => '{comment}'"
        )
        spark.sql(f"call create_savepoint({call})").collect()


def drop_savepoint(spark: SparkSession, lake: str, spec: TableSpec, instant: str) -> None:
    """Let cleaning have what a savepoint kept."""
    path = table_path(lake, spec)
    spark.sql(f"call delete_savepoint(path => '{path}', instant_time => '{instant}')").collect()


def _due(lake: str, spec: TableSpec, today: date, unread: int) -> Plan:
    state = state_of(lake, spec)
    return Plan() if state is None else upkeep.plan(state, today, unread)


def _carry_out(
    spark: SparkSession, calls: list[tuple[str, list[str]]]
) -> Iterator[tuple[str, float]]:
    for text, statements in calls:
        start = time.monotonic()
        for statement in statements:
            spark.sql(statement).collect()
        yield text, round(time.monotonic() - start, 3)


def clustering(
    path: str, operation: str, partitions: tuple[str, ...] = (), small: int = upkeep.SMALL_CLOSED
) -> str:
    """Return the statement that plans or carries out a merge of small files, or both."""
    options = service_options(
        {
            Hoodie.SMALL_FILE: str(small),
            Hoodie.MERGED_FILE: str(_FILE_BYTES),
            Hoodie.MERGE_GROUP: str(_GROUP_BYTES),
            Hoodie.MERGE_GROUPS: str(upkeep.PARTITIONS_PER_RUN),
        }
    )
    chosen = f", selected_partitions => '{','.join(partitions)}'" if partitions else ""
    return f"call run_clustering(path => '{path}', op => '{operation}', options => '{options}'{chosen})"


def _registered(path: str, spec: TableSpec) -> list[str]:
    """Return the statements that make a table known by name; dropping it leaves its files alone."""
    return [
        f"create database if not exists {_DATABASE}",
        f"drop table if exists {_DATABASE}.{spec.name}",
        f"create table {_DATABASE}.{spec.name} using hudi location '{path}'",
    ]


def _cleaning(spec: TableSpec) -> str:
    return (
        f"call run_clean(table => '{_DATABASE}.{spec.name}', clean_policy => 'KEEP_LATEST_COMMITS',"
        f" retain_commits => {upkeep.RETAINED}, options => '{service_options({})}')"
    )


def _archival(path: str, kept: int) -> str:
    return (
        f"call archive_commits(path => '{path}', min_commits => {kept},"
        f" max_commits => {kept + 1}, retain_commits => {upkeep.RETAINED},"
        " enable_metadata => false)"
    )
