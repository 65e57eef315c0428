import gzip

from mock_exchange.recordings import contents, symbols_yaml
from shared.market.instruments import Market
from shared.market.recording import Frame, FrameKind, write_frame


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
