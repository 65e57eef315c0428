"""From the exchange to gold: seconds from a trade's own time until a commit holds what follows from it.

The whole chain on one machine: the mock exchange, the collector, a broker, Spark, and Dagster's daemon,
which starts the ticks. `--rate` is in market orders per second of each of ten symbols; some fill more than
once. The first minutes, in which the JVM gets warm, do not count. Target: candles within 60 s (p95) at 5,000
trades/s.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from _ticks import CORES, Chain, daemon, settings
from _venue import addresses, simulation, write_symbols
from hudi import HudiReadOptions, HudiTableBuilder
from ingest import free_port, process
from lake import services
from rich.table import Table

from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from shared.lake.timeline import instant_at

SYMBOLS = 10
# The mock needs ten ports in a row, below those that the system gives away.
MOCK_PORT = 27950
WATCHED = ("silver_trades", "gold_ohlcv", "gold_volume_profile", "gold_volatility")
# The longest that ticks may take to come after the last judged trade.
_LAST_MINUTES = 10


def main(rate: float = 160, minutes: float = 8, warm_minutes: float = 5) -> Table:
    """Run, and return the table of figures."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        write_symbols(folder / "symbols.yaml", SYMBOLS, "[trade]")
        environment = {**settings(folder), **_collector_settings()}
        stack.enter_context(services({**os.environ, **environment}, folder))
        programs = {
            "mock": simulation(SYMBOLS, rate),
            "collector": [sys.executable, "-m", "streaming.cli", "run"],
        }
        for program, command in programs.items():
            log = folder / f"{program}.log"
            stack.enter_context(process(command, CORES, log, environment))
        stack.enter_context(daemon(folder, environment))
        time.sleep((warm_minutes + minutes) * 60)
        end_s = time.time()
        return _table(f"{name}/lake", end_s - minutes * 60, end_s)


def _collector_settings() -> dict[str, str]:
    return {
        "CRYPTO_MOCK__PORT": str(MOCK_PORT),
        **addresses(MOCK_PORT),
        "CRYPTO_STREAMING__HTTP_PORT": str(free_port()),
    }


def _table(lake: str, start_s: float, end_s: float) -> Table:
    """Judge the trades of a time, once all of them have come to the watched tables."""
    end = instant_at(datetime.fromtimestamp(end_s + 1, UTC))
    deadline = end_s + _LAST_MINUTES * 60
    while True:
        chain = Chain(lake, WATCHED)
        later = {commit.completed for commit in chain.bronze if commit.requested > end}
        if all(later & chain.reached(name).keys() for name in WATCHED):
            break
        assert time.time() < deadline, "the ticks do not come after; the logs say why"
        time.sleep(5)
    commits, times = _trades(lake, chain)
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


def _trades(lake: str, chain: Chain) -> tuple[list[str], np.ndarray]:
    """Return of each trade its commit, and its own time."""
    completed = {commit.requested: commit.completed for commit in chain.bronze}
    path = hudi_utils.table_path(lake, TABLES["bronze_trades"])
    options = HudiReadOptions(projection=["_hoodie_commit_time", "trade_time"])
    commits: list[str] = []
    times = []
    for batch in HudiTableBuilder.from_base_uri(path).build().read(options):
        rows = batch.to_pydict()
        commits += (completed[item] for item in rows["_hoodie_commit_time"])
        times += (item.timestamp() for item in rows["trade_time"])
    return commits, np.array(times)


if __name__ == "__main__":
    from rich.console import Console

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=160)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--warm-minutes", type=float, default=5)
    options = parser.parse_args()
    Console().print(main(options.rate, options.minutes, options.warm_minutes))
