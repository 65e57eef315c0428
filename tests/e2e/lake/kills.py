"""Claim: kill -9 at any point of bronze, silver, gold or maintenance loses no row and doubles none.

The points are states that a table's timeline goes through. When the file of a point appears, the Spark
server, which writes all tables, is killed; the very next run must come through by itself, and every table
hold just what was published.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatch
from pathlib import Path

from dagster import AssetKey

from crypto_pipeline.automation import JOB
from crypto_pipeline.definitions import defs
from crypto_pipeline.gold_tables import DAY
from crypto_pipeline.maintenance import MAINTENANCE_JOB
from crypto_pipeline.tables import EACH_TICK, TABLES
from shared.lake import upkeep
from shared.market.events import Origin, Side, Source, Trade
from shared.market.instruments import Exchange, Market
from tests.e2e.collector.stage import stage
from tests.e2e.collector.verdict import Verdict, main
from tests.e2e.lake.lake import Lake, SparkServer, lake
from tests.integration.conftest import publish

Tables = tuple[str, ...]
"""What a run of a job takes; all of it if there are none."""
SYMBOLS = ("BTCUSDT", "ETHUSDT")
PLAN = {"spot": {symbol: ["trade"] for symbol in SYMBOLS}}
BATCH = 2_000
# A day that is closed, so that merging and compacting are due after a few batches.
START_US = 1_723_075_200_000_000
STEP_US = 100_000
# The points of a tick are met in one that takes all tables, and every second time in one without any's turn.
TICKS: tuple[Tables, ...] = ((), EACH_TICK)
# Writes whose file versions cleaning keeps: so few that it is due after a few batches.
RETAINED = 2


@dataclass(frozen=True)
class Point:
    """A moment of a job: a file of this name comes up on the timeline of a table."""

    job: str
    table: str
    file: str

    def __str__(self) -> str:
        return f"{self.table}, {self.file}"


POINTS = (
    Point(JOB, "bronze_trades", "*.commit.requested"),
    Point(JOB, "bronze_trades", "*[0-9].inflight"),
    Point(JOB, "bronze_trades", "*_*.commit"),
    Point(JOB, "silver_trades", "*.deltacommit.inflight"),
    Point(JOB, "silver_trades", "*_*.deltacommit"),
    Point(JOB, "gold_ohlcv", "*.deltacommit.requested"),
    Point(JOB, "gold_ohlcv", "*_*.deltacommit"),
    Point(MAINTENANCE_JOB, "bronze_trades", "*.clustering.inflight"),
    Point(MAINTENANCE_JOB, "silver_trades", "*.compaction.inflight"),
    Point(MAINTENANCE_JOB, "silver_trades", "*.clean.inflight"),
)


def trades(first: int, count: int) -> Iterator[Trade]:
    """Yield as many trades of each symbol from an id on."""
    for symbol in SYMBOLS:
        origin = Origin(
            exchange=Exchange.BINANCE,
            market=Market.SPOT,
            symbol=symbol,
            venue_symbol=symbol,
            channel="trade",
            source=Source.BINANCE_WEBSOCKET,
            connection="kills",
            epoch=1,
        )
        for number in range(first, first + count):
            time_us = START_US + number * STEP_US
            yield Trade(
                origin=origin,
                received_ns=time_us * 1000,
                event_time=time_us,
                trade_id=str(number),
                price=f"{1000 + number % 50}.5",
                quantity=f"0.{number % 997 + 1:03}",
                side=Side.BUY if number % 3 else Side.SELL,
                trade_time=time_us,
            )


class Runs:
    """Runs of jobs, each in a process of its own as under Dagster's daemon."""

    def __init__(self, ours: Lake, server: SparkServer, log: Path) -> None:
        self._ours = ours
        self._log = log
        self._server = server
        # Each run is forked from a process that has Dagster loaded, for loading it takes seconds. That process
        # keeps the environment of the first run, so there is one lake for all.
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["tests.e2e.lake.lake"])

    def whole(self, job: str, tables: Tables = ()) -> bool:
        """Run a job to its end; returns whether it succeeded."""
        run = self._start(job, tables)
        run.join()
        return run.exitcode == 0

    def killed(self, point: Point, tables: Tables = ()) -> bool:
        """Run a point's job, kill Spark there, and start it again; returns whether the run survived."""
        folder = Path(self._ours.lakehouse.lake) / point.table / ".hoodie/timeline"
        before = _matching(folder, point.file)
        run = self._start(point.job, tables)
        try:
            while not _matching(folder, point.file) - before:
                assert run.is_alive(), f"{point.job} ended before {point}"
                time.sleep(0.001)
            self._server.kill()
            self._server.start()
            run.join(300)
            assert not run.is_alive(), f"{point.job} hangs after {point}"
            return run.exitcode == 0
        finally:
            run.kill()
            run.join()

    def _start(self, job: str, tables: Tables) -> multiprocessing.process.BaseProcess:
        run = self._processes.Process(target=_run, args=(job, tables, self._log))
        run.start()
        return run


