"""Recorded events through Kafka and Spark, against the exchange's own candles and quotes."""

import csv
from decimal import Decimal

import pytest

from shared.market.events import BestQuote, Trade
from shared.market.instruments import Market
from tests.integration.conftest import CAPTURES, needs_captures
from tests.integration.crypto_pipeline.conftest import Lake, recorded_events

pytestmark = [pytest.mark.kafka, pytest.mark.spark, needs_captures]

ARCHIVES = CAPTURES.parent / "archives"
UM_BTC = "nkaz001-hftbacktest_usdm_btcusdt_20240808.jsonl.gz"
KLINES = "owlacar-isda_um_BTCUSDT-1m-2024-08_rows-20240808T2355-2359.csv"
# What gold makes of candles and books has a test of its own.
FILLED = (
    "bronze_trades",
    "bronze_depth",
    "bronze_klines",
    "bronze_quotes",
    "silver_trades",
    "silver_klines",
    "silver_quotes",
    "silver_book",
    "gold_ohlcv",
    "gold_book_metrics",
)
FIELDS = {
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
    "volume": "volume",
    "quote_volume": "quote_volume",
    "trade_count": "count",
    "taker_buy_volume": "taker_buy_volume",
    "taker_buy_quote_volume": "taker_buy_quote_volume",
}


def test_a_recording_in_three_ticks_gives_the_exchanges_candles_and_books(lake: Lake) -> None:
    events = recorded_events(Market.UM, UM_BTC)
    third = len(events) // 3
    for start in (0, third, 2 * third):
        lake.publish(events[start : start + third if start < 2 * third else None])
        lake.tick(*FILLED)
    trades = {event.trade_id: event for event in events if isinstance(event, Trade)}
    rows = lake.read("silver_trades").collect()
    assert len(rows) == len(trades) == 21_313
    for row in rows:
        event = trades[row.trade_id]
        price, quantity = Decimal(event.price), Decimal(event.quantity)
        assert (row.price, row.quantity) == (price, quantity)
        assert row.quote_quantity == price * quantity
    gold = {
        int(row.window_start.timestamp() * 1000): row
        for row in lake.read("gold_ohlcv").where("interval = '1m'").collect()
    }
    with (ARCHIVES / KLINES).open(newline="") as lines:
        candles = list(csv.DictReader(lines))
    assert len(candles) == 5
    for candle in candles:
        for ours, theirs in FIELDS.items():
            value = gold[int(candle["open_time"])][ours]
            assert Decimal(value) == Decimal(candle[theirs]), (candle["open_time"], ours)
    quotes = {event.update_id: event for event in events if isinstance(event, BestQuote)}
    book = lake.read("silver_book").collect()
    assert len(book) > 300
    same = [row for row in book if row.last_update_id in quotes]
    assert same
    for row in same:
        quote = quotes[row.last_update_id]
        bid = (Decimal(quote.bid_price), Decimal(quote.bid_quantity))
        ask = (Decimal(quote.ask_price), Decimal(quote.ask_quantity))
        assert (row.bids[0].price, row.bids[0].quantity) == bid
        assert (row.asks[0].price, row.asks[0].quantity) == ask
    idle = lake.tick(*FILLED)
    assert {name: meta["rows"] for name, meta in idle.items()} == dict.fromkeys(idle, 0)
