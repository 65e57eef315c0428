"""Binance's doors on this machine: WebSocket streams and REST on one port per market.

Rules kept (Binance "WebSocket Streams"): combined and raw access, SUBSCRIBE, UNSUBSCRIBE and
LIST_SUBSCRIPTIONS with acknowledgements, at most 5 (spot) or 10 (um) messages a second, ping frames.
On um, since 2026-04-23, a stream on the wrong route is acknowledged and never delivers.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from mock_exchange.venue import RestError, Venue
from shared.clock import Clock
from shared.market.instruments import Market

_PUBLIC = ("depth", "bookTicker", "trade")
_MESSAGES_PER_SECOND = {Market.SPOT: 5, Market.UM: 10}
_PING_S = {Market.SPOT: 20.0, Market.UM: 180.0}
_REST_PREFIX = {Market.SPOT: "/api/v3/", Market.UM: "/fapi/v1/"}
_WEIGHTS = {"depth": 50, "exchangeInfo": 20, "aggTrades": 4, "historicalTrades": 25, "klines": 2}


class Client:
    """One WebSocket and what it subscribed; `delivers` is what its route really carries."""

    def __init__(
        self, socket: web.WebSocketResponse, market: Market, route: str, raw: bool
    ) -> None:
        self.socket = socket
        self.market = market
        self.streams: set[str] = set()
        self._route = route
        self._raw = raw

    def delivers(self, stream: str) -> bool:
        """Say whether this client gets a stream's frames."""
        if stream not in self.streams:
            return False
        if self.market is Market.SPOT:
            return True
        is_public = stream.partition("@")[2].startswith(_PUBLIC)
        return self._route == ("/public" if is_public else "/market")

    async def send(self, stream: str, combined: str) -> None:
        """Send a combined frame, unwrapped for a client of a raw stream."""
        text = combined
        if self._raw:
            text = combined[len(f'{{"stream":"{stream}","data":') : -1]
        await self.socket.send_str(text)


class MockServer:
    """The clients of all markets, and the HTTP applications that they come through."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._clients: list[Client] = []
        self._weights: dict[tuple[Market, int], int] = {}
        self.venue: Venue

    def clients_of(self, market: Market, stream: str) -> Iterator[Client]:
        """Yield the clients that get a stream."""
        return (
            client
            for client in self._clients
            if client.market is market and client.delivers(stream) and not client.socket.closed
        )

    @property
    def connections(self) -> int:
        """How many sockets are open."""
        return len(self._clients)

    def app(self, market: Market) -> web.Application:
        """Return the application of one market's port."""
        app = web.Application()
        prefixes = [""] if market is Market.SPOT else ["", "/public", "/market"]

        async def stream(request: web.Request) -> web.WebSocketResponse:
            return await self._websocket(request, market)

        async def rest(request: web.Request) -> web.Response:
            return await self._rest(request, market)

        for prefix in prefixes:
            app.router.add_get(f"{prefix}/stream", stream)
            app.router.add_get(f"{prefix}/ws", stream)
            app.router.add_get(f"{prefix}/ws/{{streams:.+}}", stream)
        app.router.add_get(f"{_REST_PREFIX[market]}{{call}}", rest)
        return app

    def control_app(self) -> web.Application:
        """Return the application of the control port."""
        app = web.Application()

        async def status(_request: web.Request) -> web.Response:
            return web.json_response({**self.venue.status(), "connections": self.connections})

        app.router.add_get("/status", status)
        return app

    async def _websocket(self, request: web.Request, market: Market) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            compress=False, heartbeat=_PING_S[market], max_msg_size=2**20
        )
        await socket.prepare(request)
        route = request.path.rpartition("/stream")[0]
        is_raw = "/ws" in request.path
        client = Client(
            socket, market, request.path.partition("/ws")[0] if is_raw else route, is_raw
        )
        named = request.match_info.get("streams") or request.query.get("streams", "")
        client.streams.update(name for name in named.split("/") if name)
        self._clients.append(client)
        self.venue.subscriptions_changed()
        try:
            await self._converse(client)
        finally:
            self._clients.remove(client)
            self.venue.subscriptions_changed()
        return socket

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
            self.venue.subscriptions_changed()

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
        call = request.match_info["call"]
        minute = self._clock.now_ns() // 60_000_000_000
        used = self._weights.get((market, minute), 0) + _WEIGHTS.get(call, 1)
        self._weights = {(market, minute): used}
        headers = {"X-MBX-USED-WEIGHT-1M": str(used), "Content-Type": "application/json"}
        try:
            body = await self.venue.rest(market, call, request.query)
        except RestError as error:
            return web.Response(status=error.status, body=error.body, headers=headers)
        return web.Response(body=body, headers=headers)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _error(identity: Any, code: int, text: str) -> str:
    return msgspec.json.encode({"error": {"code": code, "msg": text}, "id": identity}).decode()
