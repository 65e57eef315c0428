"""`crypto-stream`: run the collector, or look at what it would do."""

import asyncio
import sys
from typing import Annotated

import httpx
import structlog
import typer
import uvloop
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

app = typer.Typer(
    help="Collect market data from exchanges into Kafka. Settings are CRYPTO_* variables; see .env.example.",
    no_args_is_help=True,
)


@app.command()
def run() -> None:
    """Collect until SIGINT or SIGTERM, then flush and leave. Exit 1 if a record was not delivered."""
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
    offline: Annotated[bool, typer.Option(help="Only show the plan; ask no venue.")] = False,
) -> None:
    """Show which connection would carry what, and whether the venue answers (exit 1 if not)."""
    settings = load_settings()
    symbols = load_symbols(settings.paths.symbols_file)
    connections = plan(settings.binance, symbols.subscriptions(Exchange.BINANCE))
    table = Table("connection", "address", "streams", "of at most", "first streams")
    for item in connections:
        first = ", ".join(stream_name(one) for one in item.subscriptions[:4])
        limit = str(item.endpoint.most_streams)
        table.add_row(item.name, item.endpoint.ws_url, str(len(item.subscriptions)), limit, first)
    console = Console()
    console.print(table)
    if not offline:
        faults = [fault for item in connections if (fault := _unreachable(item.endpoint))]
        for fault in sorted(set(faults)):
            console.print(f"not reachable: {fault}")
        sys.exit(1 if faults else 0)


def _unreachable(endpoint: Endpoint) -> str | None:
    try:
        httpx.get(endpoint.rest_url, timeout=10)
    except httpx.HTTPError as error:
        return f"{endpoint.rest_url} ({error})"
    return None


def main() -> None:
    """Run the command line; a bad setting or file is one clear line, exit 2."""
    try:
        app()
    except LakehouseError as error:
        Console(stderr=True).print(f"[red]{error}[/red]")
        sys.exit(2)


if __name__ == "__main__":
    main()
