"""Kill -9 of one part after another while a recording plays; the lake must not care.

`python -m tests.e2e.chaos --kills 5 FILE…` runs it in full; CI kills each part once.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from shared.market.recording import read_frames
from tests.integration.conftest import clean_environment

REPO = Path(__file__).parents[2]
PARTS = ("streaming", "kafka", "spark", "materialization")
CONTROL_PORT = 9479
Say = Callable[[str], None]


class Chaos:
    """One deployment that plays a recording, its killer, and its judge."""

    def __init__(
        self, recording: Path, data_dir: Path, port_offset: int, seed: int, speed: float = 5
    ) -> None:
        self._recording = recording
        self._speed = speed
        self._data_dir = data_dir
        self._offset = port_offset
        self._random = random.Random(seed)

    def run(self, kills: int, say: Say) -> None:
        """Deploy, kill each part `kills` times, let it end, and compare; AssertionError if wrong."""
        options = ["--recording", str(self._recording), "--speed", str(self._speed), "--rewind"]
        self._script("deploy.sh", *options, "--port-offset", str(self._offset))
        try:
            parts = [part for part in PARTS for _ in range(kills)]
            self._random.shuffle(parts)
            for part in parts:
                # A random moment, not a wait for anything.
                time.sleep(self._random.uniform(2, 8))
                pid = self._victim(part)
                os.kill(pid, signal.SIGKILL)
                say(f"killed {part}, process {pid}")
                self._until(self._is_up, 180, f"all services up after a kill of {part}")
            self._until(lambda: self._status()["finished"], 600, "the recording played to its end")
            expected = recorded_ids(self._recording)
            say(f"played; waiting for {len(expected):,} trades in silver")
            self._until(lambda: self._silver_rows() >= len(expected), 600, "every trade in silver")
            self._until(self._is_drained, 300, "nothing left in Kafka")
            self._judge(expected, say)
        finally:
            self._script("stop.sh")

    def _judge(self, expected: set[str], say: Say) -> None:
        rows = self._query("select trade_id from silver_trades where channel = 'trade'")
        found = [row["trade_id"] for row in rows]
        assert set(found) == expected, f"{len(expected ^ set(found))} ids differ"
        assert len(found) == len(expected), f"{len(found) - len(expected)} rows stand twice"
        twice = self._query(
            "select kafka_topic, kafka_partition, kafka_offset from bronze_trades"
            " group by all having count(*) > 1"
        )
        assert twice == [], twice
        received = self._query("select count(*) as n from bronze_trades")[0]["n"]
        assert self._lake("verify").returncode == 0, self._lake("verify").stdout
        say(f"{len(found):,} trades once each, from {received:,} records received over all passes")

    def _victim(self, part: str) -> int:
        if part != "materialization":
            service = next(item for item in self._monitor()["services"] if item["service"] == part)
            process = psutil.Process(service["pid"])
            children = process.children(recursive=True)
            return next((child.pid for child in children if child.name() == "java"), process.pid)
        while True:
            self._until(lambda: bool(self._run_processes()), 180, "a materialization runs")
            time.sleep(self._random.uniform(0, 15))  # a random moment of its work
            running = self._run_processes()
            if running:
                return running[0]

    def _run_processes(self) -> list[int]:
        """Return the processes that execute a Dagster run: spawned children of the daemon's tree."""
        services = self._monitor()["services"]
        daemon = next(item for item in services if item["service"] == "dagster-daemon")
        return [
            child.pid
            for child in psutil.Process(daemon["pid"]).children(recursive=True)
            if _runs_an_asset(child)
        ]

    def _is_up(self) -> bool:
        services = self._monitor()["services"]
        return bool(services) and all(
            item["state"] == "RUNNING" and item["up_seconds"] >= 3 for item in services
        )

    def _is_drained(self) -> bool:
        lag = self._monitor()["lag"]
        return bool(lag) and all(item["not_in_lake"] == 0 for item in lag)

    def _silver_rows(self) -> int:
        done = self._lake("tables", "--format", "json")
        if done.returncode:
            return 0
        return next(
            (row["rows"] for row in json.loads(done.stdout) if row["table"] == "silver_trades"), 0
        )

    def _status(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{CONTROL_PORT + self._offset}/status"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return dict(json.load(answer))

    def _monitor(self) -> dict[str, Any]:
        done = subprocess.run(
            [str(REPO / "monitor.sh"), "--json", "--data-dir", str(self._data_dir)],
            capture_output=True,
            text=True,
            check=False,
        )
        return dict(json.loads(done.stdout))

    def _query(self, sql: str) -> list[dict[str, Any]]:
        done = self._lake("sql", sql, "--format", "json")
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    def _lake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(REPO / ".venv/bin/crypto-lake"), "--data-dir", str(self._data_dir), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )

    def _script(self, name: str, *options: str) -> None:
        command = [str(REPO / name), *options, "--data-dir", str(self._data_dir)]
        environment = clean_environment()
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr

    @staticmethod
    def _until(condition: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            time.sleep(1)


def _runs_an_asset(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False  # it has ended since it was listed


def recorded_ids(recording: Path) -> set[str]:
    """Return the ids of a recording's trades."""

    def ids() -> Iterator[str]:
        for frame in read_frames(recording):
            if frame.kind == "ws" and '@trade"' in frame.raw[:60]:
                yield str(json.loads(frame.raw)["data"]["t"])

    return set(ids())


def main() -> None:
    """Run the full number of kills from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--kills", type=int, default=5, help="of each part")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=1, help="of the play, so that it lasts")
    parser.add_argument("--port-offset", type=int, default=13000)
    options = parser.parse_args()
    recording = options.recording.resolve()
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(recording, Path(folder), options.port_offset, options.seed, options.speed)
        chaos.run(options.kills, lambda text: sys.stdout.write(f"{text}\n") and sys.stdout.flush())


if __name__ == "__main__":
    main()
