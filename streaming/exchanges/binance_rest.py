"""Missed trades over Binance's REST: which calls bring them, and what an answer says. Pure.

Facts: the venue's "aggTrades" and "historicalTrades" pages. The rules here, by number:

1. `fromId` answers with the rows from that id on, oldest first, 1000 at most. It must not stand
   beside a time.
2. Aggregate trades are there in every market, on futures for 48 hours. Single trades by id are there
   on spot only; futures want an API key and keep ids that no book trade has.
3. A row has the time of the trade but no time of sending, so the event's `event_time` is None.
4. Rows that the venue has invalidated stay in their place with price 0: they are no trades.
5. Where an answer goes on beyond an id without having it, the venue does not have it. Where it ends
   before that id, the venue may only be behind its own stream.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec

from shared.market.events import DeadLetter, Event, Origin
from shared.market.instruments import Market
from streaming.exchanges.binance_events import aggregate_row, trade_row
from streaming.exchanges.binance_wire import AggTradeRow, TradeRow
from streaming.exchanges.protocol import dead_letter

_MOST_ROWS = 1000
# Path and weight of the call that has a channel's rows (rule 2).
_CALLS = {
    (Market.SPOT, "aggTrade"): ("/api/v3/aggTrades", 4),
    (Market.UM, "aggTrade"): ("/fapi/v1/aggTrades", 20),
    (Market.CM, "aggTrade"): ("/dapi/v1/aggTrades", 20),
    (Market.SPOT, "trade"): ("/api/v3/historicalTrades", 25),
}
# A wrong symbol or id, a missing key, a call that is not there: the same call will not do later.
# 403 is the firewall's and 451 a matter of place; neither speaks of ids.
_FINAL = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}


class TradesCall(msgspec.Struct, frozen=True):
    """A REST call for the trades `first_id` to `last_id`; `weight` is what the venue charges."""

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


def is_healable(market: Market, channel: str) -> bool:
    """Say whether a channel's events can be fetched by id."""
    return (market, channel) in _CALLS


def is_final(status: int | None) -> bool:
    """Say whether an HTTP status means that the venue will never answer the same call."""
    return status in _FINAL


def trades_call(origin: Origin, first_id: int, last_id: int) -> TradesCall:
    """Return the call for as many of these ids as one brings, beginning with the first.

    Raises:
        KeyError: the channel's events cannot be fetched by id.
    """
    path, weight = _CALLS[origin.market, origin.channel]
    last_id = min(last_id, first_id + _MOST_ROWS - 1)
    rows = last_id - first_id + 1
    query = f"symbol={origin.venue_symbol}&fromId={first_id}&limit={rows}"
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
    decoder, translate = _KINDS[origin.channel]
    events: list[Event] = []
    found: set[int] = set()
    newest = call.first_id - 1
    oldest: int | None = None
    for raw in rows:
        try:
            row = decoder.decode(raw)
            newest = max(newest, row_id(row))
            oldest = row_id(row) if oldest is None else min(oldest, row_id(row))
            if not call.first_id <= row_id(row) <= call.last_id or row_id(row) in found:
                continue
            found.add(row_id(row))
            events.append(translate(row, origin, received_ns))
        except (ValueError, RecursionError) as error:
            events.append(dead_letter(origin, bytes(raw), str(error), received_ns))
    is_beyond = oldest is not None and oldest > call.last_id
    outcomes = _outcomes(call.first_id, min(newest, call.last_id), found)
    return TradesAnswer(events, outcomes, oldest if is_beyond else None)


def row_id(row: AggTradeRow | TradeRow) -> int:
    """Return the id that `fromId` counts by."""
    return row.a if isinstance(row, AggTradeRow) else row.id


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
_KINDS: dict[str, tuple[msgspec.json.Decoder[Any], Callable[[Any, Origin, int], Event]]] = {
    "aggTrade": (msgspec.json.Decoder(AggTradeRow), aggregate_row),
    "trade": (msgspec.json.Decoder(TradeRow), trade_row),
}
