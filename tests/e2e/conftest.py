"""Fixtures that drive the project as a user does: through its scripts and its command line."""

import csv
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared.market.recording import read_frames
from tests.integration.conftest import clean_environment

REPO = Path(__file__).parents[2]
MATERIAL = REPO.parent / "shared"
CAPTURES = MATERIAL / "captures"
ARCHIVES = MATERIAL / "archives"

needs_material = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the recordings in ../shared are not on this machine"
)


@dataclass(frozen=True)
class Deployment:
    """A stack of this checkout with its own data and ports."""

    data_dir: Path
    port_offset: int

    def script(
        self, name: str, *options: str, timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the repository's scripts and return what it printed, exit code included."""
        command = [str(REPO / name), *options, "--data-dir", str(self.data_dir)]
        if name == "deploy.sh":
            command += ["--port-offset", str(self.port_offset)]
        return subprocess.run(
            command,
            cwd=REPO,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=clean_environment(),
        )

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Ask the lake through `crypto-lake sql`."""
        done = subprocess.run(
            [
                str(REPO / ".venv/bin/crypto-lake"),
                "--data-dir",
                str(self.data_dir),
                "sql",
                sql,
                "--format",
                "json",
            ],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Deployment]:
    """A deployment that is stopped and removed whatever the tests of the module did."""
    data_dir = tmp_path_factory.mktemp("data")
    stack = Deployment(data_dir, port_offset=getattr(request.module, "PORT_OFFSET", 11000))
    yield stack
    stopped = stack.script("stop.sh")
    shutil.rmtree(data_dir)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


def recorded_messages(file: str, stream_kind: str) -> Iterator[dict[str, Any]]:
    """Yield the data of every recorded frame whose stream is of one kind, such as `trade`."""
    for frame in read_frames(CAPTURES / file):
        if frame.kind == "ws":
            message = json.loads(frame.raw, parse_float=Decimal)
            if message.get("stream", "").split("@")[1:2] == [stream_kind]:
                yield message["data"]


def archive_klines(file: str) -> list[dict[str, str]]:
    """Return the exchange's own candles of one archive file."""
    with (ARCHIVES / file).open(newline="") as lines:
        return list(csv.DictReader(lines))
