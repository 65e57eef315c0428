"""One session of the Spark server for all ticks, and what a tick shares in it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from crypto_pipeline.resources import LakehouseResource
from tests.conftest import clean_environment

pytestmark = [pytest.mark.spark]

DAEMON = """
import os, sys
import pandas as pd
from crypto_pipeline.utils.spark_utils import connect

def parent(parts):
    for part in parts:
        yield pd.DataFrame({"id": [os.getppid()]})

spark = connect(sys.argv[1])
print(spark.range(0, 1, 1, 1).mapInPandas(parent, "id bigint").collect()[0].id)
"""


def test_each_tick_finds_the_python_daemon_of_the_last(spark_server: str) -> None:
    daemons = {
        subprocess.run(
            [sys.executable, "-c", DAEMON, spark_server],
            env=clean_environment(),
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for _ in range(2)
    }
    assert len(daemons) == 1


@pytest.fixture
def lakehouse(spark_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[LakehouseResource]:
    monkeypatch.setenv("CRYPTO_SPARK__REMOTE", spark_server)
    resource = LakehouseResource()
    yield resource
    resource.teardown_after_execution(None)


def times_read(lakehouse: LakehouseResource, versions: list[str]) -> int:
    """Count how often a shared frame was computed, by the different random numbers in it."""
    found = set()
    for version in versions:
        shared = lakehouse.shared("numbers", version, lambda: once(lakehouse.spark))
        found.add(shared.collect()[0].number)
    return len(found)


def once(spark: SparkSession) -> object:
    def draw(parts):
        for _ in parts:
            yield pd.DataFrame({"number": [int.from_bytes(os.urandom(7))]})

    return spark.range(0, 1, 1, 1).mapInPandas(draw, "number bigint").select(F.col("number"))


def test_what_is_shared_is_computed_once_for_each_version(lakehouse: LakehouseResource) -> None:
    assert times_read(lakehouse, ["1", "1", "1"]) == 1
    assert times_read(lakehouse, ["2", "2", "3"]) == 2


def test_nothing_stays_shared_after_a_run(lakehouse: LakehouseResource) -> None:
    def shared() -> list[str]:
        names = (table.name for table in lakehouse.spark.catalog.listTables())
        # The last part is the run's own.
        return [name.rpartition("_")[0] for name in names if name.startswith("numbers")]

    times_read(lakehouse, ["1", "2"])
    assert shared() == ["numbers_2"]
    lakehouse.teardown_after_execution(None)
    assert shared() == []
