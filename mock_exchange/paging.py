"""What REST may ask of trades, by the venue's rules: limits, ids and spans of time.

`limit` is 500 unless given and 1000 at most; an id excludes times; futures answer at most an hour.
"""

from collections.abc import Mapping
from typing import Any

from mock_exchange.trade_memory import Page
from mock_exchange.venue import RestError, bad_parameter
from shared.market.instruments import Market

_USUAL_LIMIT = 500
_LONGEST_LIST = 1000
_LONGEST_SPAN_MS = 3_600_000


def limit_of(query: Mapping[str, str]) -> int:
    """Return how many rows are wanted; raises RestError."""
    limit = _number(query, "limit")
    if limit == 0:
        raise bad_parameter("limit")
    return min(_USUAL_LIMIT if limit is None else limit, _LONGEST_LIST)


def trades_page(query: Mapping[str, str], by_id: bool) -> Page:
    """Return what `historicalTrades` asks for, or without `by_id` `trades`; raises RestError."""
    return Page(limit_of(query), _number(query, "fromId") if by_id else None)


def aggregates_page(market: Market, query: Mapping[str, str]) -> Page:
    """Return what `aggTrades` asks for; raises RestError."""
    page = Page(
        limit_of(query),
        _number(query, "fromId"),
        _number(query, "startTime"),
        _number(query, "endTime"),
    )
    has_times = page.start_ms is not None or page.end_ms is not None
    if page.from_id is not None and has_times:
        raise RestError(400, -1128, "Combination of optional parameters invalid.")
    if market is Market.UM and _span_ms(page) > _LONGEST_SPAN_MS:
        raise RestError(400, -1127, "More than 1 hours between startTime and endTime.")
    return page


def candles_page(rows: list[list[Any]], query: Mapping[str, str]) -> list[list[Any]]:
    """Return the candles that `klines` asks for by open time: the first ones from a start, else the last.

    Raises:
        RestError: a number cannot be used.
    """
    limit, start, end = limit_of(query), _number(query, "startTime"), _number(query, "endTime")
    found = [
        row for row in rows if (start is None or row[0] >= start) and (end is None or row[0] <= end)
    ]
    return found[-limit:] if start is None else found[:limit]


def _span_ms(page: Page) -> int:
    if page.start_ms is None or page.end_ms is None:
        return 0
    return page.end_ms - page.start_ms


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise bad_parameter(name)
    return int(text)
