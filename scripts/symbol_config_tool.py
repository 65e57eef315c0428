"""Manage config/symbols.yaml: what is collected.

Examples:
  python scripts/symbol_config_tool.py list
  python scripts/symbol_config_tool.py add binance um BTCUSDT --channels aggTrade,depth@100ms
  python scripts/symbol_config_tool.py disable binance spot SOLUSDT
"""

import difflib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from shared.errors import ConfigurationError, LakehouseError
from shared.market.instruments import Exchange, Market, contract_usd
from shared.settings import load_settings
from shared.symbol_manager import (
    DEFAULT_CHANNELS,
    SymbolBook,
    SymbolEntry,
    SymbolFile,
    load_symbols,
)
from streaming.binance_websocket import rest_address

app = typer.Typer(
    help="Manage the symbols file. A running streaming service follows a change within 5 seconds.",
    no_args_is_help=True,
)
console = Console()
_INFO_PATHS = {
    Market.SPOT: "/api/v3/exchangeInfo",
    Market.UM: "/fapi/v1/exchangeInfo",
    Market.CM: "/dapi/v1/exchangeInfo",
}

OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Do not ask the venue whether it lists the symbol.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ChannelsOption = Annotated[
    str | None,
    typer.Option(
        help=f"Comma-separated; default of spot {','.join(DEFAULT_CHANNELS[Market.SPOT])}, "
        f"of futures {','.join(DEFAULT_CHANNELS[Market.UM])}."
    ),
]


@app.callback()
def choose_file(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Option(help="The file (default: CRYPTO_PATHS__SYMBOLS_FILE).")
    ] = None,
) -> None:
    """Remember which file is meant."""
    context.obj = file or load_settings().paths.symbols_file


@app.command(name="list")
def list_symbols(context: typer.Context, as_json: JsonOption = False) -> None:
    """List every symbol with its channels."""
    entries = load_symbols(context.obj).entries
    if as_json:
        print(json.dumps([_plain(entry) for entry in entries], indent=1))
        return
    table = Table("exchange", "market", "symbol", "enabled", "channels")
    for entry in entries:
        fields = _plain(entry)
        table.add_row(
            fields["exchange"],
            fields["market"],
            fields["symbol"],
            "yes" if entry.enabled else "no",
            ", ".join(entry.channels),
        )
    console.print(table)


@app.command()
def show(context: typer.Context, exchange: Exchange, market: Market, symbol: str) -> None:
    """Show one symbol as JSON."""
    print(json.dumps(_plain(_entry(load_symbols(context.obj), exchange, market, symbol)), indent=1))


@app.command()
def add(
    context: typer.Context,
    exchange: Exchange,
    market: Market,
    symbol: str,
    channels: ChannelsOption = None,
    disabled: Annotated[
        bool, typer.Option("--disabled", help="List it, do not collect yet.")
    ] = False,
    offline: OfflineOption = False,
) -> None:
    """Add a symbol that the venue lists."""
    file = SymbolFile(context.obj)
    if file.symbol(exchange, market, symbol) is not None:
        raise ConfigurationError(symbol, "is listed already", "Use set, enable or disable.")
    _refuse_unlisted([(exchange, market, symbol)], offline)
    names = channels.split(",") if channels else list(DEFAULT_CHANNELS[market])
    file.put(exchange, market, symbol, {"enabled": not disabled, "channels": names})
    file.save()
    console.print(f"added {exchange} {market} {symbol}: {', '.join(names)}")


@app.command()
def remove(context: typer.Context, exchange: Exchange, market: Market, symbol: str) -> None:
    """Remove a symbol. Records of it still in Kafka are refused from then on; disable keeps them."""
    _entry(load_symbols(context.obj), exchange, market, symbol)
    file = SymbolFile(context.obj)
    file.remove(exchange, market, symbol)
    file.save()
    console.print(f"removed {exchange} {market} {symbol}")


@app.command()
def enable(context: typer.Context, exchange: Exchange, market: Market, symbol: str) -> None:
    """Collect a listed symbol."""
    _put(context.obj, exchange, market, symbol, {"enabled": True})


@app.command()
def disable(context: typer.Context, exchange: Exchange, market: Market, symbol: str) -> None:
    """Stop collecting a symbol, and keep it in the file."""
    _put(context.obj, exchange, market, symbol, {"enabled": False})


@app.command(name="set")
def set_channels(
    context: typer.Context,
    exchange: Exchange,
    market: Market,
    symbol: str,
    channels: Annotated[str, typer.Option(help="Comma-separated.")],
) -> None:
    """Set a symbol's channels."""
    _put(context.obj, exchange, market, symbol, {"channels": channels.split(",")})


