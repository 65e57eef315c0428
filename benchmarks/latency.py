"""From the exchange to gold: seconds from a trade's own time until a commit holds what follows from it.

The whole chain on one machine: the mock exchange, the collector, a broker, Spark, and Dagster's daemon,
which starts the ticks. `--rate` is in market orders per second of each of ten symbols; some fill more than
once. The first minutes, in which the JVM gets warm, do not count. Target: candles within 60 s (p95) at 5,000
trades/s.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from bisect import bisect_left
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import psutil
from _venue import addresses, simulation, write_symbols
from hudi import HudiReadOptions, HudiTableBuilder
from ingest import free_port, process
from lake import KAFKA, REPO, SPARK, services
from rich.table import Table

from crypto_pipeline.assets.increments import SourceCheckpoint
from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from shared.lake.timeline import instant_at, moment

SYMBOLS = 10
# The mock needs ten ports in a row, below those that the system gives away.
MOCK_PORT = 27950
WATCHED = ("silver_trades", "gold_ohlcv", "gold_volume_profile", "gold_volatility")
# The longest that ticks may take to come after the last judged trade.
_LAST_MINUTES = 10
_CORES = set(os.sched_getaffinity(0))
_BIN = Path(sys.executable).parent


class Chain:
    """What the commits of a lake tell: when a row of bronze trades had come to a table.

    Times are seconds since the epoch; commits of bronze are named by their completion.
    """

    def __init__(self, lake: str) -> None:
        self._lake = lake
        self.bronze = hudi_utils.commits(lake, TABLES["bronze_trades"])
        self._covering = {name: self._covered(name) for name in WATCHED}

    def trades(self) -> tuple[list[str], np.ndarray]:
        """Return of each trade its commit, and its own time."""
        completed = {commit.requested: commit.completed for commit in self.bronze}
        path = hudi_utils.table_path(self._lake, TABLES["bronze_trades"])
        options = HudiReadOptions(projection=["_hoodie_commit_time", "trade_time"])
        commits: list[str] = []
        times = []
        for batch in HudiTableBuilder.from_base_uri(path).build().read(options):
            rows = batch.to_pydict()
            commits += (completed[item] for item in rows["_hoodie_commit_time"])
            times += (item.timestamp() for item in rows["trade_time"])
        return commits, np.array(times)

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


def main(rate: float = 160, minutes: float = 8, warm_minutes: float = 5) -> Table:
    """Run, and return the table of figures."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        environment = _prepared(folder)
        stack.enter_context(services({**os.environ, **environment}, folder))
        programs = {
            "mock": simulation(SYMBOLS, rate),
            "collector": [sys.executable, "-m", "streaming.cli", "run"],
            "daemon": [str(_BIN / "dagster-daemon"), "run", "-m", "crypto_pipeline.definitions"],
        }
        for program, command in programs.items():
            log = folder / f"{program}.log"
            running = stack.enter_context(process(command, _CORES, log, environment))
            stack.callback(_end_children, running)
        time.sleep((warm_minutes + minutes) * 60)
        end_s = time.time()
        return _table(f"{name}/lake", end_s - minutes * 60, end_s)


def _end_children(program: psutil.Process) -> None:
    """End what a program has started: Dagster's daemon leaves the tick that is on its way running."""
    for child in program.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()


def _prepared(folder: Path) -> dict[str, str]:
    """Write the symbols and Dagster's settings; returns the environment of all programs."""
    write_symbols(folder / "symbols.yaml", SYMBOLS, "[trade]")
    (folder / "dagster").mkdir()
    shutil.copy(REPO / "config" / "dagster.yaml", folder / "dagster")
    return {
        "CRYPTO_MOCK__PORT": str(MOCK_PORT),
        **addresses(MOCK_PORT),
        "CRYPTO_STREAMING__HTTP_PORT": str(free_port()),
        "CRYPTO_PATHS__DATA_DIR": str(folder),
        "CRYPTO_PATHS__SYMBOLS_FILE": str(folder / "symbols.yaml"),
        "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": KAFKA,
        "CRYPTO_SPARK__REMOTE": SPARK,
        "CRYPTO_SPARK__UI_PORT": str(free_port()),
        "DAGSTER_HOME": str(folder / "dagster"),
    }


def _table(lake: str, start_s: float, end_s: float) -> Table:
    """Judge the trades of a time, once all of them have come to the watched tables."""
    end = instant_at(datetime.fromtimestamp(end_s + 1, UTC))
    deadline = end_s + _LAST_MINUTES * 60
    while True:
        chain = Chain(lake)
        later = {commit.completed for commit in chain.bronze if commit.requested > end}
        if all(later & chain.reached(name).keys() for name in WATCHED):
            break
        assert time.time() < deadline, "the ticks do not come after; the logs say why"
        time.sleep(5)
    commits, times = chain.trades()
    is_judged = (times >= start_s) & (times < end_s)
    rate = is_judged.sum() / (end_s - start_s)
    table = Table(title=f"Event to commit, s, at {rate:,.0f} trades/s of {SYMBOLS} symbols")
    for column in ("table", "p50", "p95", "most"):
        table.add_column(column, justify="right")
    for name in WATCHED:
        reached = chain.reached(name)
        at = np.array([reached.get(commit, np.nan) for commit in commits])
        waited = (at - times)[is_judged]
        assert not np.isnan(waited).any(), "every judged trade has come to every table"
        figures = (*np.percentile(waited, [50, 95]), waited.max())
        table.add_row(name, *(f"{figure:.1f}" for figure in figures))
    return table


if __name__ == "__main__":
    from rich.console import Console

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=160)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--warm-minutes", type=float, default=5)
    options = parser.parse_args()
    Console().print(main(options.rate, options.minutes, options.warm_minutes))
