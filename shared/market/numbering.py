"""Which channels count their messages, so that a hole in the numbers is a loss: the one list of it.

Facts (Binance): aggregate trade ids are contiguous in every market, trade ids on spot only: on futures
they jump without a loss (insurance fund, ADL). Depth updates form a chain (`U` and `u`, on futures `pu`).
A closed candle comes for every interval, traded in or not. Best quotes have ids that jump as they like,
mark prices none.
"""

from enum import StrEnum

from shared.market.instruments import Exchange, Market


class Numbering(StrEnum):
    """What the numbers of a channel are."""

    TRADES = "trade ids"
    UPDATES = "update ids"
    CANDLES = "candles"


_TRADES: set[tuple[str, str, str]] = {
    (Exchange.BINANCE, Market.SPOT, "trade"),
    *((Exchange.BINANCE, market, "aggTrade") for market in Market),
}
_NUMBERED: dict[tuple[str, str, str], Numbering] = (
    dict.fromkeys(_TRADES, Numbering.TRADES)
    | {(Exchange.BINANCE, market, "depth"): Numbering.UPDATES for market in Market}
    | {(Exchange.BINANCE, market, "kline"): Numbering.CANDLES for market in Market}
)
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
"""Length of each unit that a candle's interval can have."""


def kind_of(channel: str) -> str:
    """Return what a channel carries: `depth` for `depth@100ms`, `kline` for `kline_1m`."""
    return channel.partition("@")[0].partition("_")[0]


def numbering(exchange: str, market: str, channel: str) -> Numbering | None:
    """Return what a channel's contiguous numbers are, None where holes in them say nothing."""
    found = _NUMBERED.get((exchange, market, kind_of(channel)))
    if found is Numbering.CANDLES and interval_seconds(channel) is None:
        return None
    return found


def numbered(kind: Numbering) -> list[tuple[str, str, str]]:
    """Return (exchange, market, kind of channel) of all that is numbered in this way."""
    return sorted(key for key, value in _NUMBERED.items() if value is kind)


def is_fetchable(exchange: str, market: str, channel: str) -> bool:
    """Say whether missing numbers of a channel can be asked for afterwards, at the exchange itself."""
    return numbering(exchange, market, channel) in {Numbering.TRADES, Numbering.CANDLES}


def is_forgotten(exchange: str, market: str, channel: str) -> bool:
    """Say whether the exchange itself forgets numbers after a while, so that only its archive has them.

    Facts (Binance): on futures REST tells aggregate trades of the last 48 hours, on spot of all time.
    """
    return market != Market.SPOT and numbering(exchange, market, channel) is Numbering.TRADES


def interval_seconds(channel: str) -> int | None:
    """Return the length of a candle channel's interval; None for months, which have no one length.

    A candle's number is its open time divided by this.
    """
    interval = channel.partition("_")[2]
    count, unit = interval[:-1], interval[-1:]
    if not count.isdecimal() or unit not in UNIT_SECONDS:
        return None
    return int(count) * UNIT_SECONDS[unit]