@app.command()
def validate(
    context: typer.Context,
    offline: OfflineOption = False,
) -> None:
    """Check the file and, unless --offline, that every symbol is listed by its venue."""
    instruments = [entry.instrument for entry in load_symbols(context.obj).entries]
    _refuse_unlisted([(one.exchange, one.market, one.venue_symbol) for one in instruments], offline)
    console.print(f"{context.obj}: {len(instruments)} symbols, valid")


@app.command()
def diff(
    context: typer.Context,
    other: Annotated[
        Path | None, typer.Argument(help="Another file; without it the last commit's.")
    ] = None,
) -> None:
    """Show what differs from another file, or from the last commit. Exit 1 if anything does."""
    path: Path = context.obj
    before = other.read_text() if other else _committed(path)
    lines = list(
        difflib.unified_diff(
            before.splitlines(),
            path.read_text().splitlines(),
            str(other or "last commit"),
            str(path),
            lineterm="",
        )
    )
    for line in lines:
        print(line)
    sys.exit(1 if lines else 0)


def _put(
    path: Path, exchange: Exchange, market: Market, symbol: str, fields: dict[str, Any]
) -> None:
    _entry(load_symbols(path), exchange, market, symbol)
    file = SymbolFile(path)
    file.put(exchange, market, symbol, fields)
    file.save()
    changes = ", ".join(f"{name} = {value}" for name, value in fields.items())
    console.print(f"{exchange} {market} {symbol}: {changes}")


def _entry(book: SymbolBook, exchange: Exchange, market: Market, symbol: str) -> SymbolEntry:
    for entry in book.entries:
        found = entry.instrument
        if (found.exchange, found.market, found.symbol) == (exchange, market, symbol):
            return entry
    close = difflib.get_close_matches(symbol, [item.symbol for item in book.instruments()])
    hint = f"Did you mean {', '.join(close)}?" if close else "See the command list."
    raise ConfigurationError(f"{exchange} {market} {symbol}", "is not in the file", hint)


def _plain(entry: SymbolEntry) -> dict[str, Any]:
    instrument = entry.instrument
    return {
        "exchange": str(instrument.exchange),
        "market": str(instrument.market),
        "symbol": instrument.symbol,
        "venue_symbol": instrument.venue_symbol,
        "enabled": entry.enabled,
        "channels": list(entry.channels),
    }


def _refuse_unlisted(wanted: Sequence[tuple[Exchange, Market, str]], offline: bool) -> None:
    """Ask each market once, and name every symbol that it does not list as the lake takes it to be."""
    if offline:
        names = ", ".join(symbol for _, _, symbol in wanted)
        console.print(f"--offline: not asked whether the venue lists {names}")
        return
    listed = {place: _listed(*place) for place in sorted({one[:2] for one in wanted})}
    faults = []
    for exchange, market, symbol in wanted:
        names = listed[exchange, market]
        if symbol not in names:
            close = difflib.get_close_matches(symbol, names)
            hint = f" (did you mean {', '.join(close)}?)" if close else ""
            faults.append(f"{symbol} on {exchange} {market}{hint}")
        elif market is Market.CM and names[symbol].get("contractSize") != contract_usd(symbol):
            size = names[symbol].get("contractSize")
            faults.append(
                f"{symbol} as a contract of {contract_usd(symbol)} USD, as CONTRACT_USD in"
                f" shared/market/instruments.py has it, but of {size or 'no size'}"
            )
    if faults:
        raise ConfigurationError(
            "the venue does not list", "; ".join(faults), "See its exchangeInfo, or use --offline."
        )


def _listed(exchange: Exchange, market: Market) -> dict[str, dict[str, Any]]:
    if exchange is not Exchange.BINANCE:
        raise ConfigurationError(f"{exchange}", "cannot be collected yet", "Use binance.")
    url = rest_address(load_settings().binance, market)[0] + _INFO_PATHS[market]
    try:
        answer = httpx.get(url, timeout=20).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise ConfigurationError(
            url, f"cannot be asked ({error})", "Use --offline to go on without the venue."
        ) from error
    return {item["symbol"]: item for item in answer["symbols"]}


def _committed(path: Path) -> str:
    command = ["git", "show", f"HEAD:./{path.name}"]
    done = subprocess.run(  # noqa: S603 - a fixed command and the file's own name
        command, cwd=path.resolve().parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ConfigurationError(
            str(path), "has no committed version", "Name a file to compare with."
        )
    return done.stdout


def main() -> None:
    """Run the command line; what cannot be done is one clear line, exit 2."""
    try:
        app()
    except LakehouseError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
