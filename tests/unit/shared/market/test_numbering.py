import pytest

from shared.market.instruments import Exchange, Market
from shared.market.numbering import (
    Numbering,
    interval_seconds,
    is_fetchable,
    is_forgotten,
    kind_of,
    numbered,
    numbering,
)

BINANCE = Exchange.BINANCE


@pytest.mark.parametrize("market", Market)
def test_aggregate_trades_depth_and_candles_count_in_every_market(market):
    assert numbering(BINANCE, market, "aggTrade") is Numbering.TRADES
    assert numbering(BINANCE, market, "depth@100ms") is Numbering.UPDATES
    assert numbering(BINANCE, market, "kline_1m") is Numbering.CANDLES


def test_trade_ids_count_on_spot_only_for_on_futures_they_jump_without_a_loss():
    assert numbering(BINANCE, Market.SPOT, "trade") is Numbering.TRADES
    assert numbering(BINANCE, Market.UM, "trade") is None
    assert numbering(BINANCE, Market.CM, "trade") is None


def test_quotes_months_and_venues_without_a_rule_are_not_numbered():
    assert numbering(BINANCE, Market.SPOT, "bookTicker") is None
    assert numbering(BINANCE, Market.SPOT, "kline_1M") is None
    assert numbering(Exchange.OKX, Market.SPOT, "trade") is None


def test_text_from_a_table_does_as_well_as_the_enums():
    assert numbering("binance", "spot", "trade") is Numbering.TRADES


def test_only_the_aggregate_trades_of_futures_are_forgotten():
    assert is_forgotten(BINANCE, Market.UM, "aggTrade")
    assert is_forgotten(BINANCE, Market.CM, "aggTrade")
    assert not is_forgotten(BINANCE, Market.SPOT, "aggTrade")
    assert not is_forgotten(BINANCE, Market.UM, "kline_1m")


def test_the_past_of_a_book_cannot_be_asked_for():
    assert is_fetchable(BINANCE, Market.UM, "aggTrade")
    assert is_fetchable(BINANCE, Market.UM, "kline_5m")
    assert not is_fetchable(BINANCE, Market.UM, "depth@100ms")
    assert not is_fetchable(BINANCE, Market.UM, "trade")


@pytest.mark.parametrize(
    ("channel", "seconds"),
    [
        ("kline_1s", 1),
        ("kline_15m", 900),
        ("kline_4h", 14_400),
        ("kline_3d", 259_200),
        ("kline_1w", 604_800),
        ("kline_1M", None),
        ("kline_m", None),
        ("trade", None),
    ],
)
def test_an_interval_has_its_seconds(channel, seconds):
    assert interval_seconds(channel) == seconds


def test_what_is_numbered_alike_is_listed():
    assert numbered(Numbering.TRADES) == [
        ("binance", "cm", "aggTrade"),
        ("binance", "spot", "aggTrade"),
        ("binance", "spot", "trade"),
        ("binance", "um", "aggTrade"),
    ]


def test_a_channel_has_a_kind():
    assert [kind_of(name) for name in ("depth@100ms", "kline_1m", "aggTrade")] == [
        "depth",
        "kline",
        "aggTrade",
    ]
