"""Real services for the tests that need them, each started once per run and on free ports."""

import asyncio
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from hypothesis import settings
from pyspark.sql import SparkSession

from shared.settings import ENV_FILE, PREFIX

REPO = Path(__file__).parents[1]

if ENV_FILE.exists():
    raise pytest.UsageError(f"tests are of the default settings: move {ENV_FILE} aside meanwhile")

# A slow machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def free_port() -> int:
    """Return a TCP port that nothing listens on, nor on the one above it, at the moment.

    It lies below the ports that the kernel gives to clients: one of those would take the place of a
    server that is down for a while.
    """
    while True:
        port = random.randrange(29_500, 32_700, 2)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
        return port


def clean_environment() -> dict[str, str]:
    """Return this environment without settings of the project, and without pyspark's marks."""
    foreign = (PREFIX, "SPARK_")  # a Connect session in this process leaves SPARK_ marks behind
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _environment(data_dir: Path, **settings: str) -> dict[str, str]:
    return clean_environment() | {"CRYPTO_PATHS__DATA_DIR": str(data_dir)} | settings


def _wait(process: subprocess.Popen[bytes], log: Path, answers: object, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not answers():  # type: ignore[operator]  # a plain callable without arguments
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"the service did not come up:\n{log.read_text()[-3000:]}")
        time.sleep(0.1)


@pytest.fixture(scope="session")
def jars() -> None:
    """The jars of infra/jars.txt, downloaded if they are not there."""
    subprocess.run([str(REPO / "scripts/download_jars.sh")], cwd=REPO, check=True)


@pytest.fixture(scope="session")
def kafka_broker(jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap address of a real broker."""
    data_dir = tmp_path_factory.mktemp("kafka")
    bootstrap = f"127.0.0.1:{free_port()}"
    log = data_dir / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "stack.kafka_broker"],
            env=_environment(data_dir, CRYPTO_KAFKA__BOOTSTRAP_SERVERS=bootstrap),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=REPO,
        )
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def answers() -> bool:
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except Exception:  # noqa: BLE001 - Boundary: any refusal means that it is not up yet
            return False

    _wait(process, log, answers, 90)
    yield bootstrap
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def spark_server(jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The `sc://` address of a real Spark Connect server."""
    data_dir = tmp_path_factory.mktemp("spark")
    port = free_port()
    log = data_dir / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "stack.spark_server"],
            env=_environment(
                data_dir,
                CRYPTO_SPARK__REMOTE=f"sc://127.0.0.1:{port}",
                CRYPTO_SPARK__UI_PORT=str(free_port()),
                CRYPTO_SPARK__DRIVER_MEMORY="3g",
                LC_ALL="C",  # as cron gives it; for the test of a symbol in Chinese
            ),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=REPO,
        )
    _wait(process, log, lambda: b"Spark Connect listens" in log.read_bytes(), 120)
    yield f"sc://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=60)


@pytest.fixture(scope="session")
def spark(spark_server: str) -> Iterator[SparkSession]:
    """A Spark Connect session."""
    session = SparkSession.builder.remote(spark_server).getOrCreate()
    yield session
    session.stop()


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that tells nobody when it has come."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - as said
            await asyncio.sleep(0.01)
