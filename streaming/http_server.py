"""Liveness, readiness and metrics over HTTP; renders what it is told, decides nothing."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector


async def start_http_server(
    host: str, port: int, reasons: Callable[[], list[str]], collector: Collector
) -> web.AppRunner:
    """Serve `/livez`, `/readyz` and `/metrics`; the caller cleans the runner up.

    Args:
        host: address to bind.
        port: port to bind.
        reasons: why the service is not ready; none when it is.
        collector: what `/metrics` shows.
    """
    registry = CollectorRegistry()
    registry.register(collector)

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def readyz(_request: web.Request) -> web.Response:
        found = reasons()
        return web.json_response(
            {"ready": not found, "reasons": found}, status=503 if found else 200
        )

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = web.Application()
    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
