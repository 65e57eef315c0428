"""Which days of which channels a backfill brings in. Pure."""

from collections.abc import Iterable
from datetime import date, timedelta

from shared.errors import ConfigurationError
from shared.market.instruments import Exchange, Market, Subscription
from shared.symbol_manager import SymbolBook
from streaming.exchanges.binance_archive import is_archived


def days_of(first: date, last: date, today: date) -> list[date]:
    """Return the days from first to last.

    Raises:
        ConfigurationError: there are none, or the last is not over.
    """
    if last < first:
        raise ConfigurationError("--to", f"{last} is before --from {first}", "Give days in order.")
    if last >= today:
        raise ConfigurationError("--to", f"{last} is not over yet in UTC", "Give past days.")
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def wanted(
    book: SymbolBook, symbols: Iterable[str], market: Market | None, channels: Iterable[str]
) -> list[Subscription]:
    """Return what to bring in: by default what is collected and archived.

    Args:
        book: the symbols file; the lake refuses records of a symbol that it does not list.
        symbols: canonical; empty for the enabled ones, named ones may be disabled.
        market: None for all.
        channels: empty for those of each symbol that the archive has.

    Raises:
        ConfigurationError: a symbol is not listed, a channel is not archived, or nothing is left.
    """
    named, chosen = set(symbols), list(channels)
    for channel in chosen:
        if not is_archived(channel):
            raise ConfigurationError(
                f"--channel {channel}",
                "the archive has no day files of it",
                "It has aggTrade, trade and kline_1s to kline_1d.",
            )
    entries = [
        entry
        for entry in book.entries
        if entry.instrument.exchange is Exchange.BINANCE
        and market in {None, entry.instrument.market}
        and (entry.instrument.symbol in named if named else entry.enabled)
    ]
    unlisted = sorted(named - {entry.instrument.symbol for entry in entries})
    if unlisted:
        raise ConfigurationError(
            f"--symbol {unlisted[0]}",
            "the symbols file does not list it" + (f" in {market}" if market else ""),
            "Add it: python scripts/symbol_config_tool.py add binance spot SYMBOL, or um, cm.",
        )
    found = [
        Subscription(entry.instrument, channel)
        for entry in entries
        for channel in chosen or filter(is_archived, entry.channels)
    ]
    if not found:
        raise ConfigurationError(
            "the symbols file", "nothing in it is archived", "Name --symbol and --channel."
        )
    return found
