"""Binance's doors on this machine: WebSocket streams and REST on one port per market.

Rules kept (Binance "WebSocket Streams"): combined and raw access, SUBSCRIBE, UNSUBSCRIBE and
LIST_SUBSCRIPTIONS with acknowledgements, at most 5 (spot) or 10 (um, cm) messages a second, ping frames.
On um, since 2026-04-23, a stream on the wrong route is acknowledged and never delivers.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from mock_exchange.archive import Archive
from mock_exchange.client import Client
from mock_exchange.fault_kinds import AnyFault
from mock_exchange.faults import Abort, Action, Faults, SendClose, SendNotice
from mock_exchange.truth import Receipts, Truth
from mock_exchange.venue import RestError, Venue, refused
from shared.clock import Clock
from shared.market.instruments import Market

_MESSAGES_PER_SECOND = {Market.SPOT: 5, Market.UM: 10, Market.CM: 10}
_PING_S = {Market.SPOT: 20.0, Market.UM: 180.0, Market.CM: 180.0}
_REST_PREFIX = {Market.SPOT: "/api/v3/", Market.UM: "/fapi/v1/", Market.CM: "/dapi/v1/"}
_WEIGHTS = {
    Market.SPOT: {
        "depth": 50,
        "exchangeInfo": 20,
        "aggTrades": 4,
        "trades": 25,
        "historicalTrades": 25,
        "klines": 2,
    },
    Market.UM: {
        "depth": 20,
        "aggTrades": 20,
        "trades": 5,
        "historicalTrades": 200,
        "klines": 5,
    },
    Market.CM: {
        "depth": 20,
        "aggTrades": 20,
        "trades": 5,
        "historicalTrades": 20,
        "klines": 5,
    },
}


class MockServer:
    """The clients of all markets, and the HTTP applications that they come through.

    Args:
        clock: what time it is.
        scenario: faults whose times count from the first subscriber.
        seed: decides what faults choose at random.
        archive: folder of given archive files, at the venue's paths.
    """

    def __init__(
        self,
        clock: Clock,
        scenario: Sequence[AnyFault] = (),
        seed: int = 1,
        archive: Path | None = None,
    ) -> None:
        self._clock = clock
        self._scenario = scenario
        self._weights: dict[tuple[Market, int], int] = {}
        self._numbers = 0
        self._planned = asyncio.Event()
        self.clients: list[Client] = []
        self.faults = Faults(seed)
        self.truth = Truth()
        self._archive = Archive(archive, clock, self.faults)
        self.venue: Venue

    async def run(self) -> None:
        """Run the venue and its faults until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.venue.run())
            tasks.create_task(self._run_faults())

    async def plan(self, faults: Sequence[AnyFault]) -> list[int]:
        """Take faults whose times count from now, begin those that are due, return their numbers."""
        numbers = self.faults.add(faults, self._clock.now_ns())
        await self._advance()
        self._planned.set()
        return numbers

    def clients_of(self, market: Market, stream: str) -> Iterator[Client]:
        """Yield the clients that get a stream."""
        return (
            client
            for client in self.clients
            if client.market is market and client.delivers(stream) and not client.socket.closed
        )

    def app(self, market: Market) -> web.Application:
        """Return the application of one market's port."""
        app = web.Application()
        prefixes = ["", "/public", "/market"] if market is Market.UM else [""]

        async def stream(request: web.Request) -> web.StreamResponse:
            return await self._websocket(request, market)

        async def rest(request: web.Request) -> web.Response:
            return await self._rest(request, market)

        for prefix in prefixes:
            app.router.add_get(f"{prefix}/stream", stream)
            app.router.add_get(f"{prefix}/ws", stream)
            app.router.add_get(f"{prefix}/ws/{{streams:.+}}", stream)

        async def file(request: web.Request) -> web.StreamResponse:
            return await self._archive.answer(request, self.venue)

        app.router.add_get(f"{_REST_PREFIX[market]}{{call}}", rest)
        app.router.add_get("/data/{path:.+}", file)
        return app

    async def _websocket(self, request: web.Request, market: Market) -> web.StreamResponse:
        refusal = self.faults.refusal(market)
        if refusal is not None:
            closing = web.Response(status=refusal)
            closing.force_close()
            return closing
        socket = web.WebSocketResponse(
            compress=False, heartbeat=_PING_S[market], max_msg_size=2**20
        )
        await socket.prepare(request)
        client = self._client(request, socket, market)
        self.clients.append(client)
        try:
            await self._subscriptions_changed(client)
            await self._converse(client)
        except ConnectionError:
            # The client went away before its answer: the same end as any other.
            return socket
        finally:
            self.clients.remove(client)
            client.release()
            self.faults.gone(client)
            self.truth.gone(client.receipts, self._clock.now_ns())
            self.venue.subscriptions_changed()
        return socket

    def _client(
        self, request: web.Request, socket: web.WebSocketResponse, market: Market
    ) -> Client:
        if request.transport is None:
            raise ConnectionResetError("gone before it was open")
        self._numbers += 1
        is_raw = "/ws" in request.path
        route = (
            request.path.partition("/ws")[0] if is_raw else request.path.rpartition("/stream")[0]
        )
        receipts = Receipts(self._numbers, market, self._clock.now_ns())
        client = Client(socket, request.transport, receipts, route, is_raw, self.faults)
        named = request.match_info.get("streams") or request.query.get("streams", "")
        client.streams.update(name for name in named.split("/") if name)
        return client

    async def _subscriptions_changed(self, client: Client) -> None:
        if self._scenario and client.streams:
            scenario, self._scenario = self._scenario, ()
            await self.plan(scenario)
        self.venue.subscriptions_changed()

    async def _run_faults(self) -> None:
        """Begin and end faults when their time comes."""
        while True:
            self._planned.clear()
            await self._advance()
            next_ns = self.faults.next_ns()
            wait_s = None if next_ns is None else (next_ns - self._clock.now_ns()) / 1e9
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._planned.wait(), wait_s)

    async def _advance(self) -> None:
        now_ns = self._clock.now_ns()
        for action in self.faults.advance(now_ns, self.clients):
            await self._act(action, now_ns)

    async def _act(self, action: Action, now_ns: int) -> None:
        client = next((item for item in self.clients if item.number == action.connection), None)
        match action:
            case _ if client is None:
                return
            case Abort():
                client.abort()
            case SendClose(code=code, reason=reason):
                client.start_closing(code, reason)
            case SendNotice():
                with contextlib.suppress(ConnectionError):
                    await client.send_notice(now_ns // 1_000_000)

    async def _converse(self, client: Client) -> None:
        recent: deque[int] = deque(maxlen=_MESSAGES_PER_SECOND[client.market])
        async for message in client.socket:
            if message.type is not WSMsgType.TEXT:
                return
            now_ns = self._clock.now_ns()
            if len(recent) == recent.maxlen and now_ns - recent[0] < 1_000_000_000:
                await client.socket.close(code=1008, message=b"Too many requests")
                return
            recent.append(now_ns)
            await client.socket.send_str(self._answer(client, message.data))
            await self._subscriptions_changed(client)

    def _answer(self, client: Client, text: str) -> str:
        try:
            request: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as error:
            return _error(None, 3, f"Invalid JSON: {error}")
        identity, names = request.get("id"), request.get("params", [])
        result: Any = None
        match request.get("method"):
            case "SUBSCRIBE" if _are_names(names):
                client.streams.update(names)
            case "UNSUBSCRIBE" if _are_names(names):
                client.streams.difference_update(names)
            case "LIST_SUBSCRIPTIONS":
                result = sorted(client.streams)
            case _:
                return _error(identity, 2, "Invalid request: unknown variant or parameters")
        return msgspec.json.encode({"result": result, "id": identity}).decode()

    async def _rest(self, request: web.Request, market: Market) -> web.Response:
        call, symbol = request.match_info["call"], request.query.get("symbol", "")
        minute = self._clock.now_ns() // 60_000_000_000
        used = self._weights.get((market, minute), 0) + _WEIGHTS[market].get(call, 1)
        self._weights = {(market, minute): used}
        headers = {"X-MBX-USED-WEIGHT-1M": str(used), "Content-Type": "application/json"}
        fate = self.faults.answer(market, call, symbol)
        if fate.retry_after_s is not None:
            headers["Retry-After"] = str(fate.retry_after_s)
        try:
            if fate.status is not None:
                raise refused(fate.status)
            body = await self.venue.rest(market, call, request.query)
            if fate.is_stale:
                body = self.venue.old_snapshot(market, symbol)
        except RestError as error:
            return web.Response(status=error.status, body=error.body, headers=headers)
        await asyncio.sleep(fate.delay_s)
        return web.Response(body=body, headers=headers)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _error(identity: Any, code: int, text: str) -> str:
    return msgspec.json.encode({"error": {"code": code, "msg": text}, "id": identity}).decode()
