"""The collector against real recordings over real sockets, into a real broker."""

import json
import signal
from pathlib import Path

import pytest

from shared.market.codec import split_raw
from shared.market.events import AggregateTrade, BookSnapshot, StreamState, Trade
from shared.market.recording import read_frames
from shared.market.topics import Feed
from tests.conftest import free_port
from tests.integration.conftest import (
    CAPTURES,
    events,
    get_json,
    mock_exchange,
    needs_captures,
    records,
    running,
    until,
)

pytestmark = [pytest.mark.kafka]

UM_2021 = CAPTURES / "binance_um_20210722.jsonl.gz"
SPOT_2021 = CAPTURES / "binance_spot_20211012.jsonl.gz"


def symbols_file(folder: Path, market: str, symbols: dict[str, list[str]]) -> Path:
    path = folder / "symbols.yaml"
    lines = ["version: 1", "exchanges:", "  binance:", f"    {market}:"]
    for symbol, channels in symbols.items():
        lines += [f"      {symbol}:", f"        channels: [{', '.join(channels)}]"]
    draft = folder / "draft.yaml"
    draft.write_text("\n".join(lines) + "\n")
    draft.replace(path)
    return path


@needs_captures
def test_every_frame_of_a_recording_is_in_kafka_byte_for_byte(topics: str, tmp_path: Path) -> None:
    recorded = [frame.raw for frame in read_frames(UM_2021) if frame.kind == "ws"]
    streams = {json.loads(raw)["stream"] for raw in recorded}
    symbols: dict[str, list[str]] = {}
    for stream in sorted(streams):
        symbol, _, channel = stream.partition("@")
        symbols.setdefault(symbol.upper(), []).append(channel)
    http = free_port()
    # At once, the last changes of a book may have gone by before its snapshot is there to be told.
    play = ("play", "--speed", "10", str(UM_2021))
    with mock_exchange(21970, tmp_path / "mock.log", *play) as venue:
        environment = venue.environment | {
            "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": topics,
            "CRYPTO_STREAMING__HTTP_PORT": str(http),
            "CRYPTO_PATHS__SYMBOLS_FILE": str(symbols_file(tmp_path, "um", symbols)),
        }
        log = tmp_path / "streaming.log"
        with running(["streaming.cli", "run"], environment, log) as service:
            until(lambda: venue.status().get("finished", False), 60, f"all played; see {log}")
            assert get_json(f"http://127.0.0.1:{http}/livez") == {"alive": True}
            ready = get_json(f"http://127.0.0.1:{http}/readyz")
            service.send_signal(signal.SIGTERM)
            assert service.wait(timeout=30) == 0, log.read_text()
    raw = [split_raw(value)[1].decode() for _, value in records(topics, Feed.RAW_EVENTS)]
    data = [text for text in raw if text.startswith('{"stream"')]
    assert sorted(data) == sorted(recorded)
    for stream in streams:
        mine = [text for text in data if text.startswith(f'{{"stream":"{stream}"')]
        assert mine == [text for text in recorded if text.startswith(f'{{"stream":"{stream}"')]
    assert ready is not None
    assert ready["ready"] or all("aggTrade" in reason for reason in ready["reasons"])
    trades = [event for event in events(topics, Feed.TRADES) if isinstance(event, AggregateTrade)]
    assert len(trades) == 91
    snapshots = [event for event in events(topics, Feed.DEPTH) if isinstance(event, BookSnapshot)]
    assert {event.origin.symbol for event in snapshots} == set(symbols)
    states = [event.state for event in events(topics, Feed.STREAM_STATUS)]
    assert StreamState.GAP not in states
    assert records(topics, Feed.DEAD_LETTERS) == []


def test_a_symbol_added_while_running_flows_and_leaves_the_others_alone(
    topics: str, tmp_path: Path
) -> None:
    http = free_port()
    log = tmp_path / "streaming.log"
    with mock_exchange(21980, tmp_path / "mock.log", "simulate", "--rate", "20") as venue:
        symbols = symbols_file(tmp_path, "spot", {"BTCUSDT": ["trade", "depth@100ms"]})
        environment = venue.environment | {
            "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": topics,
            "CRYPTO_STREAMING__HTTP_PORT": str(http),
            "CRYPTO_PATHS__SYMBOLS_FILE": str(symbols),
        }
        with running(["streaming.cli", "run"], environment, log):
            ready = f"http://127.0.0.1:{http}/readyz"
            until(lambda: (get_json(ready) or {}).get("ready", False), 30, f"ready; see {log}")
            symbols.write_text("version: 1\nexchanges: [broken\n")
            until(lambda: "last good one stays" in log.read_text(), 5, "a bad file is refused")
            symbols_file(
                tmp_path, "spot", {"BTCUSDT": ["trade", "depth@100ms"], "ETHUSDT": ["trade"]}
            )
            until(
                lambda: any(key == "spot:ETHUSDT" for key, _ in records(topics, Feed.TRADES)),
                5,
                f"the added symbol's trades; see {log}",
            )
    trades = [event for event in events(topics, Feed.TRADES) if isinstance(event, Trade)]
    numbers = [int(event.trade_id) for event in trades if event.origin.symbol == "BTCUSDT"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    states = {(event.origin.symbol, event.state) for event in events(topics, Feed.STREAM_STATUS)}
    assert ("BTCUSDT", StreamState.CLOSED) in states, "told at the end"
    assert ("BTCUSDT", StreamState.GAP) not in states


@needs_captures
def test_a_cut_connection_comes_back_and_says_what_broke(topics: str, tmp_path: Path) -> None:
    http = free_port()
    log = tmp_path / "streaming.log"
    symbols = symbols_file(tmp_path, "spot", {"BTCUSDT": ["trade", "aggTrade"]})
    settings = {
        "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": topics,
        "CRYPTO_STREAMING__HTTP_PORT": str(http),
        "CRYPTO_PATHS__SYMBOLS_FILE": str(symbols),
    }
    first = mock_exchange(21990, tmp_path / "mock.log", "simulate", "--rate", "20")
    with first as venue, running(["streaming.cli", "run"], venue.environment | settings, log):
        ready = f"http://127.0.0.1:{http}/readyz"
        until(lambda: (get_json(ready) or {}).get("ready", False), 30, f"ready; see {log}")
        first.gen.close()
        until(lambda: not (get_json(ready) or {}).get("ready", True), 10, "not ready")
        with mock_exchange(21990, tmp_path / "mock2.log", "simulate", "--rate", "20"):
            until(lambda: (get_json(ready) or {}).get("ready", False), 30, f"ready again; {log}")
    found = events(topics, Feed.STREAM_STATUS)
    assert {event.origin.epoch for event in found if event.state is StreamState.FIRST_DATA} == {
        1,
        2,
    }
    gaps = [event for event in found if event.state is StreamState.GAP]
    assert {event.origin.channel for event in gaps} == {"trade", "aggTrade"}
