import gzip
import io

import pytest

from shared.market.recording import Frame, FrameKind, RecordingError, read_frames, write_frame


def test_frames_come_back_as_they_were_written(tmp_path):
    frames = [
        Frame(1, FrameKind.WS, "ws://x", '{"a":"ü"}'),
        Frame(2, FrameKind.HTTP, "http://x", "[]"),
    ]
    path = tmp_path / "r.jsonl.gz"
    with gzip.open(path, "wb") as stream:
        for frame in frames:
            write_frame(stream, frame)
    assert list(read_frames(path)) == frames


def test_a_broken_line_is_named_by_file_and_number(tmp_path):
    path = tmp_path / "r.jsonl.gz"
    sink = io.BytesIO()
    write_frame(sink, Frame(1, FrameKind.WS, "ws://x", "{}"))
    path.write_bytes(gzip.compress(sink.getvalue() + b"oops\n"))
    with pytest.raises(RecordingError, match=r"r\.jsonl\.gz, after line 2"):
        list(read_frames(path))
