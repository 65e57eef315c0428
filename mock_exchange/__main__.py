"""`python -m mock_exchange`: simulate a venue, play recordings, or list what they hold."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from aiohttp import web

from mock_exchange.player import Player
from mock_exchange.recordings import contents, symbols_yaml
from mock_exchange.server import MockServer
from mock_exchange.simulation import Simulation
from mock_exchange.venue import Venue
from shared.clock import SystemClock
from shared.errors import LakehouseError
from shared.market.instruments import Market
from shared.settings import MockSettings, load_settings

app = typer.Typer(
    help="A venue on this machine that speaks Binance's protocol over real sockets. "
    "Spot listens at CRYPTO_MOCK__PORT, um one port above, control (GET /status) nine above.",
    no_args_is_help=True,
)
CONTROL_OFFSET = 9
_MARKET_OFFSETS = {Market.SPOT: 0, Market.UM: 1}


async def _serve(mock: MockSettings, venue_of: Callable[[MockServer], Venue]) -> None:
    server = MockServer(SystemClock())
    server.venue = venue_of(server)
    apps = {offset: server.app(market) for market, offset in _MARKET_OFFSETS.items()}
    apps[CONTROL_OFFSET] = server.control_app()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runners = []
    for offset, application in apps.items():
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, mock.host, mock.port + offset).start()
        runners.append(runner)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.venue.run())
        await stop.wait()
        running.cancel()
    for runner in runners:
        await runner.cleanup()


def _run(venue_of: Callable[[MockServer], Venue]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(load_settings().mock, venue_of))


@app.command()
def simulate(
    seed: Annotated[int, typer.Option(help="The same seed moves prices the same way.")] = 1,
    symbols: Annotated[str, typer.Option(help="Comma-separated.")] = "BTCUSDT,ETHUSDT,SOLUSDT",
    markets: Annotated[str, typer.Option(help="spot, um, or both.")] = "spot,um",
    rate: Annotated[float, typer.Option(help="Market orders per second and symbol.")] = 5.0,
) -> None:
    """Simulate: ids, books, trades and candles that agree with each other to the last digit."""
    names = [
        (Market(market), symbol) for market in markets.split(",") for symbol in symbols.split(",")
    ]
    _run(lambda server: Simulation(names, seed, rate, server, SystemClock()))


@app.command()
def play(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)],
    speed: Annotated[str, typer.Option(help="1, 10, … times the recorded pace, or max.")] = "max",
    rewind: Annotated[
        bool, typer.Option(help="Start again when subscribers come back after a loss.")
    ] = False,
) -> None:
    """Play recordings (gzip JSON lines of recv_ns, kind, url, raw) to whoever subscribes them."""
    pace = None if speed == "max" else float(speed)
    _run(lambda server: Player(files, server, SystemClock(), pace, rewind))


@app.command()
def symbols(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)],
) -> None:
    """Print the symbols.yaml that subscribes just what the recordings hold."""
    sys.stdout.write(symbols_yaml(contents(files)))


def main() -> None:
    """Run the command line; a bad setting or file is one clear line, exit 2."""
    try:
        app()
    except LakehouseError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
