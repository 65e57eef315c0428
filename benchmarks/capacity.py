"""Trades a second from Kafka to gold when they do not end: ticks one after another, as Dagster's daemon starts them.

More lie in Kafka than a tick may take, of ten symbols, 20,000 for each second of their own time. Each tick
fills the tables that every tick fills and a portion of the others; upkeep comes when its hour does. The first
tick warms the JVM and does not count. Target on 2 cores: 20,000 trades/s.
"""

import argparse
import json
import os
import tempfile
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from _ticks import Chain, daemon, settings
from lake import publish, quantity, services
from rich.table import Table

from crypto_pipeline.tables import EACH_TICK, TABLES
from crypto_pipeline.utils import hudi_utils
from shared.settings import DagsterSettings

NAMES = ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA", "LINK", "LTC", "TRX", "BNB")
SYMBOLS = [f"{name}USDT" for name in NAMES]
STEP_US = 50
FILLED = tuple(name for name in EACH_TICK if name not in {"bronze_trades", "bronze_raw_events"})
A_TICK = DagsterSettings.model_fields["max_rows_per_tick"].default
_LONGEST_S = 300
"""For one tick."""


def main(ticks: int = 4) -> Table:
    """Run as many full ticks as wanted after the first, and return the table of figures."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        spot = {symbol: {"channels": ["trade"]} for symbol in SYMBOLS}
        symbols = {"version": 1, "exchanges": {"binance": {"spot": spot}}}
        (folder / "symbols.yaml").write_text(json.dumps(symbols))
        environment = settings(folder)
        stack.enter_context(services({**os.environ, **environment}, folder))
        count = A_TICK * (ticks + 1)
        publish(0, count, SYMBOLS, int(time.time() * 1e6) - count * STEP_US, STEP_US)
        stack.enter_context(daemon(folder, environment))
        finished = _finished(f"{name}/lake", count, ticks)
        _judge(f"{name}/lake", count)
        return _table(*finished)


def _finished(lake: str, count: int, ticks: int) -> tuple[Chain, dict[str, int]]:
    """Wait until all trades have come to all tables; returns how many each commit of bronze brought, in order."""
    spec = TABLES["bronze_trades"]
    deadline = time.monotonic() + _LONGEST_S * (ticks + 2)
    while True:
        chain = Chain(lake, FILLED)
        rows = {item.completed: hudi_utils.rows_of(lake, spec, item) for item in chain.bronze}
        held = sum(rows.values())
        if held == count and all(chain.reached(name).keys() == rows.keys() for name in FILLED):
            return chain, dict(sorted(rows.items()))
        assert time.monotonic() < deadline, f"{held:,} of {count:,} trades; the logs say why"
        time.sleep(1)


def _judge(lake: str, count: int) -> None:
    """Compare the days' candles with what was published: figures of a lake that lost a trade count for nothing."""
    columns = ("interval", "trade_count", "volume")
    candles = hudi_utils.read_small(lake, TABLES["gold_ohlcv"], columns=columns)
    days = [row for row in candles if row["interval"] == "1d"]
    held = sum(row["trade_count"] for row in days), sum(row["volume"] for row in days)
    assert held == (count, sum(map(quantity, range(count)))), f"gold holds {held}"


def _table(chain: Chain, rows: dict[str, int]) -> Table:
    """Tell how fast trades came to each table, from the end of the first tick's to that of the last's."""
    table = Table(title=f"Ticks of up to {A_TICK:,} trades of {len(SYMBOLS)} symbols")
    for column in ("table", "trades/s", "least of a tick", "ticks"):
        table.add_column(column, justify="right")
    for name in FILLED:
        reached = chain.reached(name)
        seconds = {now: reached[now] - reached[before] for before, now in pairwise(rows)}
        rate = sum(rows[at] for at in seconds) / sum(seconds.values())
        least = min(rows[at] / taken for at, taken in seconds.items())
        table.add_row(name, f"{rate:,.0f}", f"{least:,.0f}", str(len(seconds)))
    return table


if __name__ == "__main__":
    from rich.console import Console

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=4)
    Console().print(main(parser.parse_args().ticks))
