"""Binance's WebSocket and REST messages as they travel, with Binance's own field names.

Unknown keys are ignored, since new ones appear without notice; a missing or malformed one is a decode
error. Times are ms, or µs on spot with `timeUnit=MICROSECOND`: `to_us` tells them by size.
"""

import msgspec

from shared.market.events import Amount, PriceLevel

_MICROSECONDS_FROM = 10**14  # 13 digits are ms, 16 are µs


def to_us(time: int) -> int:
    """Return a venue time in µs since the epoch."""
    return time if time >= _MICROSECONDS_FROM else time * 1000


class Trade(msgspec.Struct, gc=False):
    """`trade`; futures add the execution type `X`."""

    E: int
    T: int
    t: int
    p: Amount
    q: Amount
    m: bool
    X: str | None = None


class AggTradeRow(msgspec.Struct, gc=False):
    """A row of REST `aggTrades`: the stream's fields without a time of sending."""

    T: int
    a: int
    p: Amount
    q: Amount
    f: int
    l: int  # noqa: E741 - the venue's name
    m: bool


class AggTrade(AggTradeRow, gc=False):
    """`aggTrade`."""

    E: int


class Depth(msgspec.Struct, gc=False):
    """`depthUpdate`; futures add `pu` and `T`."""

    E: int
    U: int
    u: int
    b: list[PriceLevel]
    a: list[PriceLevel]
    pu: int | None = None
    T: int | None = None


class BookTicker(msgspec.Struct, gc=False):
    """`bookTicker`; spot sends neither time nor event type."""

    u: int
    b: Amount
    B: Amount
    a: Amount
    A: Amount
    E: int | None = None
    T: int | None = None


class MarkPrice(msgspec.Struct, gc=False):
    """`markPriceUpdate`; delivery contracts send `r` "" and `T` 0, old messages fewer fields."""

    E: int
    p: Amount
    i: Amount | None = None
    P: Amount | None = None
    r: Amount | None = None
    T: int | None = None


class Candle(msgspec.Struct, gc=False):
    """The `k` of a kline message."""

    t: int
    T: int
    i: str
    o: Amount
    h: Amount
    l: Amount  # noqa: E741 - the venue's name
    c: Amount
    v: Amount
    q: Amount
    n: int
    V: Amount
    Q: Amount
    f: int
    L: int
    x: bool


class Kline(msgspec.Struct, gc=False):
    """`kline`."""

    E: int
    k: Candle


class Failure(msgspec.Struct, gc=False):
    """What a refused request says; the id may be missing."""

    msg: str = ""
    code: int = 0


class Control(msgspec.Struct, gc=False):
    """Anything that is not stream data: acknowledgements and both shapes of errors."""

    id: int | str | None = None
    code: int | None = None
    msg: str = ""
    error: Failure | None = None
    stream: str | None = None


class TradeRow(msgspec.Struct, gc=False):
    """A row of REST `historicalTrades`."""

    id: int
    price: Amount
    qty: Amount
    time: int
    isBuyerMaker: bool  # noqa: N815 - the venue's name


class KlineRow(msgspec.Struct, array_like=True, gc=False):
    """A row of REST `klines`: a list, as far as it is of use."""

    t: int
    o: Amount
    h: Amount
    l: Amount  # noqa: E741 - the venue's name
    c: Amount
    v: Amount
    T: int
    q: Amount
    n: int
    V: Amount
    Q: Amount


class DepthSnapshot(msgspec.Struct, gc=False):
    """The body of REST `depth`."""

    lastUpdateId: int  # noqa: N815 - the venue's name
    bids: list[PriceLevel]
    asks: list[PriceLevel]
