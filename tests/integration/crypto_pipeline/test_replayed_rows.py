"""A live run with the recorder on, and its replay: the lake cannot tell them apart."""

import hashlib
import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from shared.market.instruments import Market
from shared.market.recording import read_frames
from shared.market.topics import Feed
from tests.conftest import free_port
from tests.integration.conftest import (
    CAPTURES,
    REPO,
    clean_environment,
    fresh_topics,
    mock_exchange,
    needs_captures,
    records,
    running,
    until,
)
from tests.integration.crypto_pipeline.conftest import Lake, open_lake

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.timeout(900), needs_captures]

FILES = {
    Market.SPOT: CAPTURES / "binance_spot_20211012.jsonl.gz",
    Market.UM: CAPTURES / "binance_um_20210722.jsonl.gz",
}
SILVER = ("silver_trades", "silver_quotes", "silver_book")
TICK = ("bronze_trades", "bronze_depth", "bronze_quotes", *SILVER)


def symbols_text() -> str:
    """Return a symbols file of what the recordings hold."""
    markets: dict[str, dict[str, dict[str, list[str]]]] = {}
    for market, file in FILES.items():
        for frame in read_frames(file):
            if frame.raw.startswith('{"stream":"'):
                stream = frame.raw[11 : frame.raw.index('"', 11)]
                symbol, _, channel = stream.partition("@")
                of_market = markets.setdefault(market.value, {})
                channels = of_market.setdefault(symbol.upper(), {"channels": []})["channels"]
                if channel not in channels:
                    channels.append(channel)
    return json.dumps({"version": 1, "exchanges": {"binance": markets}})


def run_live(bootstrap: str, symbols: Path, recordings: Path, folder: Path) -> None:
    """Let the mock play the files to a collector that records, to their end."""
    with ExitStack() as scene:
        names = [str(file) for file in FILES.values()]
        log = folder / "mock.log"
        venue = scene.enter_context(mock_exchange(free_port(), log, "play", *names))
        environment = venue.environment | {
            "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "CRYPTO_STREAMING__HTTP_PORT": str(free_port()),
            "CRYPTO_PATHS__SYMBOLS_FILE": str(symbols),
            "CRYPTO_RECORDER__ENABLED": "true",
            "CRYPTO_RECORDER__DIR": str(recordings),
        }
        log = folder / "streaming.log"
        service = scene.enter_context(running(["streaming.cli", "run"], environment, log))
        until(lambda: venue.status().get("finished", False), 120, f"all played; see {log}")
        service.send_signal(signal.SIGTERM)
        assert service.wait(timeout=40) == 0, log.read_text()


def replay(bootstrap: str, symbols: Path, recordings: Path) -> None:
    """Bring the recordings into Kafka as fast as it takes them."""
    done = subprocess.run(
        [sys.executable, "-m", "streaming.cli", "replay", str(recordings), "--speed", "max"],
        env=clean_environment()
        | {
            "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "CRYPTO_PATHS__SYMBOLS_FILE": str(symbols),
        },
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def hashes(lake: Lake) -> dict[str, tuple[int, str]]:
    """Return the number of rows of each silver table, and a hash of them in order of their text."""
    found = {}
    for name in SILVER:
        rows = sorted(
            row["row"] for row in lake.read(name).selectExpr("to_json(struct(*)) as row").collect()
        )
        found[name] = (len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest())
    return found


def test_a_replay_at_full_speed_gives_the_rows_of_the_live_run(
    kafka_broker: str,
    spark_server: str,
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recordings = tmp_path / "recordings"
    found = {}
    for run in ("live", "replay"):
        folder = tmp_path / run
        folder.mkdir()
        with fresh_topics(kafka_broker) as bootstrap:
            lake = open_lake(bootstrap, spark_server, spark, folder, monkeypatch)
            symbols = folder / "symbols.yaml"
            symbols.write_text(symbols_text())
            if run == "live":
                run_live(bootstrap, symbols, recordings, folder)
            else:
                replay(bootstrap, symbols, recordings)
            assert records(bootstrap, Feed.DEAD_LETTERS) == []
            lake.tick(*TICK)
            found[run] = hashes(lake)
    assert min(rows for rows, _ in found["live"].values()) > 0
    assert found["replay"] == found["live"]
