"""Liveness, readiness and metrics over HTTP; renders what it is told, decides nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from shared.errors import ConfigurationError


@dataclass(frozen=True)
class Doors:
    """What is shown: why the service is not ready, its subscriptions, its metrics."""

    reasons: Callable[[], list[str]]
    streams: Callable[[], Iterable[dict[str, Any]]]
    collectors: Iterable[Collector]


async def start_http_server(host: str, port: int, doors: Doors) -> web.AppRunner:
    """Serve `/livez`, `/readyz`, `/status` and `/metrics`; the caller cleans the runner up.

    Args:
        host: address to bind.
        port: port to bind.
        doors: what to show.

    Raises:
        ConfigurationError: the address cannot be bound.
    """
    registry = CollectorRegistry()
    for collector in doors.collectors:
        registry.register(collector)

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def readyz(_request: web.Request) -> web.Response:
        found = doors.reasons()
        return web.json_response(
            {"ready": not found, "reasons": found}, status=503 if found else 200
        )

    async def status(_request: web.Request) -> web.Response:
        return web.json_response({"streams": list(doors.streams())})

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = web.Application()
    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/status", status),
            web.get("/metrics", metrics),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigurationError(
            "CRYPTO_STREAMING__HTTP_PORT",
            f"{host}:{port} cannot be bound ({error.strerror})",
            "Free the port, or choose another.",
        ) from error
    return runner
