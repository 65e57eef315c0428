import gzip

import pytest

from mock_exchange.recordings import contents, market_of, symbols_yaml
from shared.errors import ConfigurationError
from shared.market.instruments import Market
from shared.market.recording import Frame, FrameKind, write_frame


@pytest.mark.parametrize(
    ("url", "connection", "market"),
    [
        ("wss://stream.binance.com:9443/stream", "", Market.SPOT),
        ("https://data-api.binance.vision/api/v3/depth?symbol=X", "", Market.SPOT),
        ("wss://fstream.binance.com/market/stream", "binance-um-market-0", Market.UM),
        ("https://fapi.binance.com/fapi/v1/depth?symbol=X", "", Market.UM),
        ("wss://dstream.binance.com/stream?streams=x", "", Market.CM),
        ("ws://127.0.0.1:9472/stream", "binance-cm-0", Market.CM),
        ("ws://127.0.0.1:9471/public/stream", "binance-um-public-0", Market.UM),
        ("ws://127.0.0.1:9470/stream", "binance-spot-b-1", Market.SPOT),
    ],
)
def test_the_market_is_known_by_the_connections_name_or_the_address(url, connection, market):
    assert market_of(Frame(1, FrameKind.WS, url, "", connection)) is market


@pytest.mark.parametrize("url", ["ws://127.0.0.1:9470/stream", "wss://ws.okx.com/stream"])
def test_a_frame_of_no_market_is_refused_with_its_address(url):
    with pytest.raises(ConfigurationError, match=f"{url}: no market that can be played"):
        market_of(Frame(1, FrameKind.WS, url, ""))


def test_what_our_recorder_wrote_beside_a_mock_can_be_played(tmp_path):
    path = tmp_path / "own.jsonl.gz"
    spot, um = "ws://127.0.0.1:9470/stream", "ws://127.0.0.1:9471/market/stream"
    book = "http://127.0.0.1:9470/api/v3/depth?symbol=BTCUSDT&limit=1000"
    with gzip.open(path, "wb") as file:
        for frame in (
            Frame(1, FrameKind.WS, spot, '{"result":null,"id":1}', "binance-spot-0", 1),
            Frame(2, FrameKind.WS, spot, '{"stream":"btcusdt@depth@100ms"}', "binance-spot-0", 1),
            Frame(3, FrameKind.HTTP, book, "{}", "binance-spot-0", 1),
            Frame(4, FrameKind.WS, um, '{"stream":"btcusdt@aggTrade"}', "binance-um-market-0", 1),
        ):
            write_frame(file, frame)
    found = contents([path])
    assert found.frames == 2
    assert found.snapshots == {(Market.SPOT, "BTCUSDT")}
    assert symbols_yaml(found).splitlines()[3:] == [
        "    spot:",
        "      BTCUSDT:",
        "        channels: [depth@100ms]",
        "    um:",
        "      BTCUSDT:",
        "        channels: [aggTrade]",
    ]
