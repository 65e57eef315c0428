"""`symbols.yaml`: what is collected. Reads it, checks it, and edits it with its comments kept."""

import os
import re
import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from shared.errors import ConfigurationError
from shared.market.instruments import (
    Exchange,
    Instrument,
    Market,
    Subscription,
    contract_usd,
    is_safe_symbol,
)
from shared.market.numbering import kind_of

FILE_VERSION = 1
# Without `trade`, which Binance does not document for futures and may fall silent.
_OF_FUTURES = ("aggTrade", "depth@100ms", "kline_1m", "bookTicker", "markPrice@1s")
DEFAULT_CHANNELS = {
    Market.SPOT: ("aggTrade", "trade", "depth@100ms", "kline_1m", "bookTicker"),
    Market.UM: _OF_FUTURES,
    Market.CM: _OF_FUTURES,
}
"""What is collected of a symbol without a list of its own."""

_CHANNEL = re.compile(
    r"aggTrade|trade|bookTicker|markPrice@1s|depth(@\d+ms)?|kline_(1s|1m|3m|5m|15m|30m|1h|2h|4h|6h|8h|12h|1d|3d|1w|1M)"
)
_E = TypeVar("_E", bound=StrEnum)
_SYMBOL_FIELDS = {"enabled", "channels", "venue_symbol"}


class SymbolEntry(msgspec.Struct, frozen=True, order=True):
    """One symbol of the file."""

    instrument: Instrument
    enabled: bool
    channels: tuple[str, ...]


class SymbolBook(msgspec.Struct, frozen=True):
    """All symbols of the file, sorted."""

    entries: tuple[SymbolEntry, ...]

    def subscriptions(self, exchange: Exchange) -> tuple[Subscription, ...]:
        """Return what one exchange's service subscribes: each channel of each enabled symbol."""
        return tuple(
            Subscription(entry.instrument, channel)
            for entry in self.entries
            if entry.enabled and entry.instrument.exchange is exchange
            for channel in entry.channels
        )

    def instruments(self) -> tuple[Instrument, ...]:
        """Return every listed instrument, disabled ones too."""
        return tuple(entry.instrument for entry in self.entries)

    def exchanges(self) -> tuple[Exchange, ...]:
        """Return the exchanges with at least one listed symbol."""
        return tuple(sorted({instrument.exchange for instrument in self.instruments()}))


def is_channel(text: str) -> bool:
    """Say whether a channel name is one that the file may hold."""
    return _CHANNEL.fullmatch(text) is not None


def load_symbols(path: Path) -> SymbolBook:
    """Read and check the file.

    Raises:
        ConfigurationError: names the file and every fault in it, each with its place.
    """
    return parse_symbols(_read(path), path)


