"""Binance's messages to our events: one pure function per channel, and how to decode its frames."""

from collections.abc import Callable
from typing import Any

import msgspec

from shared.market.events import (
    AggregateTrade,
    Amount,
    BestQuote,
    BookDelta,
    Event,
    Kline,
    MarkPrice,
    Origin,
    Side,
    Trade,
)
from shared.market.numbering import kind_of
from streaming.exchanges import binance_wire as wire
from streaming.exchanges.amounts import (
    RefusedMessageError,
    require_levels,
    require_not_negative,
    require_price,
    require_rate,
    require_trade,
)
from streaming.exchanges.binance_wire import to_us

Translate = Callable[[Any, Origin, int], Event]


def taker(buyer_is_maker: bool) -> Side:
    """Return the taker's side from the venue's `m`."""
    return Side.SELL if buyer_is_maker else Side.BUY


def trade(message: wire.Trade, origin: Origin, received_ns: int) -> Trade:
    """One fill. Futures records that are no book trades (`X` not MARKET) may have size 0."""
    if message.X is None or message.X == "MARKET":
        require_trade(message.p, message.q)
    else:
        require_not_negative(message.p, message.q)
    return Trade(
        origin=origin,
        received_ns=received_ns,
        event_time=to_us(message.E),
        trade_id=str(message.t),
        price=message.p,
        quantity=message.q,
        side=taker(message.m),
        trade_time=to_us(message.T),
        execution_type=message.X,
    )


def aggregate_trade(message: wire.AggTrade, origin: Origin, received_ns: int) -> AggregateTrade:
    """Fills of one taker order, as the stream tells them."""
    return aggregate_row(message, origin, received_ns, to_us(message.E))


def aggregate_row(
    row: wire.AggTradeRow, origin: Origin, received_ns: int, event_time: int | None = None
) -> AggregateTrade:
    """Fills of one taker order. Spot rows that Binance invalidated (price 0, f -1) are refused."""
    require_trade(row.p, row.q)
    return AggregateTrade(
        origin=origin,
        received_ns=received_ns,
        event_time=event_time,
        trade_id=str(row.a),
        price=row.p,
        quantity=row.q,
        side=taker(row.m),
        trade_time=to_us(row.T),
        first_trade_id=str(row.f),
        last_trade_id=str(row.l),
    )


def trade_row(row: wire.TradeRow, origin: Origin, received_ns: int) -> Trade:
    """One fill, as REST and the archive tell it."""
    require_trade(row.price, row.qty)
    return Trade(
        origin=origin,
        received_ns=received_ns,
        event_time=None,
        trade_id=str(row.id),
        price=row.price,
        quantity=row.qty,
        side=taker(row.isBuyerMaker),
        trade_time=to_us(row.time),
    )


def book_delta(message: wire.Depth, origin: Origin, received_ns: int) -> BookDelta:
    """Changed levels, quantities absolute."""
    require_levels(message.b)
    require_levels(message.a)
    return BookDelta(
        origin=origin,
        received_ns=received_ns,
        event_time=to_us(message.E),
        first_update_id=message.U,
        last_update_id=message.u,
        previous_update_id=message.pu,
        bids=message.b,
        asks=message.a,
        transaction_time=None if message.T is None else to_us(message.T),
    )


def best_quote(message: wire.BookTicker, origin: Origin, received_ns: int) -> BestQuote:
    """Best bid and offer; spot sends no time, so none is given."""
    require_not_negative(message.b, message.B, message.a, message.A)
    return BestQuote(
        origin=origin,
        received_ns=received_ns,
        event_time=None if message.E is None else to_us(message.E),
        update_id=message.u,
        bid_price=message.b,
        bid_quantity=message.B,
        ask_price=message.a,
        ask_quantity=message.A,
        transaction_time=None if message.T is None else to_us(message.T),
    )


def mark_price(message: wire.MarkPrice, origin: Origin, received_ns: int) -> MarkPrice:
    """Mark and index price and funding; a contract that expires has a funding time of 0 and no rate."""
    require_price(message.p)
    rate = None if message.T == 0 else message.r or None
    if rate is not None:
        require_rate(rate)
    return MarkPrice(
        origin=origin,
        received_ns=received_ns,
        event_time=to_us(message.E),
        mark_price=message.p,
        index_price=_told(message.i),
        settle_price=_told(message.P),
        funding_rate=rate,
        next_funding_time=to_us(message.T) if message.T else None,
    )


def _told(price: Amount | None) -> Amount | None:
    """Return a price that may be left out; "" and 0 say that there is none."""
    if not price:
        return None
    require_not_negative(price)
    return price if float(price) else None


def kline(message: wire.Kline, origin: Origin, received_ns: int) -> Kline:
    """The venue's candle, as the stream tells it."""
    return candle(message.k, origin, received_ns, to_us(message.E))


def candle(row: wire.Candle, origin: Origin, received_ns: int, event_time: int | None) -> Kline:
    """The venue's candle; first and last trade id are -1 where nothing traded."""
    require_trade(row.o, row.h)
    require_trade(row.l, row.c)
    require_not_negative(row.v, row.q, row.V, row.Q)
    if row.n < 0:
        raise RefusedMessageError(f"{row.n} trades cannot be")
    return Kline(
        origin=origin,
        received_ns=received_ns,
        event_time=event_time,
        interval=row.i,
        open_time=to_us(row.t),
        # The inclusive close keeps its last millisecond, as the venue says it.
        close_time=to_us(row.T),
        open=row.o,
        high=row.h,
        low=row.l,
        close=row.c,
        volume=row.v,
        quote_volume=row.q,
        trade_count=row.n,
        taker_buy_volume=row.V,
        taker_buy_quote_volume=row.Q,
        first_trade_id=None if row.f < 0 else str(row.f),
        last_trade_id=None if row.L < 0 else str(row.L),
        is_closed=row.x,
    )


_KINDS: dict[str, tuple[Any, Translate]] = {
    "trade": (wire.Trade, trade),
    "aggTrade": (wire.AggTrade, aggregate_trade),
    "depth": (wire.Depth, book_delta),
    "bookTicker": (wire.BookTicker, best_quote),
    "markPrice": (wire.MarkPrice, mark_price),
    "kline": (wire.Kline, kline),
}
# A frame of a combined stream wraps the message in `data`, and says in `stream` whose it is.
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(
        msgspec.defstruct(f"Wrapped{kind.__name__}", [("stream", str), ("data", kind)])
    )
    for name, (kind, _) in _KINDS.items()
}


def channel_kind(channel: str) -> str:
    """Return what a channel carries: `depth` for `depth@100ms`, `kline` for `kline_1m`.

    Raises:
        KeyError: no such channel.
    """
    kind = kind_of(channel)
    if kind not in _KINDS:
        raise KeyError(channel)
    return kind


def translator(channel: str) -> tuple[msgspec.json.Decoder[Any], Translate]:
    """Return the decoder of a channel's wrapped frames, and the function from `data` to event."""
    kind = channel_kind(channel)
    return _DECODERS[kind], _KINDS[kind][1]
