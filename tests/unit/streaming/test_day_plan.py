from datetime import date
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.market.instruments import Market
from shared.symbol_manager import SymbolBook, parse_symbols
from streaming.day_plan import days_of, wanted

TODAY = date(2024, 8, 10)


def book() -> SymbolBook:
    markets = {
        "spot": {
            "BTCUSDT": {"channels": ["aggTrade", "depth@100ms", "kline_1m"]},
            "XRPETH": {"enabled": False, "channels": ["aggTrade"]},
        },
        "um": {"BTCUSDT": {"channels": ["trade", "bookTicker"]}},
    }
    return parse_symbols({"version": 1, "exchanges": {"binance": markets}}, Path("symbols.yaml"))


def names(**chosen) -> list[tuple[str, str, str]]:
    given = {"symbols": (), "market": None, "channels": ()} | chosen
    return [
        (item.instrument.market, item.instrument.symbol, item.channel)
        for item in wanted(book(), **given)
    ]


def test_days_are_given_in_order_both_ends_included():
    days = days_of(date(2024, 2, 28), date(2024, 3, 1), TODAY)
    assert days == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]


@pytest.mark.parametrize(
    ("first", "last", "reason"),
    [
        (date(2024, 8, 9), date(2024, 8, 8), "2024-08-08 is before --from 2024-08-09"),
        (date(2024, 8, 9), TODAY, "2024-08-10 is not over yet in UTC"),
    ],
)
def test_days_that_cannot_be_brought_in_are_refused(first, last, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        days_of(first, last, TODAY)
    assert caught.value.where == "--to"


def test_by_default_it_is_what_is_collected_and_archived():
    assert names() == [
        ("spot", "BTCUSDT", "aggTrade"),
        ("spot", "BTCUSDT", "kline_1m"),
        ("um", "BTCUSDT", "trade"),
    ]


def test_a_market_narrows_and_channels_take_the_place_of_the_symbols_own():
    assert names(market=Market.UM) == [("um", "BTCUSDT", "trade")]
    assert names(market=Market.UM, channels=["aggTrade", "kline_1h"]) == [
        ("um", "BTCUSDT", "aggTrade"),
        ("um", "BTCUSDT", "kline_1h"),
    ]


def test_a_named_symbol_may_be_disabled():
    assert names(symbols=["XRPETH"]) == [("spot", "XRPETH", "aggTrade")]


@pytest.mark.parametrize(
    ("chosen", "where"),
    [
        ({"symbols": ["DOGEUSDT"]}, "--symbol DOGEUSDT"),
        ({"symbols": ["XRPETH"], "market": Market.UM}, "--symbol XRPETH"),
        ({"channels": ["bookTicker"]}, "--channel bookTicker"),
        ({"market": Market.CM}, "the symbols file"),
    ],
)
def test_what_cannot_be_brought_in_is_named(chosen, where):
    with pytest.raises(ConfigurationError) as caught:
        names(**chosen)
    assert caught.value.where == where
