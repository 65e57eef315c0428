"""Raw-frame recordings: gzip JSON lines of `recv_ns`, `kind`, `url` and `raw`, in receive order.

`raw` is the exact text that came; for `ws` the `url` is the connection's, for `http` the request's.
Our own recorder adds `connection` and `epoch`, as in `shared.market.events.Origin`, so that a replay
makes the same events; recordings of others have neither.

A recording whose writer was killed ends in the middle of the compressed stream. It is read up to its
last whole line; `on_torn` learns of it. Damage elsewhere is an error.
"""

import logging
import zlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import msgspec

from shared.errors import ConfigurationError, LakehouseError
from shared.market.instruments import Market

_CHUNK_BYTES = 256 * 1024
# zlib's word for a gzip header and trailer around the stream.
_GZIP = 31
_BINANCE_HOSTS = {
    "stream": Market.SPOT,
    "data-stream": Market.SPOT,
    "api": Market.SPOT,
    "data-api": Market.SPOT,
    "fstream": Market.UM,
    "fapi": Market.UM,
    "dstream": Market.CM,
    "dapi": Market.CM,
}


class RecordingError(LakehouseError):
    """A line of a recording cannot be read; names the file and the line."""


class FrameKind(StrEnum):
    """A WebSocket frame or the body of an HTTP answer."""

    WS = "ws"
    HTTP = "http"


class Frame(msgspec.Struct, frozen=True, omit_defaults=True):
    """One received payload, `recv_ns` in ns since the epoch by the receiver's clock.

    `epoch` counts a connection's sockets; `beside` says that the one before is still read.
    """

    recv_ns: int
    kind: FrameKind
    url: str
    raw: str
    connection: str = ""
    epoch: int = 0
    beside: bool = False


def market_of(frame: Frame) -> Market:
    """Return the market of a Binance frame, by its connection's name or else its address.

    What our recorder wrote beside a mock exchange has an address of this machine only.

    Raises:
        ConfigurationError: neither tells a market.
    """
    for market in Market:
        if frame.connection.startswith(f"binance-{market}-"):
            return market
    found = _BINANCE_HOSTS.get((urlsplit(frame.url).hostname or "").partition(".")[0])
    if found is None:
        raise ConfigurationError(
            frame.url, "no market that is known", "Recordings of Binance can be read."
        )
    return found


class TornTail(msgspec.Struct, frozen=True):
    """The end of a recording whose writer was killed: the whole lines, and what follows them."""

    path: Path
    lines: int
    bytes_left: int


_decoder = msgspec.json.Decoder(Frame)
_encoder = msgspec.json.Encoder()


def _log_torn(tail: TornTail) -> None:
    logging.getLogger(__name__).warning(
        "%s ends in the middle: its writer was killed after line %d", tail.path, tail.lines
    )


def read_frames(path: Path, on_torn: Callable[[TornTail], None] = _log_torn) -> Iterator[Frame]:
    """Yield the frames of one recording in order, without holding the file in memory.

    Args:
        path: the recording.
        on_torn: learns at the end that the tail is missing; by default a warning in the log.

    Raises:
        RecordingError: a line is not a frame, or the file is damaged before its end.
    """
    number = 0
    rest = b""
    is_whole = True
    try:
        with path.open("rb") as file:
            for text, is_whole in _inflated(file):  # noqa: B007 - the last one counts
                *lines, rest = (rest + text).split(b"\n")
                for line in lines:
                    number += 1
                    yield _decoder.decode(line)
        if is_whole and rest:
            number += 1
            yield _decoder.decode(rest)
    except (msgspec.DecodeError, zlib.error) as error:
        raise RecordingError(f"{path}, after line {number}: {error}") from error
    if not is_whole:
        on_torn(TornTail(path, number, len(rest)))


def encode_frame(frame: Frame) -> bytes:
    """Return one line of a recording, with its end."""
    return _encoder.encode(frame) + b"\n"


def write_frame(stream: IO[bytes], frame: Frame) -> None:
    """Append one frame to an open stream of JSON lines."""
    stream.write(encode_frame(frame))


def _inflated(file: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield pieces of text, each with whether the gzip members read so far are complete."""
    member = zlib.decompressobj(_GZIP)
    is_begun = False
    while data := file.read(_CHUNK_BYTES):
        while data:
            is_begun = True
            text = member.decompress(data)
            data = member.unused_data
            if member.eof:
                member = zlib.decompressobj(_GZIP)
                is_begun = False
                # What pads a file to a block is no member.
                data = data.lstrip(b"\0")
            else:
                data = b""
            yield text, not is_begun
