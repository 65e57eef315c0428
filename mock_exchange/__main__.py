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

from mock_exchange.control import Control
from mock_exchange.fault_kinds import AnyFault
from mock_exchange.listings import LISTINGS, Listing, synthetic
from mock_exchange.player import Player
from mock_exchange.recordings import contents, symbols_yaml
from mock_exchange.scenario import load_scenario
from mock_exchange.server import MockServer
from mock_exchange.simulation import Simulation
from mock_exchange.trade_memory import KEPT_TRADES
from mock_exchange.venue import Venue
from shared.clock import SystemClock
from shared.errors import ConfigurationError, LakehouseError
from shared.market.instruments import Market
from shared.settings import MockSettings, load_settings

app = typer.Typer(
    help="A venue on this machine that speaks Binance's protocol over real sockets. "
    "Spot listens at CRYPTO_MOCK__PORT, um one port above, cm two, control (/status, /faults, /truth, /clients) nine above.",
    no_args_is_help=True,
)
CONTROL_OFFSET = 9
_MARKET_OFFSETS = {Market.SPOT: 0, Market.UM: 1, Market.CM: 2}

_Symbols = Annotated[str, typer.Option(help="Comma-separated; empty for synthetic ones only.")]
_SyntheticCount = Annotated[int, typer.Option(min=0, help="Synthetic symbols: SIM000USDT, …")]
_Markets = Annotated[str, typer.Option(help="spot, um, or both.")]
_KeptTrades = Annotated[int, typer.Option(min=1, help="Trades per symbol that REST can tell.")]
_Archive = Annotated[
    Path | None,
    typer.Option(file_okay=False, help="A folder of archive files at the venue's paths."),
]
_Scenario = Annotated[Path | None, typer.Option(help="A YAML or JSON list of timed faults.")]


async def _serve(
    mock: MockSettings,
    venue_of: Callable[[MockServer], Venue],
    scenario: list[AnyFault],
    seed: int,
    archive: Path | None,
) -> None:
    server = MockServer(SystemClock(), scenario, seed, archive)
    server.venue = venue_of(server)
    apps = {offset: server.app(market) for market, offset in _MARKET_OFFSETS.items()}
    apps[CONTROL_OFFSET] = Control(server).app()
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
        running = tasks.create_task(server.run())
        await stop.wait()
        running.cancel()
    for runner in runners:
        await runner.cleanup()


def _run(
    venue_of: Callable[[MockServer], Venue], scenario: Path | None, seed: int, archive: Path | None
) -> None:
    faults = [] if scenario is None else load_scenario(scenario)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(load_settings().mock, venue_of, faults, seed, archive))


def _listings(symbols: str, count: int, quiet_share: float) -> list[Listing]:
    """Return the named symbols and the synthetic ones; raises ConfigurationError."""
    names = [name for name in symbols.split(",") if name]
    unknown = [name for name in names if name not in LISTINGS]
    if unknown:
        problem = f"{unknown[0]} is not simulated"
        raise ConfigurationError("--symbols", problem, f"There are {', '.join(LISTINGS)}.")
    return [LISTINGS[name] for name in names] + synthetic(count, quiet_share)


@app.command()
def simulate(
    seed: Annotated[
        int, typer.Option(help="The same seed moves prices and chooses in faults the same way.")
    ] = 1,
    symbols: _Symbols = "BTCUSDT,ETHUSDT,SOLUSDT",
    count: _SyntheticCount = 0,
    quiet_share: Annotated[
        float, typer.Option(min=0, max=1, help="Of the synthetic symbols, move rarely.")
    ] = 0.0,
    markets: _Markets = "spot,um",
    rate: Annotated[float, typer.Option(help="Market orders per second and symbol.")] = 5.0,
    kept_trades: _KeptTrades = KEPT_TRADES,
    scenario: _Scenario = None,
    archive: _Archive = None,
) -> None:
    """Simulate: ids, books, trades and candles that agree with each other to the last digit."""
    listings = _listings(symbols, count, quiet_share)
    names = [(Market(market), listing) for market in markets.split(",") for listing in listings]
    _run(
        lambda server: Simulation(names, seed, rate, kept_trades, server, SystemClock()),
        scenario,
        seed,
        archive,
    )


@app.command()
def play(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)],
    speed: Annotated[str, typer.Option(help="1, 10, … times the recorded pace, or max.")] = "max",
    rewind: Annotated[
        bool, typer.Option(help="Start again when subscribers come back after a loss.")
    ] = False,
    kept_trades: _KeptTrades = KEPT_TRADES,
    scenario: _Scenario = None,
    archive: _Archive = None,
    seed: Annotated[int, typer.Option(help="Decides what faults leave to chance.")] = 1,
) -> None:
    """Play recordings (gzip JSON lines of recv_ns, kind, url, raw) to whoever subscribes them."""
    pace = None if speed == "max" else float(speed)
    _run(
        lambda server: Player(files, server, SystemClock(), pace, rewind, kept_trades),
        scenario,
        seed,
        archive,
    )


@app.command()
def symbols(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)],
) -> None:
    """Print the symbols.yaml that subscribes just what the recordings hold."""
    sys.stdout.write(symbols_yaml(contents(files)))


@app.command()
def listings(
    symbols: _Symbols = "BTCUSDT,ETHUSDT,SOLUSDT",
    count: _SyntheticCount = 0,
    markets: _Markets = "spot,um",
) -> None:
    """Print the symbols.yaml that subscribes what `simulate` with the same options offers."""
    names = [listing.symbol for listing in _listings(symbols, count, 0.0)]
    lines = ["version: 1", "exchanges:", "  binance:"]
    for market in markets.split(","):
        lines += [f"    {Market(market)}:", *(f"      {name}: {{}}" for name in names)]
    sys.stdout.write("\n".join(lines) + "\n")


def main() -> None:
    """Run the command line; a bad setting or file is one clear line, exit 2."""
    try:
        app()
    except LakehouseError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
