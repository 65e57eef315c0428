"""One WebSocket that hands over each message in the moment it arrives.

This is picows' own interface. Its copy of websockets' API puts a queue and a coroutine between socket
and reader; where messages come singly, waking that coroutine for each costs more than the reading.

A system call for each message costs as much again. So when messages come by the thousand a second, but
singly, the socket is let alone for a millisecond between two reads; that is how late they may be taken.
"""

import asyncio
from collections.abc import Callable
from typing import NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSProtocolError,
    WSTransport,
    ws_connect,
)
from picows.picows import WSCloseHandshake

# What is too large for Kafka must still be seen, to become a dead letter.
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_OPEN_TIMEOUT_S = 15
# Room for all that gathers while the messages of one read are worked on.
_READ_BUFFER_BYTES = 32 * 1024
_GATHER_S = 0.001
# Messages a second from which reads are gathered, and the size of a read from which there is no need to.
_GATHER_FROM = 5_000
_GATHER_BELOW = 100
# Time for the closing handshake.
_CLOSE_TIMEOUT_S = 2
_TEXT, _CLOSE, _PONG = WSMsgType.TEXT, WSMsgType.CLOSE, WSMsgType.PONG


class SocketClosedError(ConnectionError):
    """The socket has ended, by the venue's word or without one."""


class WebSocket(WSListener):
    """An open socket; made by `open_socket`.

    Messages that come before `start` wait for it.
    """

    _transport: WSTransport

    def __init__(self) -> None:
        self._early: list[bytes] = []
        self._take: Callable[[bytes], None] = self._early.append
        self._parts: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._read_s = 0.0
        self._count = 0
        self._is_paused = False
        self._is_given_up = False
        self.pongs = 0
        """Answers to pings."""

    def start(self, take: Callable[[bytes], None]) -> None:
        """Hand every message to `take` from now on, in order; what it raises ends the socket."""
        for message in self._early:
            take(message)
        self._take = take

    def send(self, text: str) -> None:
        """Send one text message."""
        self._transport.send(_TEXT, text)

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._transport.send_ping(b"")

    def pause(self) -> None:
        """Read nothing more; what was read already is still handed over."""
        self._is_paused = True
        self._transport.underlying_transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self._is_paused = False
        self._read_on()

    def abort(self) -> None:
        """End the socket without a word, for nobody listens, or as soon as it opens."""
        self._is_given_up, self._take = True, _forget
        if self.is_open:
            self._transport.disconnect(graceful=False)

    @property
    def is_open(self) -> bool:
        """Whether the venue has agreed, whatever came after."""
        return hasattr(self, "_transport")

    async def ended(self) -> NoReturn:
        """Wait for the socket's end.

        Raises:
            SocketClosedError: the venue or the network ended it.
            Exception: what `take` raised.
        """
        await self._transport.wait_disconnected()
        handshake: WSCloseHandshake | None = self._transport.close_handshake
        if handshake is None or handshake.recv is None:
            raise SocketClosedError("no closing handshake")
        raise SocketClosedError(
            f"{handshake.recv.code.value} {handshake.recv.reason or ''}".rstrip()
        )

    async def close(self) -> None:
        """Say goodbye and wait a moment for the answer; what comes meanwhile is not handed over."""
        transport, self._take = self._transport, _forget
        if transport.is_disconnected:
            return
        transport.send_close(WSCloseCode.OK)
        self.resume()  # or the answer is never read
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await transport.wait_disconnected()
        except Exception:  # noqa: BLE001 - what ended it no longer matters, but it must end
            transport.disconnect(graceful=False)

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Take note of the transport; called by picows."""
        self._transport = transport
        if self._is_given_up:
            transport.disconnect(graceful=False)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Hand over a message, or serve a control frame; called by picows, which answers pings."""
        kind = frame.msg_type
        try:
            if kind is _TEXT and frame.fin:
                self._count += 1
                self._take(frame.get_payload_as_bytes())
            elif kind is _PONG:
                self.pongs += 1
            elif kind is _CLOSE:
                if not transport.is_close_frame_sent:
                    transport.send_close(WSCloseCode.OK)
                transport.disconnect()
            else:
                self._join(frame)
        except BaseException:
            # picows ends the socket only after all that it has read.
            self._take = _forget
            raise
        if frame.last_in_buffer:
            self._gather()

    def _gather(self) -> None:
        """Look at what one read has brought, and let more come together before the next."""
        now_s, count = self._loop.time(), self._count
        elapsed_s, self._read_s, self._count = now_s - self._read_s, now_s, 0
        if _GATHER_FROM * elapsed_s < count < _GATHER_BELOW and not self._is_paused:
            self._transport.underlying_transport.pause_reading()
            self._loop.call_later(_GATHER_S, self._read_on)

    def _read_on(self) -> None:
        if not (self._is_paused or self._transport.is_disconnected):
            self._transport.underlying_transport.resume_reading()

    def _join(self, frame: WSFrame) -> None:
        """Put a message together that comes in parts."""
        self._parts.append(frame.get_payload_as_bytes())
        if sum(map(len, self._parts)) > _MAX_MESSAGE_BYTES:
            raise WSProtocolError(WSCloseCode.MESSAGE_TOO_BIG, "message too big")
        if frame.fin:
            message = b"".join(self._parts)
            self._parts.clear()
            self._take(message)


def _forget(_message: bytes) -> None:
    """Take no more."""


async def open_socket(url: str) -> WebSocket:
    """Open a socket; without compression, for inflating costs more than all else of a frame.

    A proxy named in the environment is used, as for REST.

    Raises:
        OSError: nobody answers there, or not in time.
        picows.WSError: what answers is no WebSocket server.
    """
    socket = WebSocket()
    try:
        async with asyncio.timeout(_OPEN_TIMEOUT_S):
            await ws_connect(
                lambda: socket,
                url,
                websocket_handshake_timeout=_OPEN_TIMEOUT_S,
                max_frame_size=_MAX_MESSAGE_BYTES,
                read_buffer_init_size=_READ_BUFFER_BYTES,
                proxy=_proxy(url),
            )
    except BaseException:
        socket.abort()
        raise
    if not socket.is_open:
        raise SocketClosedError("no answer to the handshake")
    return socket


def _proxy(url: str) -> str | None:
    address = urlsplit(url)
    if proxy_bypass(address.hostname or ""):
        return None
    return getproxies().get("https" if address.scheme == "wss" else "http")
