"""Rows that come late, of a past day: what they correct, what they leave alone."""

from decimal import Decimal

import pytest

from shared.market.events import AggregateTrade, Kline, Origin, Side, Source, Trade
from shared.market.instruments import Exchange, Market
from tests.integration.crypto_pipeline.conftest import Lake

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.timeout(900)]

START_US = 1_570_752_000_000_000
MINUTE_US = 60_000_000
STEPS = ("bronze_trades", "silver_trades", "gold_ohlcv")
LIVE, REST, ARCHIVE = Source.BINANCE_WEBSOCKET, Source.BINANCE_REST, Source.BINANCE_ARCHIVE


def origin(source: Source, channel: str = "aggTrade") -> Origin:
    return Origin(Exchange.BINANCE, Market.SPOT, "XRPETH", "XRPETH", channel, source, "test", 1)


def trade(source: Source, number: int, price: str, received_ns: int = 1) -> AggregateTrade:
    """Return a trade; ten to a minute, the first is number 0."""
    time = START_US + number // 10 * MINUTE_US + number
    return AggregateTrade(
        origin=origin(source),
        received_ns=received_ns,
        event_time=time + 5 if source is LIVE else None,
        trade_id=str(number),
        price=price,
        quantity="2",
        side=Side.BUY,
        trade_time=time,
        first_trade_id=str(number),
        last_trade_id=str(number),
    )


def test_a_past_day_is_corrected_where_it_was_wrong_and_nowhere_else(lake: Lake) -> None:
    # Live: of four minutes one lacks a trade, and one has a wrong price.
    lake.publish(trade(LIVE, number, "1.5") for number in range(40) if number != 15)
    lake.publish([trade(LIVE, 25, "9.9", received_ns=0)])
    lake.tick(*STEPS)
    before = {row.trade_sequence: row for row in lake.read("silver_trades").collect()}
    assert before[25].price == Decimal("9.9")
    candles = gold(lake)
    assert (candles[1].trade_count, candles[2].high) == (9, Decimal("9.9"))

    # The archive of the day confirms most of it.
    lake.publish(trade(ARCHIVE, number, "1.5", received_ns=7) for number in range(40))
    lake.tick(*STEPS)
    after = {row.trade_sequence: row for row in lake.read("silver_trades").collect()}
    assert sorted(after) == list(range(40))
    assert {number for number in after if after[number] != before.get(number)} == {15, 25}
    assert (after[15].source, after[15].event_time) == ("binance_archive", None)
    assert (after[25].source, after[25].price) == ("binance_archive", Decimal("1.5"))
    assert after[25].event_time == before[25].event_time, "no null over a value"
    corrected = gold(lake)
    assert {minute for minute in corrected if corrected[minute] != candles[minute]} == {1, 2}
    assert (corrected[1].trade_count, corrected[2].high) == (10, Decimal("1.5"))

    # What REST tells afterwards is no better; an id that neither had is new.
    lake.publish([trade(REST, 15, "7"), trade(REST, 40, "3"), trade(LIVE, 15, "7")])
    lake.tick(*STEPS)
    last = {row.trade_sequence: row for row in lake.read("silver_trades").collect()}
    assert last[15].price == Decimal("1.5")
    assert last[15].event_time is not None, "the time of sending came with the live row"
    assert last[40].price == Decimal(3)
    assert {number for number in last if last[number] != after.get(number)} == {15, 40}

    # The venue has replaced the file.
    lake.publish([trade(ARCHIVE, 39, "1.6", received_ns=8)])
    lake.tick(*STEPS)
    assert gold(lake)[3].close == Decimal("1.6")
    assert gold(lake)[1] == gold_like(corrected[1], gold(lake)[1])


def gold(lake: Lake) -> dict[int, object]:
    rows = lake.read("gold_ohlcv").where("interval = '1m'").collect()
    return {
        int(row.window_start.timestamp() * 1_000_000 - START_US) // MINUTE_US: row for row in rows
    }


def gold_like(expected: object, found: object) -> object:
    """Return the expected row with the order of the found one: the minute was touched by id 15."""
    fields = expected.asDict() | {"row_order": found.row_order}
    return type(expected)(**fields)


def candle(source: Source, close: str, is_closed: bool, received_ns: int = 1) -> Kline:
    is_live = source is LIVE
    return Kline(
        origin=origin(source, "kline_1m"),
        received_ns=received_ns,
        event_time=START_US + received_ns if is_live else None,
        interval="1m",
        open_time=START_US,
        close_time=START_US + MINUTE_US - 1000,
        open="1",
        high="3",
        low="1",
        close=close,
        volume="9",
        quote_volume="18",
        trade_count=4,
        taker_buy_volume="3",
        taker_buy_quote_volume="6",
        first_trade_id="5" if is_live else None,
        last_trade_id="8" if is_live else None,
        is_closed=is_closed,
    )


def test_an_archived_candle_goes_over_the_live_one_and_keeps_its_ids(lake: Lake) -> None:
    lake.publish([candle(LIVE, "2.9", True, 1), candle(LIVE, "2.5", False, 2)])
    lake.tick("bronze_klines", "silver_klines")
    lake.publish([candle(ARCHIVE, "2", True, 3)])
    lake.tick("bronze_klines", "silver_klines")
    (row,) = lake.read("silver_klines").collect()
    assert (row.close, row.source) == (Decimal(2), "binance_archive")
    assert (row.first_trade_id, row.last_trade_id) == ("5", "8")
    assert row.event_time is not None


def form(first: int, at_us: int, last: int | None = None) -> Trade | AggregateTrade:
    """Return a trade of quantity 1, or the aggregate of several."""
    common = {
        "received_ns": 1,
        "event_time": START_US + at_us,
        "price": "1.5",
        "side": Side.BUY,
        "trade_time": START_US + at_us,
    }
    if last is None:
        return Trade(origin=origin(LIVE, "trade"), trade_id=str(first), quantity="1", **common)
    return AggregateTrade(
        origin=origin(LIVE),
        trade_id=str(100 + first),
        quantity=str(last - first + 1),
        first_trade_id=str(first),
        last_trade_id=str(last),
        **common,
    )


def test_a_fill_that_comes_late_takes_the_place_of_its_aggregate_in_an_earlier_minute(
    lake: Lake,
) -> None:
    just_before = MINUTE_US - 1000
    lake.publish(
        [
            form(10, just_before),
            form(11, just_before),
            form(10, just_before, 12),
            form(13, MINUTE_US),
        ]
    )
    lake.tick(*STEPS)
    counts = {minute: (row.trade_count, row.volume) for minute, row in gold(lake).items()}
    assert counts == {0: (3, 3), 1: (1, 1)}, "the aggregate counts"
    lake.publish([form(12, MINUTE_US + 1000)])
    lake.tick(*STEPS)
    counts = {minute: (row.trade_count, row.volume) for minute, row in gold(lake).items()}
    assert counts == {0: (2, 2), 1: (2, 2)}, "the single fills count"
