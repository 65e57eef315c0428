import gzip
import io
import zlib

import pytest

from shared.errors import ConfigurationError
from shared.market.instruments import Market
from shared.market.recording import (
    Frame,
    FrameKind,
    RecordingError,
    TornTail,
    encode_frame,
    market_of,
    read_frames,
    write_frame,
)

FRAMES = [
    Frame(1, FrameKind.WS, "ws://x", '{"a":"ü"}'),
    Frame(2, FrameKind.HTTP, "http://x", "[]", "binance-spot-0", 3),
    Frame(3, FrameKind.WS, "ws://x", "[1]"),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "r.jsonl.gz"


def lines(frames=FRAMES) -> bytes:
    return b"".join(map(encode_frame, frames))


def torn_tails(path):
    tails = []
    return list(read_frames(path, tails.append)), tails


def test_frames_come_back_as_they_were_written(path):
    with gzip.open(path, "wb") as stream:
        for frame in FRAMES:
            write_frame(stream, frame)
    assert torn_tails(path) == (FRAMES, [])


def test_a_frame_without_connection_is_written_as_ever():
    assert encode_frame(FRAMES[2]) == b'{"recv_ns":3,"kind":"ws","url":"ws://x","raw":"[1]"}\n'


@pytest.mark.parametrize("padding", [b"", bytes(700)])
def test_members_in_a_row_are_one_recording(path, padding):
    path.write_bytes(
        b"".join(gzip.compress(encode_frame(frame)) + padding for frame in FRAMES) + padding
    )
    assert torn_tails(path) == (FRAMES, [])


def test_much_more_than_a_chunk_is_read_in_order(path):
    frames = [Frame(number, FrameKind.WS, "ws://x", "1" * 50) for number in range(20_000)]
    path.write_bytes(gzip.compress(lines(frames), compresslevel=0))
    assert torn_tails(path) == (frames, [])


def test_a_last_line_without_its_end_counts_in_a_whole_file(path):
    path.write_bytes(gzip.compress(lines()[:-1]))
    assert torn_tails(path) == (FRAMES, [])


def test_an_empty_file_is_an_empty_recording(path):
    path.write_bytes(b"")
    assert torn_tails(path) == ([], [])


def test_a_broken_line_is_named_by_file_and_number(path):
    sink = io.BytesIO()
    write_frame(sink, Frame(1, FrameKind.WS, "ws://x", "{}"))
    path.write_bytes(gzip.compress(sink.getvalue() + b"oops\n"))
    with pytest.raises(RecordingError, match=r"r\.jsonl\.gz, after line 2"):
        list(read_frames(path))


def test_a_file_cut_at_any_byte_is_read_up_to_its_last_whole_line(path):
    """The recorder's form: flushed after each line, so that a line is whole from there on."""
    squeeze = zlib.compressobj(wbits=31)
    data = b""
    ends = []
    for frame in FRAMES:
        data += squeeze.compress(encode_frame(frame)) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        ends.append(len(data))
    data += squeeze.flush()
    for cut in range(1, len(data)):
        path.write_bytes(data[:cut])
        found, (tail,) = torn_tails(path)
        # The flush's empty last block comes after the line, so a line may be whole before its mark.
        assert found == FRAMES[: len(found)]
        assert len(found) >= sum(end <= cut for end in ends)
        assert (tail.path, tail.lines) == (path, len(found))
        assert tail.bytes_left < len(lines())


def test_a_torn_tail_is_told_to_the_log_unless_asked_otherwise(path, caplog):
    path.write_bytes(gzip.compress(lines())[:-9])
    assert len(list(read_frames(path))) <= len(FRAMES)
    assert "its writer was killed" in caplog.text


def test_a_member_torn_after_a_whole_one_keeps_the_whole_one(path):
    path.write_bytes(gzip.compress(lines()) + gzip.compress(lines())[:5])
    assert torn_tails(path) == (FRAMES, [TornTail(path, 3, 0)])


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_damage_in_the_middle_is_an_error(path, at):
    frames = [Frame(number, FrameKind.WS, "ws://x", str(number**9)) for number in range(5000)]
    data = bytearray(gzip.compress(lines(frames)))
    data[int(len(data) * at)] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(RecordingError, match="after line"):
        list(read_frames(path))


def test_what_is_no_gzip_is_an_error(path):
    path.write_bytes(lines())
    with pytest.raises(RecordingError, match="after line 0"):
        list(read_frames(path))


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
    with pytest.raises(ConfigurationError, match=f"{url}: no market that is known"):
        market_of(Frame(1, FrameKind.WS, url, ""))
