"""Missed trades and candles over Binance's REST: which calls bring them, and what an answer says. Pure.

Facts: the venue's "aggTrades", "historicalTrades" and "klines" pages. The rules here, by number:

1. `fromId` answers with the rows from that id on, oldest first, 1000 at most. It must not stand
   beside a time.
2. Aggregate trades are there in every market, on futures for 48 hours. Single trades by id are there
   on spot only; futures want an API key and keep ids that no book trade has.
3. A row has the time of the trade but no time of sending, so the event's `event_time` is None.
4. Rows that the venue has invalidated stay in their place with price 0: they are no trades, and their
   ids will never be found.
5. Where an answer goes on beyond an id without having it, the venue does not have it. Where it ends
   before that id, the venue may only be behind its own stream.
6. A candle's number is its open time divided by its interval. Candles are asked for by open time, both
   ends included; the last one may be open still and does not count. A row has no trade ids.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec

from shared.market.events import DeadLetter, Event, Kline, Origin
from shared.market.instruments import Market
from shared.market.numbering import interval_seconds, kind_of
from streaming.exchanges.binance_events import aggregate_row, candle, trade_row
from streaming.exchanges.binance_wire import AggTradeRow, Candle, KlineRow, TradeRow, to_us
from streaming.exchanges.protocol import dead_letter

_MOST_ROWS = 1000
# Path and weight of the call that has a channel's rows (rule 2).
_CALLS = {
    (Market.SPOT, "aggTrade"): ("/api/v3/aggTrades", 4),
    (Market.UM, "aggTrade"): ("/fapi/v1/aggTrades", 20),
    (Market.CM, "aggTrade"): ("/dapi/v1/aggTrades", 20),
    (Market.SPOT, "trade"): ("/api/v3/historicalTrades", 25),
    (Market.SPOT, "kline"): ("/api/v3/klines", 2),
    # On futures the price is 1 to 5, by how many rows are asked for.
    (Market.UM, "kline"): ("/fapi/v1/klines", 5),
    (Market.CM, "kline"): ("/dapi/v1/klines", 5),
}
# A wrong symbol or id, a missing key, a call that is not there: the same call will not do later.
# 403 is the firewall's and 451 a matter of place; neither speaks of ids.
_FINAL = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}


class TradesCall(msgspec.Struct, frozen=True):
    """A REST call for the trades or candles `first_id` to `last_id`; `weight` is what the venue charges."""

    path: str
    weight: int
    first_id: int
    last_id: int


class Outcome(msgspec.Struct, frozen=True):
    """What became of the ids from `first_id` to `last_id`: the venue has all of them, or none."""

    first_id: int
    last_id: int
    is_found: bool


class TradesAnswer(msgspec.Struct, frozen=True):
    """Events of the rows asked for, and the outcomes in order of ids as far as the answer reaches.

    `oldest_id` is the first row's where that lies beyond all that was asked for: the venue has
    forgotten everything before it.
    """

    events: list[Event]
    outcomes: list[Outcome]
    oldest_id: int | None = None


def is_final(status: int | None) -> bool:
    """Say whether an HTTP status means that the venue will never answer the same call."""
    return status in _FINAL


def trades_call(origin: Origin, first_id: int, last_id: int) -> TradesCall:
    """Return the call for as many of these ids as one brings, beginning with the first.

    Raises:
        KeyError: the channel's events cannot be fetched by id.
    """
    kind = kind_of(origin.channel)
    path, weight = _CALLS[origin.market, kind]
    last_id = min(last_id, first_id + _MOST_ROWS - 1)
    rows = last_id - first_id + 1
    query = f"symbol={origin.venue_symbol}"
    if kind == "kline":
        length_ms = _interval_us(origin) // 1000
        interval = origin.channel.partition("_")[2]
        times = f"startTime={first_id * length_ms}&endTime={last_id * length_ms}"
        query = f"{query}&interval={interval}&{times}"
    else:
        query = f"{query}&fromId={first_id}"
    query = f"{query}&limit={rows}"
    return TradesCall(f"{path}?{query}", weight, first_id, last_id)


def read_trades(
    call: TradesCall, origin: Origin, body: bytes, received_ns: int
) -> TradesAnswer | DeadLetter:
    """Translate a call's body; a row that cannot be understood becomes a dead letter of its own.

    A body that is no list of rows is one dead letter and tells nothing of ids.
    """
    try:
        rows = _rows_decoder.decode(body)
    except (ValueError, RecursionError) as error:
        return dead_letter(origin, body, f"{call.path}: {error}", received_ns)
    decoder, translate, number_of = _KINDS[kind_of(origin.channel)]
    events: list[Event] = []
    found: set[int] = set()
    newest = call.first_id - 1
    oldest: int | None = None
    for raw in rows:
        try:
            row = decoder.decode(raw)
            if isinstance(row, KlineRow) and received_ns <= to_us(row.T) * 1000:
                continue
            number = number_of(row, origin)
            newest = max(newest, number)
            oldest = number if oldest is None else min(oldest, number)
            if not call.first_id <= number <= call.last_id or number in found:
                continue
            event = translate(row, origin, received_ns)
            found.add(number)
            events.append(event)
        except (ValueError, RecursionError) as error:
            events.append(dead_letter(origin, bytes(raw), str(error), received_ns))
    is_beyond = oldest is not None and oldest > call.last_id
    outcomes = _outcomes(call.first_id, min(newest, call.last_id), found)
    return TradesAnswer(events, outcomes, oldest if is_beyond else None)


def row_id(row: AggTradeRow | TradeRow) -> int:
    """Return the id that `fromId` counts by."""
    return row.a if isinstance(row, AggTradeRow) else row.id


def _candle(row: KlineRow, origin: Origin, received_ns: int) -> Kline:
    """A closed candle; REST does not say which trades it is of."""
    told = Candle(
        t=row.t,
        T=row.T,
        i=origin.channel.partition("_")[2],
        o=row.o,
        h=row.h,
        l=row.l,
        c=row.c,
        v=row.v,
        q=row.q,
        n=row.n,
        V=row.V,
        Q=row.Q,
        f=-1,
        L=-1,
        x=True,
    )
    return candle(told, origin, received_ns, None)


def _interval_us(origin: Origin) -> int:
    """Return the length of a candle; KeyError where the interval has no one length."""
    seconds = interval_seconds(origin.channel)
    if seconds is None:
        raise KeyError(origin.channel)
    return seconds * 1_000_000


def _outcomes(first_id: int, last_id: int, found: set[int]) -> list[Outcome]:
    """Return what became of the ids from first to last, as few ranges as possible (rule 5)."""
    outcomes: list[Outcome] = []
    begin = first_id
    for number in range(first_id, last_id + 1):
        is_found = number in found
        if number == last_id or is_found is not (number + 1 in found):
            outcomes.append(Outcome(begin, number, is_found))
            begin = number + 1
    return outcomes


_rows_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_Kind = tuple[
    msgspec.json.Decoder[Any], Callable[[Any, Origin, int], Event], Callable[[Any, Origin], int]
]
_KINDS: dict[str, _Kind] = {
    "aggTrade": (msgspec.json.Decoder(AggTradeRow), aggregate_row, lambda row, _: row_id(row)),
    "trade": (msgspec.json.Decoder(TradeRow), trade_row, lambda row, _: row_id(row)),
    "kline": (
        msgspec.json.Decoder(KlineRow),
        _candle,
        lambda row, origin: to_us(row.t) // _interval_us(origin),
    ),
}
