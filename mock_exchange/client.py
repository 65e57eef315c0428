"""One WebSocket of a subscriber: where frames leave, and where faults reach them."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Coroutine
from typing import Any

from aiohttp import web

from mock_exchange.faults import Faults
from mock_exchange.outgoing import Outgoing
from mock_exchange.truth import Ids, Receipts
from shared.market.instruments import Market

_PUBLIC = ("depth", "bookTicker", "trade")
# A linger of zero seconds: closing sends RST, and what is unsent is thrown away.
_RESET = struct.pack("ii", 1, 0)


class Client:
    """One WebSocket and what it subscribed; `delivers` is what its route really carries.

    Args:
        socket: the open WebSocket.
        transport: what is below it.
        receipts: the account of what it was sent; holds its number, market and opening time.
        route: the path before `/stream` or `/ws`.
        raw: whether frames go without their wrapping.
        faults: what may happen to its frames.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        receipts: Receipts,
        route: str,
        raw: bool,
        faults: Faults,
    ) -> None:
        self.socket = socket
        self.receipts = receipts
        self.number = receipts.number
        self.market = receipts.market
        self.opened_ns = receipts.opened_ns
        self.streams: set[str] = set()
        self._transport = transport
        self.route = route
        self._raw = raw
        self._faults = faults
        self._late: dict[str, deque[tuple[float, Outgoing]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def delivers(self, stream: str) -> bool:
        """Say whether this client gets a stream's frames."""
        if stream not in self.streams:
            return False
        if self.market is not Market.UM:
            return True
        is_public = stream.partition("@")[2].startswith(_PUBLIC)
        return self.route == ("/public" if is_public else "/market")

    async def send(self, stream: str, combined: str, ids: Ids | None) -> None:
        """Send a combined frame, unwrapped for a client of a raw stream; ConnectionError if gone."""
        text = self._unwrapped(stream, combined) if self._raw else combined
        if self._faults.touches_frames or self._late:
            for outgoing in self._faults.frame(self, stream, text, ids):
                await self._send_through(stream, outgoing)
            return
        await self.socket.send_str(text)
        self.receipts.add(stream, ids)

    async def send_notice(self, now_ms: int) -> None:
        """Send the venue's `serverShutdown`; ConnectionError if the client is gone."""
        stream = "!serverShutdown"
        combined = f'{{"stream":"{stream}","data":{{"e":"serverShutdown","E":{now_ms}}}}}'
        await self.socket.send_str(self._unwrapped(stream, combined) if self._raw else combined)

    def abort(self) -> None:
        """Reset the TCP connection."""
        below = self._transport.get_extra_info("socket")
        below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def start_closing(self, code: int, reason: str) -> None:
        """Send a close frame; the client's answer is awaited beside everything else."""
        self._start(self._close(code, reason))

    def release(self) -> None:
        """Give up what is still to be sent late, after the connection ended."""
        for task in self._tasks:
            task.cancel()

    async def _send_through(self, stream: str, outgoing: Outgoing) -> None:
        """Send at once, or queue behind the stream's earlier frames so that they stay in order."""
        waiting = self._late.get(stream)
        if waiting is None and not outgoing.delay_s:
            await self._deliver(stream, outgoing)
            return
        due = asyncio.get_running_loop().time() + outgoing.delay_s
        if waiting is None:
            waiting = self._late[stream] = deque()
            self._start(self._deliver_late(stream, waiting))
        waiting.append((due, outgoing))

    async def _deliver_late(self, stream: str, waiting: deque[tuple[float, Outgoing]]) -> None:
        try:
            while waiting:
                due, outgoing = waiting[0]
                await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
                await self._deliver(stream, outgoing)
                waiting.popleft()
        except ConnectionError:
            # The client went away; its loop removes it, and nothing waits for these frames.
            return
        finally:
            del self._late[stream]

    async def _deliver(self, stream: str, outgoing: Outgoing) -> None:
        await self.socket.send_str(outgoing.text)
        if outgoing.is_whole:
            self.receipts.add(stream, outgoing.ids)
        else:
            self.receipts.add_spoiled(stream)

    async def _close(self, code: int, reason: str) -> None:
        await self.socket.close(code=code, message=reason.encode())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    def _unwrapped(stream: str, combined: str) -> str:
        return combined[len(f'{{"stream":"{stream}","data":') : -1]
