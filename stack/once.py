"""Playing recordings; `--once` from the first frame to the last row of gold, without waiting for a clock."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from shared.settings import Settings
from stack.errors import StackError
from stack.lake_command import lake_rows

_POLL_S = 0.3
_STALLED_S = 120
_SHOWN_LOG = 3000
_METRIC = re.compile(r"^crypto_(\w+?)(?:_total)?(?:\{[^}]*\})? ([\d.e+]+)$", re.MULTILINE)
_BIN = Path(sys.executable).parent


def symbols_of(recordings: Sequence[str]) -> bytes:
    """Return the symbols file of what the recordings hold.

    Raises:
        StackError: they cannot be played, with the player's reason.
    """
    command = [sys.executable, "-m", "mock_exchange", "symbols", *recordings]
    listing = subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - our own program
    if listing.returncode:
        reason = listing.stderr.decode(errors="replace").strip()
        raise StackError(f"--recording: {reason or 'cannot be played'}")
    return listing.stdout


def metrics(text: str) -> dict[str, float]:
    """Return the collector's metrics, summed over connections, and how many connections there are."""
    sums: dict[str, float] = {"connections": 0}
    for name, value in _METRIC.findall(text):
        sums[name] = sums.get(name, 0) + float(value)
        sums["connections"] += name == "connected"
    return sums


def wait_until_played(settings: Settings, progress: Callable[[str], None]) -> int:
    """Wait until the mock has sent every frame and Kafka has acknowledged each; returns how many.

    Raises:
        StackError: nothing moves any more.
    """
    mock = f"http://{settings.mock.host}:{settings.mock.port + 9}/status"
    collector = f"http://{settings.streaming.host}:{settings.streaming.http_port}/metrics"
    last, moved = -1.0, time.monotonic()
    while True:
        status = httpx.get(mock, timeout=10).json()
        seen = metrics(httpx.get(collector, timeout=10).text)
        sent, total = status["frames_sent"], status["frames_total"]
        progress(f"{sent:,} of {total:,} frames sent, {seen['produced']:,.0f} records in Kafka")
        # Each connection has received one acknowledgement beside its frames.
        has_all = seen["received"] >= total + seen["connections"]
        # While the spill is drained only the records in memory are buffered, the rest is on disk.
        waiting = seen["buffered"] + seen["spill_records"]
        if status["finished"] and has_all and waiting == 0:
            return int(total)
        if sent + seen["produced"] != last:
            last, moved = sent + seen["produced"], time.monotonic()
        elif time.monotonic() - moved > _STALLED_S:
            raise StackError(f"nothing moved for {_STALLED_S} s: {status}, {seen}")
        time.sleep(_POLL_S)


def row_counts(environment: dict[str, str]) -> dict[str, int]:
    """Return the rows of every table, as `crypto-lake` counts them; raises as `lake_rows`."""
    return {row["table"]: row["rows"] for row in lake_rows("tables", environment)}


def fill_lake(
    environment: dict[str, str], log: Path, progress: Callable[[str], None]
) -> dict[str, int]:
    """Run ticks until one brings nothing new; returns the rows per table.

    Raises:
        StackError: a tick failed, or there is no lake after it.
    """
    counts: dict[str, int] = {}
    for number in range(1, 100):
        progress(f"tick {number}, {sum(counts.values()):,} rows so far")
        _tick(environment, log)
        try:
            after = row_counts(environment)
        except StackError as error:
            raise StackError(f"no lake after a tick: {error}; see {log}") from error
        if after == counts:
            break
        counts = after
    return counts


def _tick(environment: dict[str, str], log: Path) -> None:
    command = [str(_BIN / "dagster"), "job", "execute"]
    command += ["-m", "crypto_pipeline.definitions", "-j", "lake_tick"]
    with log.open("ab") as output:
        done = subprocess.run(  # noqa: S603 - our own program
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False
        )
    if done.returncode:
        end = log.read_text(errors="replace")[-_SHOWN_LOG:]
        raise StackError(f"the tick failed with exit code {done.returncode}; {log} ends:\n{end}")
