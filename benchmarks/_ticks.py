"""Ticks as Dagster's daemon starts them, in a folder of their own, and what their commits tell."""

import os
import shutil
import sys
from bisect import bisect_left
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import psutil
from ingest import free_port, process
from lake import KAFKA, REPO, SPARK

from crypto_pipeline.assets.increments import SourceCheckpoint
from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from shared.lake.timeline import moment

CORES = set(os.sched_getaffinity(0))
_DAEMON = str(Path(sys.executable).parent / "dagster-daemon")


class Chain:
    """What the commits of a lake tell: when a row of bronze trades had come to a table.

    Times are seconds since the epoch; commits of bronze are named by their completion.
    """

    def __init__(self, lake: str, watched: Collection[str]) -> None:
        self._lake = lake
        self.bronze = hudi_utils.commits(lake, TABLES["bronze_trades"])
        self._covering = {name: self._covered(name) for name in watched}

    def reached(self, name: str) -> dict[str, float]:
        """Return when each commit of bronze had come to a table; those that have not are left out."""
        found = {}
        for commit in self.bronze:
            at: str | None = commit.completed
            for step in self._way(name):
                at = None if at is None else self._taken(step, at)
            if at is not None:
                found[commit.completed] = moment(at).timestamp()
        return found

    def _way(self, name: str) -> list[str]:
        """Return the tables from silver to this one."""
        way = [name]
        while (source := TABLES[way[0]].sources[0]) != "bronze_trades":
            way.insert(0, source)
        return way

    def _taken(self, name: str, completed: str) -> str | None:
        """Return the completion of a table's first commit that covers this one of its source."""
        covering = self._covering[name]
        place = bisect_left(covering, (completed, ""))
        return covering[place][1] if place < len(covering) else None

    def _covered(self, name: str) -> list[tuple[str, str]]:
        """Return what each commit of a table covers of its source, and its own completion."""
        told = hudi_utils.notes(self._lake, TABLES[name], hudi_utils.CHECKPOINT)
        return sorted(
            (msgspec.json.decode(text or b"", type=SourceCheckpoint).until, commit.completed)
            for commit, text in told
        )


def settings(folder: Path) -> dict[str, str]:
    """Return the settings of a lake in this folder, and write Dagster's there; symbols are the caller's."""
    home = folder / "dagster"
    home.mkdir()
    shutil.copy(REPO / "config" / "dagster.yaml", home)
    return {
        "CRYPTO_PATHS__DATA_DIR": str(folder),
        "CRYPTO_PATHS__SYMBOLS_FILE": str(folder / "symbols.yaml"),
        "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": KAFKA,
        "CRYPTO_SPARK__REMOTE": SPARK,
        "CRYPTO_SPARK__UI_PORT": str(free_port()),
        "DAGSTER_HOME": str(home),
    }


@contextmanager
def daemon(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run Dagster's daemon, and end it with the tick that is on its way, which it leaves running."""
    command = [_DAEMON, "run", "-m", "crypto_pipeline.definitions"]
    with process(command, CORES, folder / "daemon.log", environment) as running:
        try:
            yield
        finally:
            for child in running.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
