"""The lake of a claim: a Spark server, an empty lake, and whole runs of its jobs in this process."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock as patches

import psutil
from dagster import DagsterInstance

from crypto_pipeline.definitions import defs
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from tests.conftest import clean_environment, free_port
from tests.e2e.collector.stage import Channels, symbols_file
from tests.integration.conftest import REPO, until


@dataclass
class Lake:
    """A lake of the claim's own, and its runs."""

    lakehouse: LakehouseResource
    instance: DagsterInstance

    def run(self, job: str) -> float:
        """Run a job in this process as Dagster does; returns seconds."""
        begun = time.monotonic()
        done = defs.resolve_job_def(job).execute_in_process(instance=self.instance)
        assert done.success
        return time.monotonic() - begun

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return a table as a reader without Spark sees it."""
        return hudi_utils.read_small(self.lakehouse.lake, TABLES[table])


class SparkServer:
    """A Spark Connect server, always at the same address."""

    def __init__(self, folder: Path) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.remote = f"sc://127.0.0.1:{free_port()}"
        self._folder = folder
        self._log = folder / "spark.log"

    def start(self) -> None:
        """Return when it listens."""
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stack.spark_server"],
                env=clean_environment()
                | {
                    "CRYPTO_PATHS__DATA_DIR": str(self._folder / "spark"),
                    "CRYPTO_SPARK__REMOTE": self.remote,
                    "CRYPTO_SPARK__UI_PORT": str(free_port()),
                    "CRYPTO_SPARK__DRIVER_MEMORY": "3g",
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=REPO,
            )
        until(self._listens, 120, f"Spark up; see {self._log}")
        tree = psutil.Process(self._process.pid).children(recursive=True)
        self._java = next(child for child in tree if child.name() == "java")

    def kill(self) -> None:
        """Kill the JVM with signal 9; the process around it ends by itself."""
        self._java.kill()
        self._ended()

    def stop(self) -> None:
        """End it as a service is ended."""
        if self._process is not None:
            self._process.terminate()
            self._ended()

    def _ended(self) -> None:
        assert self._process is not None
        self._process.wait(timeout=60)

    def _listens(self) -> bool:
        return b"Spark Connect listens" in self._log.read_bytes()


@contextmanager
def lake(
    folder: Path, bootstrap: str, remote: str, venue: Mapping[str, str], channels: Channels
) -> Iterator[Lake]:
    """An empty lake between this broker and this venue, for what is collected."""
    settings = {
        **venue,
        "CRYPTO_PATHS__DATA_DIR": str(folder / "data"),
        "CRYPTO_PATHS__SYMBOLS_FILE": str(symbols_file(folder / "symbols.yaml", channels)),
        "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "CRYPTO_SPARK__REMOTE": remote,
    }
    with patches.patch.dict("os.environ", settings), DagsterInstance.ephemeral() as instance:
        yield Lake(LakehouseResource(), instance)


@contextmanager
def own_spark(remote: str | None, folder: Path) -> Iterator[str]:
    """Return the server that is given, or one of our own."""
    if remote is not None:
        yield remote
        return
    own = SparkServer(folder)
    try:
        own.start()
        yield own.remote
    finally:
        own.stop()
