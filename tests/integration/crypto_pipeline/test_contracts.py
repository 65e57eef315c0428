"""Coin-margined futures, whose venue counts contracts: recorded trades, candles and books of it."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import combinations

import pytest
from msgspec.structs import replace
from pyspark.sql import Row

from crypto_pipeline.assets.gold_assets import GOLD
from crypto_pipeline.assets.silver_assets import SILVER
from crypto_pipeline.checks import different_candles
from crypto_pipeline.gold_tables import SLIPPAGE_NOTIONALS
from crypto_pipeline.rebuild import Changes, rebuild_day
from crypto_pipeline.tables import TABLES
from shared.market.events import AggregateTrade, Kline, Trade
from shared.market.instruments import Market
from tests import gold_reference
from tests.integration.conftest import needs_captures
from tests.integration.crypto_pipeline.conftest import Lake, recorded_events

pytestmark = [pytest.mark.kafka, pytest.mark.spark, needs_captures]

TRADES = "nkaz001-hftbacktest_coinm_btcusd_perp_20240808.jsonl.gz"
CANDLES = "binance_cm_20210722.jsonl.gz"
BTC, ETC = "BTCUSD_PERP", "ETCUSD_PERP"
USD = {BTC: 100, ETC: 10}
LAST_PLACE = Decimal("0.00000001")


def base(contracts: Decimal, symbol: str, price: Decimal) -> Decimal:
    return (contracts * USD[symbol] / price).quantize(LAST_PLACE, ROUND_HALF_UP)


def level(row: Row) -> tuple[Fraction, Fraction]:
    return Fraction(row.price), Fraction(base(row.quantity, BTC, row.price))


def exact_level(row: Row) -> tuple[Fraction, Fraction]:
    return Fraction(row.price), Fraction(row.quantity) * USD[BTC] / Fraction(row.price)


def test_trades_tell_contracts_base_and_usd_and_candles_follow(lake: Lake) -> None:
    events = recorded_events(Market.CM, TRADES)
    for half in (events[: len(events) // 2], events[len(events) // 2 :]):
        lake.publish(half)
        lake.tick("bronze_trades", "silver_trades", "gold_ohlcv")
    told = {event.trade_id: event for event in events if isinstance(event, Trade)}
    rows = lake.read("silver_trades").collect()
    assert {row.trade_id for row in rows} == told.keys()
    for row in rows:
        price, contracts = Decimal(told[row.trade_id].price), Decimal(told[row.trade_id].quantity)
        assert (row.contracts, row.quote_quantity) == (contracts, 100 * contracts)
        assert row.quantity == base(contracts, BTC, price)
    for name, build in (
        ("silver_trades", SILVER["silver_trades"]),
        ("gold_ohlcv", GOLD["gold_ohlcv"]),
    ):
        again = rebuild_day(lake.lakehouse, TABLES[name], build, [BTC], "2024-08-08")
        assert again == Changes(), f"{name} comes out of all rows at once as it did of two ticks"
    candles = lake.read("gold_ohlcv").collect()
    for candle in candles:
        assert float(candle.low) * (1 - 1e-12) <= candle.vwap <= float(candle.high) * (1 + 1e-12)
    days = [candle for candle in candles if candle.interval == "1d"]
    assert {day.date for day in days} == {row.date for row in rows}
    for day in days:
        fills = [row for row in rows if row.date == day.date]
        assert day.volume == sum(row.quantity for row in fills)
        assert day.quote_volume == sum(row.quote_quantity for row in fills)
        bought = sum(Fraction(row.quote_quantity) / Fraction(row.price) for row in fills)
        vwap = Fraction(day.quote_volume) / bought
        assert day.vwap == pytest.approx(float(vwap), rel=1e-12)


def test_depth_is_told_in_base_and_slippage_for_usd(lake: Lake) -> None:
    lake.publish(recorded_events(Market.CM, TRADES))
    lake.tick("bronze_depth", "silver_book", "gold_book_metrics", "gold_liquidity")
    metrics = {row.window_start: row for row in lake.read("gold_book_metrics").collect()}
    liquidity = {row.window_start: row for row in lake.read("gold_liquidity").collect()}
    books = lake.read("silver_book").collect()
    assert len(books) > 200
    for book in books:
        row, costs = metrics[book.second], liquidity[book.second]
        bids, asks = [*map(level, book.bids)], [*map(level, book.asks)]
        expected = gold_reference.book_metrics(bids, asks)
        for name, value in expected.items():
            told_value = row[name]
            if isinstance(told_value, Decimal):
                assert Fraction(told_value) == value, name
            else:
                wanted = None if value is None else pytest.approx(float(value), rel=1e-12)
                assert told_value == wanted, name
        for order, side in (("buy", "ask"), ("sell", "bid")):
            told_levels = book[f"{side}s"]
            assert costs[f"{side}_notional"] == 100 * sum(one.quantity for one in told_levels)
            exact = [*map(exact_level, told_levels)]
            for name, size in SLIPPAGE_NOTIONALS.items():
                cost = gold_reference.slippage_bps(exact, Fraction(costs.mid), size)
                wanted = None if cost is None else pytest.approx(float(cost), rel=1e-12)
                assert costs[f"{order}_slippage_bps_{name}"] == wanted


def test_base_quantities_are_those_of_the_venues_candles(lake: Lake) -> None:
    events = [event for event in recorded_events(Market.CM, CANDLES) if event.origin.symbol == ETC]
    candles = [event for event in events if isinstance(event, Kline)]
    lake.publish(event for event in events if isinstance(event, AggregateTrade | Kline))
    lake.tick("bronze_trades", "bronze_klines", "silver_trades", "silver_klines")
    latest = {event.open_time: event for event in candles}
    for row in lake.read("silver_klines").collect():
        candle = latest[int(row.open_time.timestamp()) * 1_000_000]
        assert row.volume == Decimal(candle.quote_volume)
        assert row.quote_volume == 10 * Decimal(candle.volume)
        assert row.taker_buy_volume == Decimal(candle.taker_buy_quote_volume)
        assert row.taker_buy_quote_volume == 10 * Decimal(candle.taker_buy_volume)
    rows = lake.read("silver_trades").collect()
    compared = 0
    for before, after in combinations(candles, 2):
        first, last = int(before.last_trade_id or 0) + 1, int(after.last_trade_id or 0)
        inside = [
            row
            for row in rows
            if first <= int(row.first_trade_id) and int(row.last_trade_id) <= last
        ]
        fills = sum(int(row.last_trade_id) - int(row.first_trade_id) + 1 for row in inside)
        if before.open_time != after.open_time or fills != last - first + 1:
            continue
        compared += fills
        grown = Decimal(after.volume) - Decimal(before.volume)
        assert sum(row.contracts for row in inside) == grown
        base_grown = Decimal(after.quote_volume) - Decimal(before.quote_volume)
        # The venue rounds its two sums, silver each trade.
        slack = LAST_PLACE + len(inside) * LAST_PLACE / 2
        assert abs(sum(row.quantity for row in inside) - base_grown) <= slack
    assert compared >= 20


def test_the_venues_candle_is_told_in_base_and_usd_and_compared(lake: Lake) -> None:
    events = recorded_events(Market.CM, TRADES)
    trades = [event for event in events if isinstance(event, Trade)]
    minute_us = max(event.trade_time for event in trades) // 60_000_000 * 60_000_000 - 60_000_000
    inside = [event for event in trades if 0 <= event.trade_time - minute_us < 60_000_000]
    prices = [Decimal(event.price) for event in inside]
    contracts = [Decimal(event.quantity) for event in inside]
    # The venue rounds the sum of all fills.
    exact = [100 * number / price for number, price in zip(contracts, prices, strict=True)]
    bought = [at for at, event in enumerate(inside) if event.side == "buy"]
    candle = Kline(
        origin=replace(inside[0].origin, channel="kline_1m"),
        received_ns=inside[-1].received_ns,
        event_time=inside[-1].event_time,
        interval="1m",
        open_time=minute_us,
        close_time=minute_us + 59_999_000,
        open=str(prices[0]),
        high=str(max(prices)),
        low=str(min(prices)),
        close=str(prices[-1]),
        volume=str(sum(contracts)),
        quote_volume=f"{sum(exact):.8f}",
        trade_count=len(inside),
        taker_buy_volume=str(sum(contracts[at] for at in bought)),
        taker_buy_quote_volume=f"{sum(exact[at] for at in bought):.8f}",
        first_trade_id=inside[0].trade_id,
        last_trade_id=inside[-1].trade_id,
        is_closed=True,
    )
    lake.publish([*trades, candle])
    lake.tick("bronze_trades", "bronze_klines", "silver_trades", "silver_klines", "gold_ohlcv")
    (row,) = lake.read("silver_klines").collect()
    assert (str(row.volume), row.quote_volume) == (candle.quote_volume, 100 * sum(contracts))
    gold, klines = lake.read("gold_ohlcv"), lake.read("silver_klines")
    assert different_candles(gold, klines).count() == 0
    minutes = gold.where("interval = '1m'").collect()
    (minute,) = (one for one in minutes if one.window_start == row.open_time)
    rounding, apart = len(inside) * LAST_PLACE, minute.volume - row.volume
    for name, shift, count in (
        ("volume", apart + rounding, 0),
        ("volume", apart + rounding + LAST_PLACE, 1),
        ("volume", apart - rounding - LAST_PLACE, 1),
        ("quote_volume", LAST_PLACE, 1),
    ):
        moved = klines.withColumn(name, klines[name] + shift)
        assert different_candles(gold, moved).count() == count, (name, shift)
