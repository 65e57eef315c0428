"""What happens on a market, in our own words: frozen events that venues are translated into.

Times are integers since the epoch, UTC: `*_time` in µs and from the venue, `received_ns` in ns and
ours. A `quantity` is in base units (on coin-margined futures in contracts, as the venue says it).
A field that the venue does not send is None, never 0.
"""

from enum import StrEnum

import msgspec

from shared.market.instruments import Exchange, Market

Amount = str
"""An exact decimal in the venue's own digits (`0.00150000`), checked where it comes in.

It travels as text: nothing between the wire and the lake computes with it, and a Decimal made only
to be written again costs more than all else that happens to a quote.
"""

PriceLevel = tuple[Amount, Amount]
"""Price and the absolute quantity resting there; a quantity of 0 removes the level."""


class Source(StrEnum):
    """How an event reached us."""

    BINANCE_WEBSOCKET = "binance_websocket"
    BINANCE_REST = "binance_rest"
    BINANCE_ARCHIVE = "binance_archive"
    REPLAY = "replay"


class Side(StrEnum):
    """The taker's side."""

    BUY = "buy"
    SELL = "sell"


class StreamState(StrEnum):
    """What became of one subscription, as told on `stream-status`."""

    SUBSCRIBED = "subscribed"
    ACKNOWLEDGED = "acknowledged"
    FIRST_DATA = "first_data"
    UNPROVED = "unproved"
    LIVE = "live"
    QUIET = "quiet"
    STALE = "stale"
    GAP = "gap"
    BROKEN = "broken"
    RESYNCED = "resynced"
    CLOSED = "closed"
    HEALED = "healed"
    UNHEALABLE = "unhealable"


class Origin(msgspec.Struct, frozen=True, cache_hash=True):
    """Where events come from; the same object for all events of one subscription and connection.

    `connection` names the socket (`binance-spot-0`), `epoch` counts its reconnects from 1.
    """

    exchange: Exchange
    market: Market
    symbol: str
    venue_symbol: str
    channel: str
    source: Source
    connection: str
    epoch: int


def event_type(kind: "type[Event]") -> str:
    """Return the `event_type` by which records of an event are told apart."""
    return str(kind.__struct_config__.tag)


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What all events share; `event_time` is None where the venue sends no time."""

    origin: Origin
    received_ns: int
    event_time: int | None


class Trade(Event, frozen=True, kw_only=True, tag_field="event_type", tag="trade"):
    """One fill.

    `execution_type` is the futures `X` (only MARKET fills count towards candles), None on spot.
    """

    trade_id: str
    price: Amount
    quantity: Amount
    side: Side
    trade_time: int
    execution_type: str | None = None


class AggregateTrade(
    Event, frozen=True, kw_only=True, tag_field="event_type", tag="aggregate_trade"
):
    """Fills of one taker order at one price, as the venue merges them.

    `trade_id` is the aggregate id; `first_trade_id` to `last_trade_id` spans the fills.
    """

    trade_id: str
    price: Amount
    quantity: Amount
    side: Side
    trade_time: int
    first_trade_id: str
    last_trade_id: str


class BookDelta(Event, frozen=True, kw_only=True, tag_field="event_type", tag="book_delta"):
    """Changed levels of one book, with the venue's sequence ids."""

    first_update_id: int
    last_update_id: int
    previous_update_id: int | None
    bids: list[PriceLevel]
    asks: list[PriceLevel]
    transaction_time: int | None = None


class BookSnapshot(Event, frozen=True, kw_only=True, tag_field="event_type", tag="book_snapshot"):
    """The best levels of one book, best first, as they stood after update `last_update_id`.

    Sent at each sync and then once a minute of event time. `event_time` is that of the last
    applied delta. Levels worse than the last one listed are unknown, not empty.
    """

    last_update_id: int
    bids: list[PriceLevel]
    asks: list[PriceLevel]


class BestQuote(Event, frozen=True, kw_only=True, tag_field="event_type", tag="best_quote"):
    """The best bid and offer after book update `update_id`."""

    update_id: int
    bid_price: Amount
    bid_quantity: Amount
    ask_price: Amount
    ask_quantity: Amount
    transaction_time: int | None = None


class MarkPrice(Event, frozen=True, kw_only=True, tag_field="event_type", tag="mark_price"):
    """The price that a futures contract is margined at, and what its holders will pay each other.

    `index_price` is the venue's mean of spot markets; `settle_price` its estimate for the settlement,
    of use in the last hour before it. `funding_rate` may be below 0 and is what longs pay shorts at
    `next_funding_time`, a share of the notional; both are None for contracts that expire.
    """

    mark_price: Amount
    index_price: Amount | None
    settle_price: Amount | None
    funding_rate: Amount | None
    next_funding_time: int | None


class Kline(Event, frozen=True, kw_only=True, tag_field="event_type", tag="kline"):
    """The venue's own candle; only one with `is_closed` is final.

    `close_time` is inclusive, as sent. `volume` is base, `quote_volume` quote; on coin-margined futures
    the one is contracts, the other base. The trade ids are None for a candle without trades.
    """

    interval: str
    open_time: int
    close_time: int
    open: Amount
    high: Amount
    low: Amount
    close: Amount
    volume: Amount
    quote_volume: Amount
    trade_count: int
    taker_buy_volume: Amount
    taker_buy_quote_volume: Amount
    first_trade_id: str | None
    last_trade_id: str | None
    is_closed: bool


class StreamStatus(Event, frozen=True, kw_only=True, tag_field="event_type", tag="stream_status"):
    """A subscription changed state, or the missing part of it was looked for.

    A gap names the id that was expected and the one that came; `healed` and `unhealable` name the
    first and the last id that were fetched afterwards, or that the venue does not have.
    """

    state: StreamState
    reason: str
    expected: int | None = None
    received: int | None = None
    first_id: int | None = None
    last_id: int | None = None


class DeadLetter(Event, frozen=True, kw_only=True, tag_field="event_type", tag="dead_letter"):
    """What could not be understood: the payload as it came, and why it was refused."""

    reason: str
    payload: str
