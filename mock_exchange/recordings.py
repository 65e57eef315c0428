"""What recordings hold: their frames in order, their streams, and the symbols file they imply."""

import heapq
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec

from shared.market.instruments import Market
from shared.market.recording import Frame, FrameKind, market_of, read_frames

_HEAD = '{"stream":"'


class Contents(msgspec.Struct, frozen=True):
    """The streams of each market, the books with a snapshot, and how many frames there are."""

    streams: dict[Market, frozenset[str]]
    snapshots: frozenset[tuple[Market, str]]
    frames: int


def stream_of(frame: Frame) -> str | None:
    """Return the stream a combined frame belongs to, None for an acknowledgement."""
    if not frame.raw.startswith(_HEAD):
        return None
    return frame.raw[len(_HEAD) : frame.raw.index('"', len(_HEAD))]


def snapshot_symbol(frame: Frame) -> str | None:
    """Return the symbol whose depth snapshot an HTTP frame is, None for another answer."""
    parts = urlsplit(frame.url)
    if not parts.path.endswith("/depth"):
        return None
    return parse_qs(parts.query)["symbol"][0]


def frames(paths: list[Path]) -> Iterator[Frame]:
    """Yield the frames of all files, merged by receive time, without holding them in memory."""
    return heapq.merge(*map(read_frames, paths), key=lambda frame: frame.recv_ns)


def contents(paths: list[Path]) -> Contents:
    """Read the files once through and say what is in them."""
    streams: dict[Market, set[str]] = {}
    snapshots = set()
    count = 0
    for frame in frames(paths):
        if frame.kind is FrameKind.HTTP:
            if (symbol := snapshot_symbol(frame)) is not None:
                snapshots.add((market_of(frame), symbol))
        elif (stream := stream_of(frame)) is not None:
            streams.setdefault(market_of(frame), set()).add(stream)
            count += 1
    return Contents(
        {market: frozenset(names) for market, names in streams.items()},
        frozenset(snapshots),
        count,
    )


def symbols_yaml(found: Contents) -> str:
    """Return a `symbols.yaml` that subscribes just what the recordings hold."""
    lines = ["version: 1", "exchanges:", "  binance:"]
    for market, streams in sorted(found.streams.items()):
        lines.append(f"    {market}:")
        channels: dict[str, list[str]] = {}
        for stream in sorted(streams):
            symbol, _, channel = stream.partition("@")
            channels.setdefault(symbol.upper(), []).append(channel)
        for symbol, names in channels.items():
            lines += [f"      {symbol}:", f"        channels: [{', '.join(names)}]"]
    return "\n".join(lines) + "\n"
