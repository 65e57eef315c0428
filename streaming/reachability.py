"""What `crypto-stream check` finds: whether venues and Kafka answer at their addresses."""

import asyncio
from collections.abc import Iterable, Iterator

import httpx
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from picows.websockets.asyncio.client import connect
from picows.websockets.exceptions import WebSocketException
from rich.table import Table

from streaming.config import ConnectionPlan, Endpoint
from streaming.exchanges.binance import stream_name

_ANSWER_S = 10.0


def plan_table(connections: Iterable[ConnectionPlan]) -> Table:
    """Return which connection would carry what, beside the venue's limit."""
    table = Table("connection", "address", "streams", "of at most", "first streams")
    for item in connections:
        first = ", ".join(stream_name(one) for one in item.subscriptions[:4])
        limit = str(item.endpoint.most_streams)
        table.add_row(item.name, item.endpoint.ws_url, str(len(item.subscriptions)), limit, first)
    return table


def faults(connections: Iterable[ConnectionPlan], bootstrap_servers: str) -> list[str]:
    """Return what does not answer: REST and WebSocket addresses, and Kafka."""
    found = {fault for item in connections for fault in _venue_faults(item.endpoint)}
    found.update(_kafka_faults(bootstrap_servers))
    return sorted(found)


def _venue_faults(endpoint: Endpoint) -> Iterator[str]:
    try:
        httpx.get(endpoint.rest_url, timeout=_ANSWER_S)
    except httpx.HTTPError as error:
        yield f"{endpoint.rest_url} ({error})"
    try:
        asyncio.run(_open_and_close(endpoint.ws_url))
    except (WebSocketException, OSError) as error:
        yield f"{endpoint.ws_url} ({error})"


async def _open_and_close(ws_url: str) -> None:
    async with connect(ws_url, open_timeout=_ANSWER_S, compression=None):
        pass


def _kafka_faults(bootstrap_servers: str) -> Iterator[str]:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        admin.list_topics(timeout=_ANSWER_S)
    except KafkaException as error:
        yield f"Kafka at {bootstrap_servers} ({error.args[0]})"
