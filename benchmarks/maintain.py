"""A lake that stays fast: an accelerated day of micro-batches, with maintenance each 20 of them.

`python benchmarks/maintain.py --batches 1440` writes that many commits of 50 symbols to an appended and
an upserted table, maintains both as the job does, and leaves the samples as CSV and as a picture.
`make bench` writes 60. Targets: the last 20 commits within 1.3 times the 20th to 40th (median), at
most 2 base files per closed symbol-day and 100 instants after maintenance, a level heap.
"""

import argparse
import csv
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import date
from itertools import pairwise
from pathlib import Path

import psutil
from _picture import picture as drawn
from ingest import free_port
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from rich.table import Table

from crypto_pipeline.tables import TABLES, TableSpec
from crypto_pipeline.utils import hudi_utils, table_services
from crypto_pipeline.utils.spark_utils import connect
from shared.settings import process_environment

REPO = Path(__file__).parent.parent
SYMBOLS, ROWS_EACH = 50, 40
EVERY = 20
DAY, NEXT_DAY = date(2024, 8, 8), date(2024, 8, 9)
APPENDED, UPSERTED = TABLES["bronze_trades"], TABLES["silver_trades"]
_GENERATIONS = 2


@dataclass
class Sample:
    """One batch: seconds of its two commits, of the maintenance after it, and what that left."""

    batch: int
    append_s: float
    upsert_s: float
    maintain_s: float
    heap_mib: float
    instants: int


def rows(spark: SparkSession, spec: TableSpec, batch: int) -> DataFrame:
    """Return a batch of trades of all symbols, as many of each."""
    count = SYMBOLS * ROWS_EACH
    number = F.col("id")
    given = {
        "exchange": F.lit("binance"),
        "market": F.lit("spot"),
        "symbol": F.format_string("S%02dUSDT", number % SYMBOLS),
        "channel": F.lit("trade"),
        "trade_id": number.cast("string"),
        "price": number % 5000 + 60_000,
        "quantity": (number % 977 + 1) / 1000,
        "kafka_topic": F.lit("binance-trades"),
        "kafka_partition": F.lit(0),
        "kafka_offset": number,
        "row_order": number,
        "date": F.lit(DAY.isoformat()),
    }
    return spark.range(batch * count, (batch + 1) * count, 1, 2).select(
        *(
            given.get(column.name, F.lit(None)).cast(column.type).alias(column.name)
            for column in spec.columns
        )
    )


def heap_mib(spark: SparkSession, server: int) -> float:
    """Return what is used of the driver's heap after a full collection."""
    spark.sql("select java_method('java.lang.System', 'gc')").collect()
    (java,) = psutil.Process(server).children()
    told = subprocess.run(
        ["jcmd", str(java.pid), "GC.heap_info"],  # noqa: S607 - the user's JDK
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    used = re.findall(r"(?:PSYoungGen|ParOldGen) .*used (\d+)K", told)
    assert len(used) == _GENERATIONS, told
    return sum(map(int, used)) / 1024


def maintained(spark: SparkSession, lake: str, today: date) -> int:
    """Maintain both tables until nothing is due; returns how many runs that took."""
    for run in range(100):
        steps = [
            step
            for spec in (APPENDED, UPSERTED)
            for step in table_services.maintain(spark, lake, spec, today)
        ]
        if not steps or today == DAY:
            return run
    raise AssertionError("maintenance does not come to an end")


def day(spark: SparkSession, lake: str, server: int, batches: int) -> list[Sample]:
    """Write the day, maintaining it as the schedule would."""
    samples = []
    heap, instants = heap_mib(spark, server), 0
    for batch in range(batches):
        times = [time.perf_counter()]
        for spec in (APPENDED, UPSERTED):
            hudi_utils.write(rows(spark, spec, batch), spec, lake, {"batch": batch})
            times.append(time.perf_counter())
        if batch % EVERY == EVERY - 1:
            maintained(spark, lake, DAY)
        times.append(time.perf_counter())
        if batch % EVERY == EVERY - 1:
            heap = heap_mib(spark, server)
            states = [table_services.state_of(lake, spec) for spec in (APPENDED, UPSERTED)]
            instants = max(len(state.timeline) for state in states if state is not None)
        spans = [round(after - before, 3) for before, after in pairwise(times)]
        samples.append(Sample(batch, *spans, round(heap, 1), instants))
    return samples


@contextmanager
def spark_server(folder: Path) -> Iterator[tuple[str, int]]:
    """Run an embedded Spark Connect server; yields its address and process."""
    remote = f"sc://127.0.0.1:{free_port()}"
    environment = process_environment() | {
        "CRYPTO_PATHS__DATA_DIR": str(folder),
        "CRYPTO_SPARK__REMOTE": remote,
        "CRYPTO_SPARK__UI_PORT": str(free_port()),
        "CRYPTO_SPARK__DRIVER_MEMORY": "3g",
    }
    command = [sys.executable, "-m", "stack.spark_server"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=REPO
    )
    try:
        assert process.stdout is not None
        assert b"listens" in process.stdout.readline(), "the Spark server did not start"
        yield remote, process.pid
    finally:
        process.terminate()
        process.wait()


def write_down(samples: list[Sample], plot: Path) -> None:
    with plot.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Sample))
        writer.writerows(astuple(sample) for sample in samples)
    lines = {
        "append, s": ("#1668a8", [item.append_s for item in samples]),
        "upsert, s": ("#c0552b", [item.upsert_s for item in samples]),
        "driver heap, 100 MiB": ("#3a7d44", [item.heap_mib / 100 for item in samples]),
    }
    top = max(value for _, values in lines.values() for value in values)
    batches = [float(item.batch) for item in samples]
    plot.write_text(drawn(batches, lines, f"{len(samples)} commits", top * 1.1))


def main(batches: int = 60, plot: Path | None = None) -> Table:
    """Run, and return the table of figures."""
    with tempfile.TemporaryDirectory() as name, spark_server(Path(name)) as (remote, server):
        spark = connect(remote)
        lake = f"{name}/lake"
        samples = day(spark, lake, server, batches)
        if plot is not None:
            write_down(samples, plot)
        runs = maintained(spark, lake, NEXT_DAY)
        states = [table_services.state_of(lake, spec) for spec in (APPENDED, UPSERTED)]
        spark.stop()
    table = Table("measure", "value")
    for kind in ("append", "upsert"):
        taken = [getattr(sample, f"{kind}_s") for sample in samples]
        early, late = statistics.median(taken[20:40]), statistics.median(taken[-20:])
        table.add_row(
            f"{kind}: commits 20 to 40, last 20, ratio (target 1.3)",
            f"{early:.2f} s, {late:.2f} s, {late / early:.2f}",
        )
    heaps = [sample.heap_mib for sample in samples]
    upkeep = [sample.maintain_s for sample in samples if sample.maintain_s > 1]
    closed = [state for state in states if state is not None]
    table.add_row("maintenance of both tables, median", f"{statistics.median(upkeep):.1f} s")
    table.add_row(
        "instants, most seen while open (target 100)", str(max(item.instants for item in samples))
    )
    table.add_row(
        "base files per closed symbol-day (target 2)",
        f"{max(max(state.base_files.values()) for state in closed)}, after {runs} runs",
    )
    table.add_row("driver heap, first and last", f"{heaps[0]:.0f} MiB, {heaps[-1]:.0f} MiB")
    return table


if __name__ == "__main__":
    from rich.console import Console

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=1440)
    parser.add_argument("--plot", type=Path, default=Path("docs/maintain.svg"))
    options = parser.parse_args()
    Console().print(main(options.batches, options.plot))
