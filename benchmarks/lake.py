"""The lake on real services: Kafka to bronze beside plain Parquet, and whole ticks, idle and full.

The broker and Spark are started for the run. Warm figures: each job runs once before it is timed.
Targets on 2 cores: bronze at 0.65 of plain Parquet, an idle tick within 15 s, 50,000 trades in 60 s, and
of a tick over fifty symbol-days at most 30 s that are not any table's or check's own.
"""

import json
import operator
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from rich.table import Table

from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import bronze
from crypto_pipeline.utils import hudi_utils
from crypto_pipeline.utils.broker import watermarks
from crypto_pipeline.utils.kafka_utils import next_range
from crypto_pipeline.utils.spark_utils import connect, read_kafka
from shared.market.codec import Envelope
from shared.market.events import Origin, Side, Source, Trade
from shared.market.instruments import Exchange, Instrument, Market
from shared.market.topics import Feed, topic_name

REPO = Path(__file__).parent.parent
ROWS = 400_000
TICK_TRADES = 50_000
SYMBOLS = [f"S{number:02}USDT" for number in range(50)]
RUNS = 3
KAFKA, SPARK = "127.0.0.1:19592", "sc://127.0.0.1:19502"
TOPIC = topic_name(Exchange.BINANCE, Feed.TRADES)
BTC = Instrument(Exchange.BINANCE, Market.SPOT, "BTCUSDT", "BTCUSDT")
_STEP = re.compile(r'Finished execution of step "(.+?)" in (\S+)\.')
_TIME = re.compile(r"(?:(\d+)m)?(?:([\d.]+)s)?(?:([\d.]+)ms)?")
START_US = 1_723_161_300_000_000


