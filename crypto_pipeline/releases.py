"""The release job: give the lake's present state a name that cleaning respects, or take it back.

A release holds each table's timeline from its savepoint on, and the files that it keeps: drop it when it
is no longer asked for.
"""

import msgspec
from dagster import Config, OpExecutionContext, graph, in_process_executor, op
from pyarrow import fs
from pydantic import Field

from crypto_pipeline.assets.describe import POOL
from crypto_pipeline.errors import ReleaseError
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES, WriteMode
from crypto_pipeline.utils import hudi_utils
from crypto_pipeline.utils.table_services import drop_savepoint, save, state_of
from shared.lake.releases import FOLDER, Release, is_name, path_of


class Named(Config):
    """Which release, and what becomes of it."""

    name: str = Field(description="Small letters, digits, - and _; begins with a letter")
    drop: bool = Field(default=False, description="Take it back, and let its files go")


def keep(lakehouse: LakehouseResource, name: str) -> Release:
    """Save every table at its last write, then write the release down.

    Logs are compacted before, so that the release is read in whatever schema its tables will be.
    Killed before the end it leaves savepoints without a release; the same name may be kept again.

    Raises:
        ReleaseError: the name is taken, or is none.
    """
    lake = lakehouse.lake
    if not is_name(name):
        raise ReleaseError(f"name: {name!r}", "Use small letters, digits, - and _.")
    system, path = hudi_utils.opened(path_of(lake, name))
    if system.get_file_info(path).type is not fs.FileType.NotFound:
        raise ReleaseError(f"there is a release {name}", "Choose another name, or drop it first.")
    instants = {}
    for spec in TABLES.values():
        written = hudi_utils.commits(lake, spec)
        if written and spec.mode is WriteMode.UPSERT:
            hudi_utils.compact(lakehouse.spark, spec, lake)
            written = hudi_utils.commits(lake, spec)
        if written:
            save(lakehouse.spark, lake, spec, written[0].requested, name)
            instants[spec.name] = written[0].requested
    system.create_dir(path.rpartition("/")[0], recursive=True)
    release = Release(instants)
    with system.open_output_stream(path) as file:
        file.write(msgspec.json.encode(release))
    return release


def drop(lakehouse: LakehouseResource, name: str) -> Release:
    """Remove a release, and the savepoints that no other one names.

    The file goes last: killed before that, it can be dropped again.

    Raises:
        ReleaseError: there is none of that name.
    """
    lake = lakehouse.lake
    system, folder = hudi_utils.opened(f"{lake}/{FOLDER}")
    selector = fs.FileSelector(folder, allow_not_found=True)
    found = {}
    for item in system.get_file_info(selector):
        with system.open_input_stream(item.path) as file:
            stem = item.base_name.removesuffix(".json")
            found[stem] = msgspec.json.decode(file.read(), type=Release)
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise ReleaseError(f"there is no release {name}", f"There are: {known}.")
    release = found.pop(name)
    for table, instant in release.tables.items():
        spec = TABLES[table]
        state = state_of(lake, spec)
        is_shared = any(other.tables.get(table) == instant for other in found.values())
        if state is not None and instant in state.savepoints and not is_shared:
            drop_savepoint(lakehouse.spark, lake, spec, instant)
    system.delete_file(f"{folder}/{name}.json")
    return release


@op(pool=POOL, description="Keep the lake's present state under a name, or drop a name")
def release(context: OpExecutionContext, config: Named, lakehouse: LakehouseResource) -> None:
    """Keep or drop the release, and tell its tables and instants."""
    done = (drop if config.drop else keep)(lakehouse, config.name)
    context.add_output_metadata({"tables": len(done.tables), "instants": done.tables})


@graph(description="Name the lake's present state, so that --as-of finds it and cleaning keeps it")
def releases() -> None:
    """One op."""
    release()


lake_release = releases.to_job(name="lake_release", executor_def=in_process_executor)
