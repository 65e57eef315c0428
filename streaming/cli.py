"""`crypto-stream`: run the collector, or look at what it would do."""

import asyncio
import sys
from collections.abc import Iterator
from typing import Annotated

import httpx
import structlog
import typer
import uvloop
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from picows.websockets.asyncio.client import connect
from picows.websockets.exceptions import WebSocketException
from rich.console import Console
from rich.table import Table

from shared.errors import LakehouseError
from shared.logging_config import configure_logging
from shared.market.instruments import Exchange
from shared.settings import load_settings
from shared.symbol_manager import load_symbols
from streaming.binance_websocket import plan
from streaming.config import Endpoint
from streaming.exchanges.binance import stream_name
from streaming.service import serve

_ANSWER_S = 10.0

app = typer.Typer(
    help="Collect market data from exchanges into Kafka. Settings are CRYPTO_* variables; see .env.example.",
    no_args_is_help=True,
)


@app.command()
def run() -> None:
    """Collect until SIGINT or SIGTERM, then flush and leave.

    What is collected stands in config/symbols.yaml; a change is followed within seconds. Exit 1
    means that Kafka did not answer or did not take a record: start again, nothing restarts here.
    """
    settings = load_settings()
    configure_logging(settings.log, "streaming")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except* LakehouseError as group:
        for error in group.exceptions:
            structlog.get_logger().error("service stopped", error=str(error))
        sys.exit(1)


@app.command()
def check(
    offline: Annotated[bool, typer.Option(help="Only show the plan; ask nobody.")] = False,
) -> None:
    """Show which connection would carry what, and whether the venue and Kafka answer (else exit 1).

    A subscription on a wrong route is acknowledged and stays silent, so this proves addresses, not
    data: for that look at /readyz of the running service.
    """
    settings = load_settings()
    symbols = load_symbols(settings.paths.symbols_file)
    connections = plan(settings.binance, symbols.subscriptions(Exchange.BINANCE))
    table = Table("connection", "address", "streams", "of at most", "first streams")
    for item in connections:
        first = ", ".join(stream_name(one) for one in item.subscriptions[:4])
        limit = str(item.endpoint.most_streams)
        table.add_row(item.name, item.endpoint.ws_url, str(len(item.subscriptions)), limit, first)
    console = Console(soft_wrap=True)
    console.print(table)
    if not offline:
        faults = {fault for item in connections for fault in _venue_faults(item.endpoint)}
        faults.update(_kafka_faults(settings.kafka.bootstrap_servers))
        for fault in sorted(faults):
            console.print(f"not reachable: {fault}")
        if faults:
            sys.exit(1)
        console.print("all answer")


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


def main() -> None:
    """Run the command line; a bad setting or file is one clear line, exit 2."""
    try:
        app()
    except LakehouseError as error:
        Console(stderr=True).print(f"[red]{error}[/red]")
        sys.exit(2)


if __name__ == "__main__":
    main()
