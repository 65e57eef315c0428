"""The checks of `verify`, on tables in memory."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from crypto_lake import query, verify
from tests import fill_cases

TYPES = {"quantity": pa.decimal128(20, 8), "price": pa.decimal128(17, 8),
         "quote_quantity": pa.decimal128(38, 16), "execution_type": pa.string()}  # fmt: skip


class Tables:
    """A lake that holds these tables."""

    def __init__(self, **tables: list[dict[str, Any]]) -> None:
        self.tables = {name: pa.Table.from_pylist(rows) for name, rows in tables.items()}

    @property
    def names(self) -> list[str]:
        return list(self.tables)

    def dataset(self, name: str) -> pa.Table:
        table = self.tables[name]
        for column in TYPES.keys() & set(table.column_names):
            place = table.column_names.index(column)
            table = table.set_column(place, column, table[column].cast(TYPES[column]))
        return table


def wrong(name: str, lake: Tables) -> list[dict[str, Any]]:
    (check,) = [check for check in verify.checks() if check.name == name]
    verdict = verify.verify(lake, check)
    assert verdict is not None
    assert verdict.wrong >= verdict.examples.num_rows
    return verdict.examples.to_pylist()


@pytest.fixture(scope="module")
def counted() -> dict[str, list[tuple[int, int]]]:
    found = defaultdict(list)
    answer = query.run(Tables(silver_trades=fill_cases.rows()), verify._FILLS)
    for row in answer.to_pylist():
        found[row["symbol"]].append((row["first_id"], row["fill_count"]))
    return found


@pytest.mark.parametrize("symbol", fill_cases.CASES)
def test_a_fill_that_both_channels_tell_counts_once(counted, symbol):
    assert fill_cases.names(counted[symbol]) == fill_cases.CASES[symbol][1]


def test_a_minute_of_funding_that_does_not_follow_from_its_mark_prices_is_found():
    key = {"exchange": "binance", "market": "um", "symbol": "BTCUSDT"}
    rates = {"index_price": Decimal(9), "funding_rate": Decimal("-0.1")}
    marks = [
        {
            **key,
            "event_time": fill_cases.TIME.replace(second=at),
            "mark_price": Decimal(at),
            **rates,
        }
        for at in (1, 7, 5)
    ]
    minute = {**key, "window_start": fill_cases.TIME.replace(second=0), "messages": 3, **rates}
    minute |= {"mark_price": Decimal(7), "basis": Decimal(-2)}
    check = "gold_funding_basis: equals its mark prices"
    assert wrong(check, Tables(silver_marks=marks, gold_funding_basis=[minute])) == []
    for fault in ({"mark_price": Decimal(5)}, {"basis": Decimal(2)}, {"funding_rate": None}):
        (row,) = wrong(check, Tables(silver_marks=marks, gold_funding_basis=[minute | fault]))
        assert row["recomputed"] == 7
    later = [marks[0] | {"event_time": fill_cases.TIME.replace(minute=1)}]
    assert len(wrong(check, Tables(silver_marks=later, gold_funding_basis=[minute]))) == 2


def test_a_candle_that_counts_a_fill_twice_is_found():
    held = [told.row("LOSTLAST") for told in fill_cases.CASES["LOSTLAST"][0]]
    candle = {
        **{name: held[0][name] for name in ("exchange", "market", "symbol")},
        "interval": "1m",
        "window_start": fill_cases.TIME,
        **dict.fromkeys(("open", "high", "low", "close"), Decimal(10)),
        **dict.fromkeys(("volume", "taker_buy_volume"), Decimal(6)),
        **dict.fromkeys(("quote_volume", "taker_buy_quote_volume"), Decimal(60)),
        "trade_count": 3,
    }
    check = "gold_ohlcv 1m: equals its fills"
    assert wrong(check, Tables(silver_trades=held, gold_ohlcv=[candle])) == []
    twice = candle | {"volume": Decimal(9), "trade_count": 5}
    (row,) = wrong(check, Tables(silver_trades=held, gold_ohlcv=[twice]))
    assert (row["stored_volume"], row["recomputed_volume"]) == (9, 6)


@pytest.mark.parametrize(
    ("market", "shift", "is_wrong"),
    [
        *(("cm", places, abs(places) > 3) for places in (-4, -3, 3, 4)),
        *((market, places, True) for market in ("spot", "um") for places in (-1, 1)),
        *((market, None, True) for market in ("spot", "cm")),
    ],
)
def test_base_volumes_of_contracts_may_differ_by_their_fills_rounding(market, shift, is_wrong):
    candle = {
        "exchange": "binance",
        "market": market,
        "symbol": "X",
        "interval": "1m",
        **dict.fromkeys(("open", "high", "low", "close"), Decimal(10)),
        **dict.fromkeys(("volume", "taker_buy_volume"), Decimal("0.00485399")),
        **dict.fromkeys(("quote_volume", "taker_buy_quote_volume"), Decimal(300)),
        "trade_count": 3,
        "first_trade_id": "10",
        "last_trade_id": "12",
    }
    venues = {**candle, "open_time": fill_cases.TIME, "is_closed": True}
    venues["volume"] = None if shift is None else venues["volume"] + Decimal(shift).scaleb(-8)
    tables = Tables(
        gold_ohlcv=[{**candle, "window_start": fill_cases.TIME}], silver_klines=[venues]
    )
    assert bool(wrong("gold_ohlcv 1m: equals the venue's candles", tables)) is is_wrong