def publish(
    first: int,
    count: int,
    symbols: Sequence[str] = (BTC.symbol,),
    start_us: int = START_US,
    step_us: int = 1000,
) -> None:
    """Publish trades of these symbols in turn, one each `step_us`, as if they came live: no id is left out."""
    origins = [
        Origin(
            Exchange.BINANCE,
            Market.SPOT,
            symbol,
            symbol,
            "trade",
            Source.BINANCE_WEBSOCKET,
            "bench",
            1,
        )
        for symbol in symbols
    ]
    envelopes = [Envelope(origin, "1.0.0") for origin in origins]
    producer = Producer({"bootstrap.servers": KAFKA, "linger.ms": 50, "enable.idempotence": True})
    for number in range(first, first + count):
        place = number % len(symbols)
        time_us = start_us + number * step_us
        event = Trade(
            origin=origins[place],
            received_ns=time_us * 1000,
            event_time=time_us,
            trade_id=str(number // len(symbols)),
            price=Decimal(6_000_000 + number % 5000).scaleb(-2),
            quantity=quantity(number),
            side=Side.BUY if number % 3 else Side.SELL,
            trade_time=time_us,
        )
        producer.produce(TOPIC, envelopes[place].typed(event, 1), f"spot:{symbols[place]}")
        if number % 10_000 == 0:
            producer.flush()
    producer.flush()


def quantity(number: int) -> Decimal:
    """Return the base quantity of the published trade of this number."""
    return Decimal(1 + number % 977).scaleb(-5)


def ratio(folder: Path) -> list[tuple[str, str]]:
    """Time Kafka → bronze and Kafka → Parquet on the same records, in turn."""
    spark = connect(SPARK)
    covered = next_range({}, watermarks(KAFKA, [TOPIC]), 10 * ROWS)
    seconds: dict[str, list[float]] = {"bronze": [], "parquet": []}
    for run in range(RUNS + 1):
        for name, taken in seconds.items():
            rows = bronze.good(
                bronze.parse(read_kafka(spark, KAFKA, covered), Feed.TRADES, [BTC]), Feed.TRADES
            )
            target = folder / f"{name}-{run}"
            start = time.perf_counter()
            if name == "bronze":
                hudi_utils.write(rows, TABLES["bronze_trades"], str(target), covered)
            else:
                writer = rows.write.option("compression", "zstd").partitionBy("symbol", "date")
                writer.parquet(str(target))
            if run:
                taken.append(time.perf_counter() - start)
            shutil.rmtree(target)
    rates = {name: covered.span / statistics.median(values) for name, values in seconds.items()}
    return [
        ("Kafka → bronze", f"{rates['bronze']:,.0f} rows/s"),
        ("the same job → plain Parquet", f"{rates['parquet']:,.0f} rows/s"),
        ("ratio (target 0.65)", f"{rates['bronze'] / rates['parquet']:.2f}"),
    ]


def tick(environment: dict[str, str]) -> tuple[float, dict[str, float]]:
    """Run the whole job as Dagster's daemon does, in a process of its own; returns its and its steps' seconds."""
    dagster = str(Path(sys.executable).parent / "dagster")
    command = [dagster, "job", "execute", "-m", "crypto_pipeline.definitions", "-j", "lake_tick"]
    start = time.perf_counter()
    done = subprocess.run(
        command, env=environment, cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    taken = time.perf_counter() - start
    steps = {name: _seconds(text) for name, text in _STEP.findall(done.stderr)}
    assert steps, "Dagster logs each step's time"
    return taken, steps


def _seconds(text: str) -> float:
    """Read Dagster's way to write a time: 15ms, 2.31s, 1m23s."""
    minutes, seconds, milliseconds = re.fullmatch(_TIME, text).groups("0")
    return 60 * int(minutes) + float(seconds) + float(milliseconds) / 1000


def ticks(environment: dict[str, str]) -> list[tuple[str, str]]:
    first, _ = tick(environment)
    full = []
    for run in range(RUNS):
        publish(ROWS + run * TICK_TRADES, TICK_TRADES)
        full.append(tick(environment))
    taken, steps = sorted(full, key=operator.itemgetter(0))[RUNS // 2]
    idle = statistics.median(tick(environment)[0] for _ in range(RUNS))
    publish(ROWS + RUNS * TICK_TRADES, TICK_TRADES, SYMBOLS)
    wide, wide_steps = tick(environment)
    return [
        (f"first tick, with {ROWS:,} trades", f"{first:.1f} s"),
        (f"tick with {TICK_TRADES:,} new trades (target 60 s)", f"{taken:.1f} s"),
        *((f"  {name}", f"{seconds:.1f} s") for name, seconds in steps.items() if seconds >= 1),
        ("  outside the steps", f"{taken - sum(steps.values()):.1f} s"),
        ("tick with nothing new (target 15 s)", f"{idle:.1f} s"),
        (f"tick with as many trades of {len(SYMBOLS)} new symbol-days", f"{wide:.1f} s"),
        (
            f"  outside its {len(wide_steps)} steps (target 30 s)",
            f"{wide - sum(wide_steps.values()):.1f} s",
        ),
    ]


@contextmanager
def services(environment: dict[str, str], folder: Path) -> Iterator[None]:
    subprocess.run([str(REPO / "scripts/download_jars.sh")], check=True)
    modules = ("stack.kafka_broker", "stack.spark_server")
    with (folder / "services.log").open("wb") as log:
        running = [
            subprocess.Popen(
                [sys.executable, "-m", module], env=environment, stdout=log, stderr=log, cwd=REPO
            )
            for module in modules
        ]
    try:
        admin = AdminClient({"bootstrap.servers": KAFKA, "log_level": 0})
        admin.list_topics(timeout=60)
        setup = [sys.executable, "scripts/setup_kafka.py"]
        subprocess.run(setup, env=environment, cwd=REPO, check=True, capture_output=True)
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def main() -> Table:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dagster").mkdir()
        spot = {symbol: {"channels": ["trade"]} for symbol in (BTC.symbol, *SYMBOLS)}
        symbols = {"version": 1, "exchanges": {"binance": {"spot": spot}}}
        (folder / "symbols.yaml").write_text(json.dumps(symbols))
        shutil.copy(REPO / "config" / "dagster.yaml", folder / "dagster")
        environment = {
            **os.environ,
            "CRYPTO_PATHS__DATA_DIR": name,
            "CRYPTO_PATHS__SYMBOLS_FILE": f"{name}/symbols.yaml",
            "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": KAFKA,
            "CRYPTO_SPARK__REMOTE": SPARK,
            "CRYPTO_SPARK__UI_PORT": "19540",
            "DAGSTER_HOME": f"{name}/dagster",
        }
        with services(environment, folder):
            publish(0, ROWS)
            table = Table("measure", "value")
            for row in (*ratio(folder), *ticks(environment)):
                table.add_row(*row)
        return table


if __name__ == "__main__":
    main()
