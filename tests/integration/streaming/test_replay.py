"""`crypto-stream replay` into a real broker."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from shared.market.codec import split_raw
from shared.market.recording import Frame, FrameKind, encode_frame
from shared.market.topics import Feed
from tests.conftest import free_port
from tests.integration.conftest import REPO, clean_environment, events, records

pytestmark = [pytest.mark.kafka]

COUNT = 3000


def recording(path: Path) -> list[Frame]:
    frames = []
    for number in range(1, COUNT + 1):
        data = {"e": "aggTrade", "E": number, "T": number, "a": number, "m": False}
        data |= {"f": number, "l": number, "p": "1.50", "q": "2"}
        raw = msgspec.json.encode({"stream": "btcusdt@aggTrade", "data": data}).decode()
        url, received = "ws://127.0.0.1:1/stream", 1_700_000_000_000_000_000 + number * 1_000_000
        frames.append(Frame(received, FrameKind.WS, url, raw, "binance-spot-7", 3))
    path.write_bytes(gzip.compress(b"".join(map(encode_frame, frames))))
    return frames


def replay(bootstrap: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    symbols = folder / "symbols.yaml"
    symbols.write_text("version: 1\nexchanges: {}\n")
    environment = {
        "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "CRYPTO_PATHS__SYMBOLS_FILE": str(symbols),
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "streaming.cli", "replay", str(folder), *arguments]
    return subprocess.run(
        command,
        env=clean_environment() | environment,
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("speed", ["max", "10"])
def test_a_recording_is_in_kafka_with_its_own_times(topics: str, tmp_path: Path, speed: str):
    frames = recording(tmp_path / "r.jsonl.gz")
    done = replay(topics, tmp_path, "--speed", speed)
    assert done.returncode == 0, done.stderr
    assert f"{COUNT:,}" in done.stdout
    trades = events(topics, Feed.TRADES)
    assert [trade.trade_id for trade in trades] == [str(n) for n in range(1, COUNT + 1)]
    assert [trade.received_ns for trade in trades] == [frame.recv_ns for frame in frames]
    origins = {trade.origin for trade in trades}
    assert {(item.source, item.connection, item.epoch) for item in origins} == {
        ("binance_websocket", "binance-spot-7", 3)
    }
    raw = [split_raw(value) for _, value in records(topics, Feed.RAW_EVENTS)]
    assert [payload.decode() for _, payload in raw] == [frame.raw for frame in frames]
    (value, *_) = [value for _, value in records(topics, Feed.TRADES)]
    assert json.loads(value)["pipeline_version"].endswith("+replay")


def test_without_a_broker_it_says_so(tmp_path: Path):
    recording(tmp_path / "r.jsonl.gz")
    done = replay(f"127.0.0.1:{free_port()}", tmp_path)
    assert done.returncode == 2
    assert "no Kafka broker answers" in done.stderr
