"""The venue of the ingest benchmark: sends prepared frames as fast as they are taken, or at a pace.

Writes ready-made WebSocket frames to the socket, since a WebSocket library would be the bottleneck.

Usage: python _ingest_sender.py PORT LAPS LIMIT RATE   (LIMIT 0: all frames; RATE 0: as fast as taken)
"""

import asyncio
import os
import select
import socket
import struct
import sys
import time

import msgspec
import uvloop
from _ingest_frames import SYMBOLS, Venue, load
from websockets.utils import accept_key

_CHUNK = 128
_EXCHANGE_INFO = {
    "symbols": [
        {
            "symbol": symbol,
            "status": "TRADING",
            "baseAsset": symbol[:-4],
            "quoteAsset": symbol[-4:],
            "filters": [{"tickSize": "0.01000000"}],
        }
        for symbol in SYMBOLS
    ]
}


def text_frame(payload: bytes) -> bytes:
    """Return an unmasked, final WebSocket text frame (RFC 6455, section 5.2)."""
    if len(payload) < 126:
        return struct.pack("!BB", 0x81, len(payload)) + payload
    if len(payload) < 65536:
        return struct.pack("!BBH", 0x81, 126, len(payload)) + payload
    return struct.pack("!BBQ", 0x81, 127, len(payload)) + payload


class Sender:
    """Serves REST and one WebSocket client on one port."""

    def __init__(self, venue: Venue, rate: int) -> None:
        self._venue = venue
        self._rate = rate
        self._frames = [text_frame(frame) for frame in venue.frames]
        self._times: list[int] = []
        self._started = self._finished = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ", 2)[1]
        fields = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
        if "upgrade" not in fields:
            body = msgspec.json.encode(self._rest(path))
            length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(f"HTTP/1.1 200 OK\r\n{length}".encode() + body)
            writer.close()
            return
        key = next(line for line in head.splitlines() if line.lower().startswith("sec-websocket-k"))
        accept = accept_key(key.split(": ")[1])
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        if "streams=" not in path:
            await reader.read(65536)  # SUBSCRIBE, in one message
            writer.write(text_frame(b'{"result":null,"id":1}'))
        self._started = time.time_ns()
        if self._rate:
            file = writer.get_extra_info("socket").fileno()
            await asyncio.to_thread(self._paced, socket.socket(fileno=os.dup(file)))
        else:
            await self._flood(writer)
        self._finished = time.time_ns()
        await reader.read()

    async def _flood(self, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(self._frames), _CHUNK):
            writer.write(b"".join(self._frames[start : start + _CHUNK]))
            await writer.drain()

    def _paced(self, client: socket.socket) -> None:
        """Write each frame by itself; bare, since an event loop would take the broker's core."""
        begin, sent = time.perf_counter(), 0
        while sent < len(self._frames):
            due = min(int((time.perf_counter() - begin) * self._rate), len(self._frames))
            for frame in self._frames[sent:due]:
                self._times.append(time.time_ns())
                left = memoryview(frame)
                while left:
                    try:
                        left = left[client.send(left) :]
                    except BlockingIOError:
                        select.select([], [client], [])
            sent = due
            time.sleep(0.0005)
        client.close()

    def _symbols(self) -> list[str]:
        frames = self._venue.frames
        return [frame[11 : frame.index(b"@")].decode().upper() for frame in frames]

    def _rest(self, path: str) -> object:
        if path.startswith("/api/v3/depth"):
            symbol = path.partition("symbol=")[2].partition("&")[0]
            return msgspec.Raw(self._venue.snapshots[symbol])
        if path.startswith("/api/v3/exchangeInfo"):
            return _EXCHANGE_INFO
        return {
            "frames": len(self._frames),
            "bytes": sum(map(len, self._venue.frames)),
            "source": self._venue.source,
            "started_ns": self._started,
            "finished_ns": self._finished,
            "times": self._times if path == "/times" else [],
            "symbols": self._symbols() if path == "/times" else [],
        }


async def main(port: int, laps: int, limit: int, rate: int) -> None:
    """Serve until killed."""
    venue = load(laps)
    if limit:
        venue.frames = venue.frames[:limit]
    server = await asyncio.start_server(Sender(venue, rate).serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*map(int, sys.argv[1:5])))