def file_version(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when the file is written or replaced; None while there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def parse_symbols(document: Any, path: Path) -> SymbolBook:
    """Check a loaded document and return its symbols; raises as `load_symbols`."""
    faults: list[str] = []
    entries = sorted(_entries(document, faults))
    if faults:
        raise ConfigurationError(
            str(path), "; ".join(faults), "Correct the file; docs/symbols.md shows its form."
        )
    return SymbolBook(tuple(entries))


def _entries(document: Any, faults: list[str]) -> Iterator[SymbolEntry]:
    if not isinstance(document, dict):
        faults.append("the file is not a mapping")
        return
    faults.extend(f"unknown key {key!r}" for key in set(document) - {"version", "exchanges"})
    if document.get("version") != FILE_VERSION:
        faults.append(f"version: must be {FILE_VERSION}, is {document.get('version')!r}")
    for exchange_name, markets in _mapping(document.get("exchanges"), "exchanges", faults):
        exchange = _member(Exchange, exchange_name, "exchanges", faults)
        where = f"exchanges.{exchange_name}"
        for market_name, symbols in _mapping(markets, where, faults):
            market = _member(Market, market_name, where, faults)
            place = f"{where}.{market_name}"
            for symbol, fields in _mapping(symbols, place, faults):
                if exchange and market:
                    yield from _entry(exchange, market, symbol, fields, f"{place}.{symbol}", faults)


def _entry(
    exchange: Exchange, market: Market, symbol: Any, fields: Any, where: str, faults: list[str]
) -> Iterator[SymbolEntry]:
    before = len(faults)
    if not isinstance(symbol, str) or not is_safe_symbol(symbol):
        faults.append(f"{where}: not a symbol; letters, digits, `_`, `-` and `.` only")
    given = dict(_mapping(fields, where, faults))
    faults.extend(f"{where}: unknown key {key!r}" for key in set(given) - _SYMBOL_FIELDS)
    enabled = given.get("enabled", True)
    if not isinstance(enabled, bool):
        faults.append(f"{where}.enabled: must be true or false, is {enabled!r}")
    venue_symbol = given.get("venue_symbol", symbol)
    if not isinstance(venue_symbol, str) or not is_safe_symbol(venue_symbol):
        faults.append(f"{where}.venue_symbol: {venue_symbol!r} is not a symbol")
    elif market is Market.CM and contract_usd(str(symbol)) != contract_usd(venue_symbol):
        faults.append(
            f"{where}: contracts of {venue_symbol} are worth {contract_usd(venue_symbol)} USD, under this"
            f" name they would be counted as {contract_usd(str(symbol))}"
        )
    channels = given.get("channels", list(DEFAULT_CHANNELS[market]))
    faults.extend(_channel_faults(channels, market, where))
    if len(faults) == before:
        instrument = Instrument(exchange, market, str(symbol), str(venue_symbol))
        yield SymbolEntry(instrument, bool(enabled), tuple(str(channel) for channel in channels))


def _channel_faults(channels: Any, market: Market, where: str) -> Iterator[str]:
    if not isinstance(channels, list) or not channels:
        yield f"{where}.channels: must be a list with at least one channel"
        return
    for channel in channels:
        if not isinstance(channel, str) or not is_channel(channel):
            yield f"{where}.channels: {channel!r} is no channel"
        elif market is Market.SPOT and kind_of(channel) == "markPrice":
            yield f"{where}.channels: {channel!r} is told of futures only"
    if len(set(map(str, channels))) < len(channels):
        yield f"{where}.channels: a channel stands twice"


def _mapping(value: Any, where: str, faults: list[str]) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    else:
        faults.append(f"{where}: must be a mapping, is {value!r}")


def _member(kind: type[_E], value: Any, where: str, faults: list[str]) -> _E | None:
    try:
        return kind(value)
    except ValueError:
        faults.append(f"{where}: {value!r} is none of {', '.join(kind)}")
        return None


class SymbolFile:
    """The file as it stands on disk, open for edits that keep its comments and order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.document: Any = _read(path)

    def symbol(self, exchange: Exchange, market: Market, symbol: str) -> dict[str, Any] | None:
        """Return a symbol's own mapping, or None where it is not listed."""
        found: dict[str, Any] | None = (
            self.document["exchanges"].get(exchange, {}).get(market, {}).get(symbol)
        )
        return found

    def put(self, exchange: Exchange, market: Market, symbol: str, fields: dict[str, Any]) -> None:
        """Add a symbol, or set some fields of one that is listed."""
        markets = self.document["exchanges"].setdefault(str(exchange), {})
        markets.setdefault(str(market), {}).setdefault(symbol, {}).update(fields)

    def remove(self, exchange: Exchange, market: Market, symbol: str) -> None:
        """Take a symbol out; an emptied market goes with it. KeyError if it is not listed."""
        markets = self.document["exchanges"][exchange]
        del markets[market][symbol]
        if not markets[market]:
            del markets[market]

    def save(self) -> None:
        """Check the document, then put it in the file's place in one step.

        Raises:
            ConfigurationError: the edit would make the file invalid; the file stays as it was.
        """
        parse_symbols(self.document, self._path)
        with tempfile.NamedTemporaryFile(
            "w", dir=self._path.parent, prefix=self._path.name, delete=False, encoding="utf-8"
        ) as draft:
            _yaml().dump(self.document, draft)
            draft.flush()
            os.fsync(draft.fileno())
        if self._path.exists():
            Path(draft.name).chmod(self._path.stat().st_mode & 0o777)
        Path(draft.name).replace(self._path)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 120
    return yaml


def _read(path: Path) -> Any:
    try:
        return _yaml().load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            str(path), f"cannot be read ({error.strerror})", "Set CRYPTO_PATHS__SYMBOLS_FILE."
        ) from error
    except YAMLError as error:
        raise ConfigurationError(
            str(path), f"is not YAML ({error})", "Correct the line that is named."
        ) from error
