import socket

import httpx
import pytest

from shared.errors import ConfigurationError
from streaming.http_server import Doors, start_http_server
from streaming.instrumentation import (
    ConnectionStats,
    HealingStats,
    ProducerStats,
    StreamingCollector,
)


def doors(reasons):
    stats = [ConnectionStats("a", received=3)]
    states = [("a", "live"), ("a", "live"), ("a", "stale")]
    collector = StreamingCollector(lambda: stats, ProducerStats, lambda: states, HealingStats)
    return Doors(lambda: reasons, lambda: iter([{"symbol": "X"}]), [collector])


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_readiness_follows_the_reasons_it_is_given(port):
    reasons = ["a: not connected"]
    runner = await start_http_server("127.0.0.1", port, doors(reasons))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/livez")).json() == {"alive": True}
            refused = await client.get("/readyz")
            assert (refused.status_code, refused.json()) == (
                503,
                {"ready": False, "reasons": ["a: not connected"]},
            )
            reasons.clear()
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()) == (200, {"ready": True, "reasons": []})
            shown = (await client.get("/metrics")).text
            assert 'crypto_received_total{connection="a"} 3.0' in shown
            assert 'crypto_subscriptions{connection="a",state="live"} 2.0' in shown
            assert (await client.get("/status")).json() == {"streams": [{"symbol": "X"}]}
    finally:
        await runner.cleanup()


async def test_a_taken_port_is_an_error_that_names_the_variable(port):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        with pytest.raises(ConfigurationError, match="CRYPTO_STREAMING__HTTP_PORT"):
            await start_http_server("127.0.0.1", port, doors([]))
