"""The collector at its limits: little room, no broker, a topic that goes away, a stop in full flow."""

import json
import signal
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from shared.market.codec import split_raw
from shared.market.recording import read_frames
from shared.market.topics import Feed
from tests.conftest import free_port
from tests.integration.conftest import (
    CAPTURES,
    Venue,
    get_json,
    mock_exchange,
    needs_captures,
    records,
    running,
    until,
)

pytestmark = [pytest.mark.kafka]

UM_2021 = CAPTURES / "binance_um_20210722.jsonl.gz"


def settings(venue: Venue, bootstrap: str, folder: Path, symbols: dict[str, list[str]]):
    """Return the collector's environment for spot symbols, and its readiness address."""
    path, http = folder / "symbols.yaml", free_port()
    market = "um" if any("depth@100ms" in channels for channels in symbols.values()) else "spot"
    lines = ["version: 1", "exchanges:", "  binance:", f"    {market}:"]
    for symbol, channels in symbols.items():
        lines += [f"      {symbol}:", f"        channels: [{', '.join(channels)}]"]
    path.write_text("\n".join(lines) + "\n")
    environment = venue.environment | {
        "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "CRYPTO_STREAMING__HTTP_PORT": str(http),
        "CRYPTO_PATHS__SYMBOLS_FILE": str(path),
    }
    return environment, f"http://127.0.0.1:{http}/readyz"


def logged(log: Path, event: str) -> list[dict[str, object]]:
    """Return the lines of the service's log with one event."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


@needs_captures
def test_with_hardly_any_room_every_frame_still_arrives_in_order(topics: str, tmp_path: Path):
    recorded = [frame.raw for frame in read_frames(UM_2021) if frame.kind == "ws"]
    streams = sorted({json.loads(raw)["stream"] for raw in recorded})
    symbols: dict[str, list[str]] = {}
    for stream in streams:
        symbol, _, channel = stream.partition("@")
        symbols.setdefault(symbol.upper(), []).append(channel)
    log = tmp_path / "streaming.log"
    with mock_exchange(22010, tmp_path / "mock.log", "play", str(UM_2021)) as venue:
        environment, _ = settings(venue, topics, tmp_path, symbols)
        tiny = {
            "CRYPTO_STREAMING__HIGH_WATER_FRAMES": "100",
            "CRYPTO_STREAMING__LOW_WATER_FRAMES": "10",
            "CRYPTO_KAFKA__QUEUE_MESSAGES": "1000",
            "CRYPTO_KAFKA__BATCH_MESSAGES": "10",
        }
        with running(["streaming.cli", "run"], environment | tiny, log) as service:
            until(
                lambda: len(records(topics, Feed.RAW_EVENTS)) >= len(recorded),
                60,
                f"all played and taken; see {log}",
            )
            service.send_signal(signal.SIGTERM)
            assert service.wait(timeout=30) == 0, log.read_text()
    raw = [split_raw(value)[1].decode() for _, value in records(topics, Feed.RAW_EVENTS)]
    for stream in streams:
        head = f'{{"stream":"{stream}"'
        mine = [text for text in raw if text.startswith(head)]
        assert mine == [text for text in recorded if text.startswith(head)]


def test_a_stop_in_full_flow_flushes_all_that_was_taken(topics: str, tmp_path: Path):
    log = tmp_path / "streaming.log"
    with mock_exchange(22020, tmp_path / "mock.log", "simulate", "--rate", "500") as venue:
        environment, ready = settings(venue, topics, tmp_path, {"BTCUSDT": ["trade", "aggTrade"]})
        with running(["streaming.cli", "run"], environment, log) as service:
            until(lambda: (get_json(ready) or {}).get("ready", False), 30, f"ready; see {log}")
            service.send_signal(signal.SIGTERM)
            assert service.wait(timeout=30) == 0, log.read_text()
    (last,) = logged(log, "metrics")
    assert len(records(topics, Feed.RAW_EVENTS)) == last["received"]
    assert (last["buffered"], last["failed"], last["connected"]) == (0, 0, 0)
    assert logged(log, "stopped")[0]["undelivered"] == 0


def test_a_record_that_cannot_be_delivered_stops_the_service(topics: str, tmp_path: Path):
    log = tmp_path / "streaming.log"
    with mock_exchange(22030, tmp_path / "mock.log", "simulate", "--rate", "50") as venue:
        environment, ready = settings(venue, topics, tmp_path, {"BTCUSDT": ["trade"]})
        impatient = {
            "CRYPTO_KAFKA__DELIVERY_TIMEOUT_S": "2",
            "CRYPTO_STREAMING__SHUTDOWN_BUDGET_S": "3",
        }
        with running(["streaming.cli", "run"], environment | impatient, log) as service:
            until(lambda: (get_json(ready) or {}).get("ready", False), 30, f"ready; see {log}")
            admin = AdminClient({"bootstrap.servers": topics})
            for future in admin.delete_topics(["binance-trades"]).values():
                future.result(30)
            assert service.wait(timeout=90) == 1
    reason = str(logged(log, "service stopped")[0]["error"])
    assert "a record for binance-trades was not delivered" in reason
    for future in admin.create_topics([NewTopic("binance-trades", 2, 1)]).values():
        future.result(30)


def test_without_a_broker_the_service_says_so_and_ends(tmp_path: Path):
    log = tmp_path / "streaming.log"
    environment, _ = settings(Venue(22040), f"127.0.0.1:{free_port()}", tmp_path, {"B": ["trade"]})
    with running(["streaming.cli", "run"], environment, log) as service:
        assert service.wait(timeout=60) == 1
    assert "no Kafka broker answers at 127.0.0.1" in str(logged(log, "service stopped")[0]["error"])


def test_a_missing_topic_is_named_with_its_remedy(kafka_broker: str, tmp_path: Path):
    log = tmp_path / "streaming.log"
    environment, _ = settings(Venue(22050), kafka_broker, tmp_path, {"B": ["trade"]})
    with running(["streaming.cli", "run"], environment, log) as service:
        assert service.wait(timeout=60) == 1
    assert "setup_kafka.py" in str(logged(log, "service stopped")[0]["error"])
