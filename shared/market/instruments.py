"""What is traded where: exchanges, markets and instruments."""

import re
from enum import StrEnum

import msgspec

# Symbols become partition paths and message keys: letters and digits of any script,
# and the `_`, `-` and `.` of dated contracts, never a separator or a leading dot.
_SAFE_SYMBOL = re.compile(r"[^\W_][\w.\-]{0,63}")


class Exchange(StrEnum):
    """Venues, by the name used in topics, tables and `symbols.yaml`."""

    BINANCE = "binance"
    OKX = "okx"
    BYBIT = "bybit"
    GATEIO = "gateio"
    HYPERLIQUID = "hyperliquid"


class Market(StrEnum):
    """Kinds of market: spot, USD-margined (`um`) and coin-margined (`cm`) futures."""

    SPOT = "spot"
    UM = "um"
    CM = "cm"


CONTRACT_USD = {"BTCUSD": 100, "": 10}
"""USD that a coin-margined contract of Binance is worth, by how its symbol begins; the first match counts.

Source: `contractSize` in the venue's `/dapi/v1/exchangeInfo`.
"""


class Instrument(msgspec.Struct, frozen=True, order=True):
    """One thing that can be subscribed.

    `symbol` is canonical (BASE+QUOTE, `BTCUSDT`; a dated contract carries its expiry);
    `venue_symbol` is what the venue calls it.
    """

    exchange: Exchange
    market: Market
    symbol: str
    venue_symbol: str


class Subscription(msgspec.Struct, frozen=True, order=True):
    """One channel of one instrument, for example BTCUSDT's `depth@100ms`."""

    instrument: Instrument
    channel: str


def contract_usd(symbol: str) -> int:
    """Return the USD that one coin-margined contract is worth, see `CONTRACT_USD`."""
    return next(usd for begin, usd in CONTRACT_USD.items() if symbol.startswith(begin))


def is_safe_symbol(symbol: str) -> bool:
    """Say whether a symbol may name a partition folder and a message key."""
    return _SAFE_SYMBOL.fullmatch(symbol) is not None
