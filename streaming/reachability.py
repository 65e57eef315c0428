"""What `crypto-stream check` finds: whether venues and Kafka answer at their addresses."""

import asyncio
from collections.abc import Iterable, Iterator

import httpx
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from picows import WSError
from rich.table import Table

from streaming.config import ConnectionPlan, Endpoint
from streaming.exchanges.binance import stream_name
from streaming.web_socket import open_socket

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
    endpoints = {item.endpoint for item in connections}
    found = {fault for endpoint in endpoints for fault in _venue_faults(endpoint)}
    found.update(_kafka_faults(bootstrap_servers))
    return sorted(found)


def _venue_faults(endpoint: Endpoint) -> Iterator[str]:
    try:
        # A venue that refuses this place, or is in trouble, answers too, but not with success.
        url = endpoint.rest_url + endpoint.ping_path
        httpx.get(url, timeout=_ANSWER_S).raise_for_status()
    except httpx.HTTPError as error:
        yield f"{endpoint.rest_url} ({error})"
    try:
        asyncio.run(_open_and_close(endpoint.ws_url))
    except (WSError, OSError) as error:
        yield f"{endpoint.ws_url} ({error})"


async def _open_and_close(ws_url: str) -> None:
    await (await open_socket(ws_url)).close()


def _kafka_faults(bootstrap_servers: str) -> Iterator[str]:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        admin.list_topics(timeout=_ANSWER_S)
    except KafkaException as error:
        yield f"Kafka at {bootstrap_servers} ({error.args[0]})"
