"""Raw-frame recordings: gzip JSON lines of `recv_ns`, `kind`, `url` and `raw`, in receive order.

`raw` is the exact text that came; for `ws` the `url` is the connection's, for `http` the request's.
"""

import gzip
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO

import msgspec

from shared.errors import LakehouseError


class RecordingError(LakehouseError):
    """A line of a recording cannot be read; names the file and the line."""


class FrameKind(StrEnum):
    """A WebSocket frame or the body of an HTTP answer."""

    WS = "ws"
    HTTP = "http"


class Frame(msgspec.Struct, frozen=True):
    """One received payload, `recv_ns` in ns since the epoch by the receiver's clock."""

    recv_ns: int
    kind: FrameKind
    url: str
    raw: str


_decoder = msgspec.json.Decoder(Frame)
_encoder = msgspec.json.Encoder()


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of one recording in order, without holding the file in memory.

    Raises:
        RecordingError: a line is not a frame, or the file is not whole gzip.
    """
    number = 0
    try:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                number += 1
                yield _decoder.decode(line)
    except (msgspec.DecodeError, gzip.BadGzipFile, EOFError) as error:
        raise RecordingError(f"{path}, after line {number}: {error}") from error


def write_frame(stream: IO[bytes], frame: Frame) -> None:
    """Append one frame to an open stream of JSON lines."""
    stream.write(_encoder.encode(frame) + b"\n")
