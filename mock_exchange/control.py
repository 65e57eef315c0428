"""The control port: how the venue is doing, its faults, its clients, and what was really sent."""

from typing import Any

import msgspec
from aiohttp import web

from mock_exchange.fault_kinds import FaultError, decode_faults
from mock_exchange.server import MockServer
from shared.market.instruments import Market


class Control:
    """The handlers of the control port.

    Args:
        server: whose state is shown and changed.
    """

    def __init__(self, server: MockServer) -> None:
        self._server = server

    def app(self) -> web.Application:
        """Return the application of the control port."""
        app = web.Application()
        app.router.add_get("/status", self._status)
        app.router.add_get("/clients", self._clients)
        app.router.add_get("/truth", self._truth)
        app.router.add_get("/faults", self._faults)
        app.router.add_post("/faults", self._add_faults)
        app.router.add_delete("/faults", self._lift_faults)
        return app

    async def _status(self, _request: web.Request) -> web.Response:
        return _json(
            {**self._server.venue.status(), "connections": len(self._server.clients)},
        )

    async def _clients(self, _request: web.Request) -> web.Response:
        clients = [
            {
                "client": client.number,
                "market": client.market,
                "route": client.route,
                "opened_ns": client.opened_ns,
                "streams": sorted(client.streams),
            }
            for client in self._server.clients
        ]
        return _json({"clients": clients})

    async def _truth(self, request: web.Request) -> web.Response:
        missing = [name for name in ("market", "stream") if name not in request.query]
        if missing:
            return _refused(400, f"`{missing[0]}` is missing: /truth?market=spot&stream=…")
        market, stream = request.query["market"], request.query["stream"]
        if market not in set(Market):
            return _refused(400, f"`market`: {market!r} is none of {', '.join(Market)}")
        present = [client.receipts for client in self._server.clients]
        account = self._server.truth.account(Market(market), stream, present)
        if account is None:
            return _refused(404, f"`stream`: {stream!r} has had nothing to send on {market}")
        return _json(account)

    async def _faults(self, _request: web.Request) -> web.Response:
        return _json({"faults": self._server.faults.report()})

    async def _add_faults(self, request: web.Request) -> web.Response:
        try:
            faults = decode_faults(msgspec.json.decode(await request.read()))
        except msgspec.DecodeError as error:
            return _refused(400, f"not JSON: {error}")
        except FaultError as error:
            return _refused(400, str(error))
        return _json({"ids": await self._server.plan(faults)})

    async def _lift_faults(self, _request: web.Request) -> web.Response:
        return _json({"lifted": self._server.faults.lift()})


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )


def _refused(status: int, text: str) -> web.Response:
    return _json({"error": text}, status)
