"""Binance's WebSocket and REST messages as they travel, with Binance's own field names.

Unknown keys are ignored, since new ones appear without notice; a missing or malformed one is a decode
error. Times are ms, or µs on spot with `timeUnit=MICROSECOND`: `to_us` tells them by size.
"""

from decimal import Decimal

import msgspec

Level = tuple[Decimal, Decimal]

_MICROSECONDS_FROM = 10**14  # 13 digits are ms, 16 are µs


def to_us(time: int) -> int:
    """Return a venue time in µs since the epoch."""
    return time if time >= _MICROSECONDS_FROM else time * 1000


class Trade(msgspec.Struct):
    """`trade`; futures add the execution type `X`."""

    E: int
    T: int
    t: int
    p: Decimal
    q: Decimal
    m: bool
    X: str | None = None


class AggTrade(msgspec.Struct):
    """`aggTrade`."""

    E: int
    T: int
    a: int
    p: Decimal
    q: Decimal
    f: int
    l: int  # noqa: E741 - the venue's name
    m: bool


class Depth(msgspec.Struct):
    """`depthUpdate`; futures add `pu` and `T`."""

    E: int
    U: int
    u: int
    b: list[Level]
    a: list[Level]
    pu: int | None = None
    T: int | None = None


class BookTicker(msgspec.Struct):
    """`bookTicker`; spot sends neither time nor event type."""

    u: int
    b: Decimal
    B: Decimal
    a: Decimal
    A: Decimal
    E: int | None = None
    T: int | None = None


class Candle(msgspec.Struct):
    """The `k` of a kline message."""

    t: int
    T: int
    i: str
    o: Decimal
    h: Decimal
    l: Decimal  # noqa: E741 - the venue's name
    c: Decimal
    v: Decimal
    q: Decimal
    n: int
    V: Decimal
    Q: Decimal
    f: int
    L: int
    x: bool


class Kline(msgspec.Struct):
    """`kline`."""

    E: int
    k: Candle


class Failure(msgspec.Struct):
    """What a refused request says; the id may be missing."""

    msg: str = ""
    code: int = 0


class Control(msgspec.Struct):
    """Anything that is not stream data: acknowledgements and both shapes of errors."""

    id: int | str | None = None
    code: int | None = None
    msg: str = ""
    error: Failure | None = None
    stream: str | None = None


class AggTradeRow(msgspec.Struct):
    """A row of REST `aggTrades`: the stream's fields without a time of sending."""

    T: int
    a: int
    p: Decimal
    q: Decimal
    f: int
    l: int  # noqa: E741 - the venue's name
    m: bool


class TradeRow(msgspec.Struct):
    """A row of REST `historicalTrades`."""

    id: int
    price: Decimal
    qty: Decimal
    time: int
    isBuyerMaker: bool  # noqa: N815 - the venue's name


class DepthSnapshot(msgspec.Struct):
    """The body of REST `depth`."""

    lastUpdateId: int  # noqa: N815 - the venue's name
    bids: list[Level]
    asks: list[Level]