def _run(job: str, tables: Tables, log: Path) -> None:
    with log.open("ab") as output:
        os.dup2(output.fileno(), sys.stderr.fileno())
    upkeep.RETAINED = RETAINED
    done = defs.resolve_job_def(job).execute_in_process(
        raise_on_error=False, asset_selection=[AssetKey(name) for name in tables] or None
    )
    sys.exit(0 if done.success else 1)


def _matching(folder: Path, pattern: str) -> set[str]:
    return {item.name for item in folder.glob("*") if fnmatch(item.name, pattern)}


def judge(verdict: Verdict, ours: Lake, published: int, when: str) -> None:
    """Compare ids and sums with what was published, and look for keys that stand twice."""
    wanted = {(item.origin.symbol, item.trade_id) for item in trades(0, published)}
    volume = sum((Decimal(str(item.quantity)) for item in trades(0, published)), Decimal(0))
    wrong = []
    bronze = ours.rows("bronze_trades")
    if len({(row["kafka_partition"], row["kafka_offset"]) for row in bronze}) != len(wanted):
        wrong.append("offsets in bronze")
    for table in ("bronze_trades", "silver_trades"):
        rows = ours.rows(table)
        if {(row["symbol"], row["trade_id"]) for row in rows} != wanted:
            wrong.append(f"ids in {table}")
        if len(rows) != len(wanted) or sum(row["quantity"] for row in rows) != volume:
            wrong.append(f"rows or volume in {table}")
    days = [row for row in ours.rows("gold_ohlcv") if row["interval"] == "1d"]
    if sum(row["volume"] for row in days) != volume:
        wrong.append("volume in gold_ohlcv")
    if sum(row["trade_count"] for row in days) != len(wanted):
        wrong.append("trades in gold_ohlcv")
    bins = [row for row in ours.rows("gold_volume_profile") if row["session"] == DAY]
    if sum(row["volume"] for row in bins) != volume:
        wrong.append("volume in gold_volume_profile")
    for spec in TABLES.values():
        rows = ours.rows(spec.name)
        if len(rows) != len({tuple(row[name] for name in spec.key) for row in rows}):
            wrong.append(f"keys that stand twice in {spec.name}")
    verdict.equals(f"{when}: what differs from the truth", wrong, [])


def kill_and_judge(
    verdict: Verdict, runs: Runs, ours: Lake, point: Point, number: int, published: int
) -> None:
    """Kill a job at its point for the number-th time, run it again, and compare with the truth."""
    tables = TICKS[(POINTS.index(point) + number) % len(TICKS)] if point.job == JOB else ()
    if point.job != JOB:
        assert runs.whole(JOB)
    begun = time.monotonic()
    name = f"{point}, {'no turns, ' if tables else ''}{number + 1}"
    verdict.equals(f"{name}: the killed run survived", runs.killed(point, tables), False)
    verdict.equals(f"{name}: the next tick succeeds", runs.whole(JOB, tables), True)
    judge(verdict, ours, published, name)
    if point.job != JOB:
        verdict.equals(f"{name}: the next upkeep", runs.whole(point.job), True)
        judge(verdict, ours, published, f"{name}, after upkeep")
    verdict.note(f"{name}: seconds", time.monotonic() - begun)


def prove(*, full: bool, seed: int, bootstrap: str | None = None) -> Verdict:
    """Kill at each point once, in full five times; the data are the same for every seed."""
    del seed
    verdict = Verdict("kills: whatever point Spark dies at, no row is lost or doubled")
    with stage(bootstrap) as scene:
        server = SparkServer(scene.folder)
        try:
            server.start()
            with lake(scene.folder, scene.bootstrap, server.remote, {}, PLAN) as ours:
                runs = Runs(ours, server, scene.folder / "runs.log")
                published = 0
                for _ in range(RETAINED + 2):
                    publish(scene.bootstrap, trades(published, BATCH))
                    published += BATCH
                    assert runs.whole(JOB)
                judge(verdict, ours, published, "before the first kill")
                for number in range(5 if full else 1):
                    for point in POINTS:
                        publish(scene.bootstrap, trades(published, BATCH))
                        published += BATCH
                        kill_and_judge(verdict, runs, ours, point, number, published)
        finally:
            server.stop()
    return verdict


if __name__ == "__main__":
    main(prove, __doc__)
