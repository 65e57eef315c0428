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
