"""Against a real server, for what matters is what picows makes of its bytes."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from picows import WSError
from websockets.asyncio.server import serve
from websockets.utils import accept_key

from streaming import web_socket
from streaming.web_socket import SocketClosedError, open_socket
from tests.conftest import until


@asynccontextmanager
async def served(handler):
    """A server that treats each client so; yields the address."""
    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def agree(reader, writer) -> None:
    """Answer a client's handshake by hand."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line for line in head.splitlines() if line.lower().startswith("sec-websocket-k"))
    accept = accept_key(key.partition(": ")[2])
    writer.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )


def address(server) -> str:
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def heard(handler) -> tuple[list[bytes], str]:
    """Return what came of a server that says something and ends the socket, and how it ended."""
    messages: list[bytes] = []
    async with served(handler) as url:
        socket = await open_socket(url)
        socket.start(messages.append)
        with pytest.raises(SocketClosedError) as caught:
            await socket.ended()
    return messages, str(caught.value)


async def test_messages_come_in_order_whether_whole_binary_or_in_parts():
    async def speak(client):
        await client.send("whole")
        await client.send(["in ", "three ", "parts"])
        await client.send(b"binary")
        await client.send("last")
        await client.close(1001, "going")

    assert await heard(speak) == ([b"whole", b"in three parts", b"binary", b"last"], "1001 going")


async def test_what_comes_before_the_start_waits_for_it():
    async def speak(client):
        await client.send("early")
        await client.wait_closed()

    async with served(speak) as url:
        socket = await open_socket(url)
        await until(lambda: socket._early)
        messages: list[bytes] = []
        socket.start(messages.append)
        assert messages == [b"early"]
        await socket.close()


async def test_an_end_without_a_word_is_told_as_such():
    async def hang_up(client):
        client.transport.abort()

    assert await heard(hang_up) == ([], "no closing handshake")


async def test_a_message_of_endless_parts_ends_the_socket(monkeypatch):
    monkeypatch.setattr(web_socket, "_MAX_MESSAGE_BYTES", 1000)

    async def speak(client):
        await client.send(["x" * 600, "x" * 600])

    async with served(speak) as url:
        socket = await open_socket(url)
        socket.start(lambda _: None)
        with pytest.raises(WSError, match="too big"):
            await socket.ended()


async def test_while_it_closes_nothing_is_handed_over():
    async def speak(reader, writer):
        await agree(reader, writer)
        await reader.read(100)  # our goodbye
        writer.write(b"\x81\x04late\x88\x00")
        await writer.drain()
        await reader.read()
        writer.close()

    messages: list[bytes] = []
    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        socket = await open_socket(address(server))
        socket.start(messages.append)
        await socket.close()
        await socket.close()
    assert messages == []
    with pytest.raises(SocketClosedError):
        await socket.ended()


async def test_a_pause_lets_the_sender_wait_and_pings_are_counted():
    sent = asyncio.Event()

    async def speak(client):
        for _ in range(200):
            await client.send("x" * 100_000)
        sent.set()
        await client.wait_closed()

    async with served(speak) as url:
        socket, messages = await open_socket(url), []
        socket.pause()
        socket.start(messages.append)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sent.wait(), 0.3)
        assert len(messages) < 200
        socket.resume()
        await asyncio.wait_for(sent.wait(), 10)
        socket.ping()
        await until(lambda: socket.pongs)
        assert len(messages) == 200
        await socket.close()
        socket.resume()


async def test_a_venue_that_never_says_goodbye_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(web_socket, "_CLOSE_TIMEOUT_S", 0.1)

    async def mute(reader, writer):
        await agree(reader, writer)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        socket = await open_socket(address(server))
        await asyncio.wait_for(socket.close(), 1)


async def test_what_the_reader_raises_ends_the_socket_and_nothing_follows():
    async def speak(reader, writer):
        await agree(reader, writer)
        await answer.wait()
        writer.write(b"\x81\x01a\x81\x01b\x81\x01c")
        await writer.drain()
        await reader.read()
        writer.close()

    messages: list[bytes] = []
    answer = asyncio.Event()

    def read(message: bytes) -> None:
        messages.append(message)
        raise ZeroDivisionError

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        socket = await open_socket(address(server))
        socket.start(read)
        answer.set()
        with pytest.raises(ZeroDivisionError):
            await socket.ended()
    assert messages == [b"a"]


async def test_a_venue_that_hangs_up_on_the_handshake_is_an_error():
    async def hang_up(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        with pytest.raises(SocketClosedError, match="no answer"):
            await open_socket(address(server))


async def test_a_socket_given_up_while_it_opens_is_closed_when_it_has():
    gone = asyncio.Event()
    asked = asyncio.Event()
    answer = asyncio.Event()

    async def slow(reader, writer):
        asked.set()
        await answer.wait()
        await agree(reader, writer)
        await reader.read()
        gone.set()
        writer.close()

    async with await asyncio.start_server(slow, "127.0.0.1", 0) as server:
        opening = asyncio.create_task(open_socket(address(server)))
        await asked.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        answer.set()
        await asyncio.wait_for(gone.wait(), 10)


async def test_an_address_that_speaks_no_websocket_is_an_error():
    async def refuse(_reader, writer):
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        with pytest.raises((WSError, OSError)):
            await open_socket(address(server))


async def test_single_messages_by_the_thousand_are_gathered_and_none_is_lost(monkeypatch):
    gathered: list[int] = []

    async def speak(client):
        for number in range(3000):
            await client.send(str(number))
            if number % 10 == 0:
                await asyncio.sleep(0)
        await client.wait_closed()

    async with served(speak) as url:
        socket, messages = await open_socket(url), []
        look = socket._gather
        monkeypatch.setattr(socket, "_gather", lambda: (gathered.append(socket._count), look()))
        socket.start(messages.append)
        await until(lambda: len(messages) == 3000)
        assert messages == [str(number).encode() for number in range(3000)]
        assert len(gathered) < 100, "ten of the sender's turns, or more, in each read"
        await socket.close()


async def test_a_pause_outlasts_the_gathering(monkeypatch):
    monkeypatch.setattr(web_socket, "_GATHER_FROM", 0)
    monkeypatch.setattr(web_socket, "_GATHER_S", 0.1)
    told: asyncio.Queue[str] = asyncio.Queue()

    async def speak(client):
        for _ in range(2):
            await client.send(await told.get())
        await client.wait_closed()

    async with served(speak) as url:
        socket, messages = await open_socket(url), []
        socket.start(messages.append)
        told.put_nowait("1")
        await until(lambda: len(messages) == 1)
        socket.pause()
        told.put_nowait("2")
        await asyncio.sleep(0.3)
        assert messages == [b"1"], "the gathering has ended, the pause has not"
        socket.resume()
        await until(lambda: len(messages) == 2)
        await socket.close()
