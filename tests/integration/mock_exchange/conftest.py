"""A mock exchange in the test's own loop, on free ports."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from aiohttp import web

from mock_exchange.control import Control
from mock_exchange.server import MockServer
from shared.market.instruments import Market

Serving = Callable[[MockServer], AbstractAsyncContextManager[tuple[str, str]]]


@asynccontextmanager
async def _serving(server: MockServer) -> AsyncIterator[tuple[str, str]]:
    runners = [
        web.AppRunner(app, access_log=None, shutdown_timeout=1)
        for app in (server.app(Market.SPOT), Control(server).app())
    ]
    for runner in runners:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
    spot, control = (f"127.0.0.1:{runner.addresses[0][1]}" for runner in runners)
    running = asyncio.create_task(server.run())
    try:
        yield spot, control
    finally:
        running.cancel()
        for runner in runners:
            await runner.cleanup()


@pytest.fixture
def serving() -> Serving:
    """Runs a server; gives the addresses of its spot and its control port."""
    return _serving
