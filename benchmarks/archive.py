"""A day of the archive into Kafka: download, checksum, unpack, parse, publish, acknowledge.

Beside it the floor: the same zip unpacked and split by Python's csv module, nothing made of the rows.
The broker and the mock exchange are started for the run. Target on 2 cores: a day of 5,000,000
aggregate trades within five minutes.
"""

import csv
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka.admin import AdminClient
from rich.table import Table

REPO = Path(__file__).parent.parent
ROWS = 5_000_000
DAY = "2024-08-08"
DAY_MS = 1_723_075_200_000
KAFKA, MOCK_PORT = "127.0.0.1:19692", 19670
PLACE = "data/spot/daily/aggTrades/BTCUSDT"


def write_day(folder: Path) -> Path:
    """Write a day's zip as the venue does."""
    (folder / PLACE).mkdir(parents=True)
    path = folder / PLACE / f"BTCUSDT-aggTrades-{DAY}.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle,
        bundle.open(f"BTCUSDT-aggTrades-{DAY}.csv", "w") as file,
    ):
        for start in range(0, ROWS, 100_000):
            lines = (
                f"{3_100_000_000 + n},{60_000 + n % 977}.{n % 100:02}000000,1.{n % 99_991:05}000,"
                f"{3_700_000_000 + 2 * n},{3_700_000_001 + 2 * n},{DAY_MS + n // 60},"
                f"{n % 3 == 0},True\n"
                for n in range(start + 1, min(start + 100_000, ROWS) + 1)
            )
            file.write("".join(lines).encode())
    return path


def floor_s(path: Path) -> float:
    """Return how long it takes to unpack the file and split its lines."""
    start = time.perf_counter()
    with zipfile.ZipFile(path) as bundle, bundle.open(bundle.namelist()[0]) as file:
        rows = sum(1 for _ in csv.reader(io.TextIOWrapper(file)))
    assert rows == ROWS
    return time.perf_counter() - start


def backfill_s(environment: dict[str, str]) -> tuple[float, float]:
    """Return seconds and seconds of processor time of the command."""
    line = [sys.executable, "-m", "streaming.cli", "backfill", "--json", "--channel", "aggTrade"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(
        [*line, "--from", DAY, "--to", DAY],
        env=environment,
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout + done.stderr
    (day,) = json.loads(done.stdout)
    assert (day["content"]["rows"], day["content"]["missing"]) == (ROWS, 0)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, used


@contextmanager
def services(environment: dict[str, str], folder: Path) -> Iterator[None]:
    subprocess.run([str(REPO / "scripts/download_jars.sh")], check=True)
    mock = ("mock_exchange", "simulate", "--symbols", "", "--archive", str(folder))
    with (folder / "services.log").open("wb") as log:
        running = [
            subprocess.Popen(
                [sys.executable, "-m", *module], env=environment, stdout=log, stderr=log, cwd=REPO
            )
            for module in (("stack.kafka_broker",), mock)
        ]
    try:
        AdminClient({"bootstrap.servers": KAFKA, "log_level": 0}).list_topics(timeout=60)
        setup = [sys.executable, "scripts/setup_kafka.py"]
        subprocess.run(setup, env=environment, cwd=REPO, check=True, capture_output=True)
        urllib.request.urlopen(f"http://127.0.0.1:{MOCK_PORT + 9}/status", timeout=60).close()
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def main() -> Table:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        symbols = folder / "symbols.yaml"
        symbols.write_text("version: 1\nexchanges: {binance: {spot: {BTCUSDT: {}}}}\n")
        environment = {
            **os.environ,
            "CRYPTO_PATHS__DATA_DIR": name,
            "CRYPTO_PATHS__SYMBOLS_FILE": str(symbols),
            "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": KAFKA,
            "CRYPTO_BINANCE__ARCHIVE_URL": f"http://127.0.0.1:{MOCK_PORT}",
            "CRYPTO_MOCK__PORT": str(MOCK_PORT),
        }
        path = write_day(folder)
        with services(environment, folder):
            seconds, used = backfill_s(environment)
        floor = floor_s(path)
    table = Table("measure", "value")
    table.add_row(
        f"{ROWS:,} rows, archive → Kafka", f"{seconds:.0f} s, {ROWS / seconds:,.0f} rows/s"
    )
    table.add_row("processor time of it", f"{used:.0f} s, {used / ROWS * 1e6:.1f} µs a row")
    table.add_row("floor: unpacked and split", f"{floor:.0f} s, {ROWS / floor:,.0f} rows/s")
    return table


if __name__ == "__main__":
    main()
