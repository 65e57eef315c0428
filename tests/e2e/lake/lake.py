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


@contextmanager
def spark_server(folder: Path) -> Iterator[str]:
    """A Spark Connect server that listens."""
    remote = f"sc://127.0.0.1:{free_port()}"
    log = folder / "spark.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "stack.spark_server"],
            env=clean_environment()
            | {
                "CRYPTO_PATHS__DATA_DIR": str(folder / "spark"),
                "CRYPTO_SPARK__REMOTE": remote,
                "CRYPTO_SPARK__UI_PORT": str(free_port()),
                "CRYPTO_SPARK__DRIVER_MEMORY": "3g",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=REPO,
        )
    try:
        until(lambda: b"Spark Connect listens" in log.read_bytes(), 120, f"Spark up; see {log}")
        yield remote
    finally:
        process.terminate()
        process.wait(timeout=60)


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
    with spark_server(folder) as own:
        yield own
