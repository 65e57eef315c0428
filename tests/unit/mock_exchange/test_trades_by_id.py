import json

import pytest

from mock_exchange.listings import synthetic
from mock_exchange.paging import aggregates_page, candles_page, limit_of, trades_page
from mock_exchange.played_trades import PlayedTrades
from mock_exchange.trade_memory import Page, TradeMemory
from mock_exchange.venue import RestError
from shared.market.instruments import Market


def memory(aggregates: int, kept: int = 1000) -> TradeMemory:
    """Aggregate 100 + i at time i * 10: trades of one and two lots from id 1000 on, three in two."""
    found = TradeMemory(1000, 100, kept)
    for number in range(aggregates):
        found.add(500 + number, [1, 2] if number % 2 else [4], number * 10, number % 2 == 0)
    return found


def played(count: int, kept: int = 1000) -> PlayedTrades:
    found = PlayedTrades(kept)
    for number in range(count):
        data = {"e": "aggTrade", "a": 100 + number, "p": "1", "q": "2", "f": 1, "l": 2}
        found.add(100 + number, json.dumps({"data": data | {"T": number * 10, "m": True}}))
    return found


def aggregate_ids(found: TradeMemory | PlayedTrades, page: Page) -> list[int]:
    if isinstance(found, PlayedTrades):
        return [row["a"] for row in json.loads(found.rows(page))]
    return [item.aggregate_id for item in found.aggregates(page)]


def test_trades_are_found_by_id_or_are_the_latest():
    found = memory(4)
    ids = [item.trade_id for item in found.trades(Page(100))]
    assert ids == [1000, 1001, 1002, 1003, 1004, 1005]
    assert [item.trade_id for item in found.trades(Page(2))] == [1004, 1005]
    assert [item.trade_id for item in found.trades(Page(2, 1001))] == [1001, 1002]
    assert [item.trade_id for item in found.trades(Page(2, 7))] == [1000, 1001]
    assert list(found.trades(Page(2, 1006))) == []
    assert list(found.trades(Page(1, 1002))) == [(1002, 501, 2, 10, False)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [0, 60, 120, 180]),
        ({"limit": "2"}, [120, 180]),
        ({"startTime": "60", "limit": "2"}, [60, 120]),
        ({"startTime": "61", "endTime": "120"}, [120]),
        ({"endTime": "60"}, [0, 60]),
    ],
)
def test_candles_are_found_by_their_open_time_or_are_the_latest(query, found):
    rows = [[opened, "1"] for opened in (0, 60, 120, 180)]
    assert [row[0] for row in candles_page(rows, query)] == found


def test_an_aggregate_is_the_sum_of_its_trades():
    assert list(memory(4).aggregates(Page(2, 102))) == [
        (102, 502, 4, 1003, 1003, 20, True),
        (103, 503, 3, 1004, 1005, 30, False),
    ]


@pytest.mark.parametrize("found", [memory(6), played(6)])
@pytest.mark.parametrize(
    ("page", "ids"),
    [
        (Page(100), [100, 101, 102, 103, 104, 105]),
        (Page(2), [104, 105]),
        (Page(3, from_id=102), [102, 103, 104]),
        (Page(3, from_id=5), [100, 101, 102]),
        (Page(3, from_id=106), []),
        (Page(2, start_ms=11), [102, 103]),
        (Page(100, start_ms=10, end_ms=30), [101, 102, 103]),
        (Page(2, end_ms=30), [102, 103]),
        (Page(9, start_ms=40, end_ms=10), []),
    ],
)
def test_aggregates_are_found_by_id_by_time_or_are_the_latest(found, page, ids):
    assert aggregate_ids(found, page) == ids


@pytest.mark.parametrize("kept", [1, 10, 50])
def test_at_least_so_many_trades_are_kept_and_their_aggregates_whole(kept):
    found = memory(400, kept)
    trades = list(found.trades(Page(10_000)))
    assert kept <= len(trades) <= kept * 1.1 + 2
    assert trades[-1].trade_id == 1599
    aggregates = list(found.aggregates(Page(10_000)))
    assert aggregates[-1].aggregate_id == 499
    assert aggregates[0].first_id == trades[0].trade_id
    assert aggregates[0].ticks == 500 + aggregates[0].aggregate_id - 100
    assert sum(item.lots for item in aggregates) == sum(item.lots for item in trades)


def test_played_trades_are_bounded_and_take_no_id_twice():
    found = played(50, kept=10)
    found.add(149, "{}")
    ids = aggregate_ids(found, Page(1000))
    assert ids == list(range(ids[0], 150))
    assert 10 <= len(ids) <= 20


def test_a_played_row_has_the_fields_of_rest():
    (row,) = json.loads(played(1).rows(Page(1)))
    assert row == {"a": 100, "p": "1", "q": "2", "f": 1, "l": 2, "T": 0, "m": True}


def test_limits_are_the_venues():
    assert limit_of({}) == 500
    assert limit_of({"limit": "3"}) == 3
    assert limit_of({"limit": "5000"}) == 1000
    for bad in ("0", "-1", "x", "", "9" * 21):
        with pytest.raises(RestError) as refused:
            limit_of({"limit": bad})
        assert refused.value.status == 400
        assert b"'limit'" in refused.value.body


def test_only_historical_trades_go_by_id():
    assert trades_page({"fromId": "7", "limit": "2"}, by_id=True) == Page(2, 7)
    assert trades_page({"fromId": "7", "limit": "2"}, by_id=False) == Page(2)


def test_an_id_excludes_times_and_futures_answer_an_hour():
    assert aggregates_page(Market.UM, {"fromId": "7"}) == Page(500, 7)
    times = {"startTime": "0", "endTime": "3600000"}
    assert aggregates_page(Market.UM, times) == Page(500, None, 0, 3_600_000)
    longer = times | {"endTime": "3600001"}
    assert aggregates_page(Market.SPOT, longer) == Page(500, None, 0, 3_600_001)
    for market, query in (
        (Market.UM, longer),
        (Market.SPOT, {"fromId": "7", "startTime": "0"}),
        (Market.SPOT, {"fromId": "7", "endTime": "0"}),
    ):
        with pytest.raises(RestError):
            aggregates_page(market, query)


def test_the_last_share_of_synthetic_symbols_is_quiet():
    listings = synthetic(10, 0.2)
    assert [item.symbol for item in listings][:2] == ["SIM000USDT", "SIM001USDT"]
    assert [item.is_quiet for item in listings] == [False] * 8 + [True] * 2
    assert len({item.symbol for item in synthetic(1500, 0)}) == 1500
