"""Recordings of a real exchange, through sockets, Kafka and Spark, against what is known of them."""

from decimal import Decimal
from typing import Any

import pytest

from tests.e2e.conftest import (
    CAPTURES,
    Deployment,
    archive_klines,
    needs_material,
    recorded_messages,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500), needs_material]

PORT_OFFSET = 11000
SPOT_BTC = [
    "nkaz001-hftbacktest_spot_btcusdt_20240808.jsonl.gz",
    "nkaz001-hftbacktest_spot_btcusdt_20240809.jsonl.gz",
]
UM_BTC = ["nkaz001-hftbacktest_usdm_btcusdt_20240808.jsonl.gz"]
UM_ETH = ["nkaz001-hftbacktest_usdm_ethusdt_20240808.jsonl.gz"]
SETS = {
    ("spot", "BTCUSDT"): SPOT_BTC,
    ("um", "BTCUSDT"): UM_BTC,
    ("um", "ETHUSDT"): UM_ETH,
}
KLINES = [
    ("um", "BTCUSDT", "1m", "owlacar-isda_um_BTCUSDT-1m-2024-08_rows-20240808T2355-2359.csv", 5),
    ("um", "ETHUSDT", "1m", "POZtrader_um_ETHUSDT-1m-2024-08_rows-20240808T2355-2359.csv", 5),
    (
        "spot",
        "BTCUSDT",
        "5m",
        "skytree-labs_spot_BTCUSDT-5m-2024-08_rows-20240808T2355-20240809T0000.csv",
        2,
    ),
]


@pytest.fixture(scope="module")
def lake(deployment: Deployment) -> Deployment:
    """One lake that holds all the recordings, made by the one command that users have for it."""
    files = [str(CAPTURES / name) for names in SETS.values() for name in names]
    done = deployment.script("deploy.sh", "--local", "--recording", *files, "--once", timeout=1200)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return deployment


@pytest.mark.parametrize(("market", "symbol"), SETS)
def test_silver_holds_exactly_the_trades_of_the_files(
    lake: Deployment, market: str, symbol: str
) -> None:
    recorded = {
        str(message["t"]): (message["p"], message["q"], message["T"])
        for file in SETS[market, symbol]
        for message in recorded_messages(file, "trade")
    }
    rows = lake.query(
        "select trade_id, price::varchar as price, quantity::varchar as quantity,"
        " epoch_ms(trade_time) as trade_ms from silver_trades"
        f" where market = '{market}' and symbol = '{symbol}' and channel = 'trade'"
    )
    assert len(rows) == len(recorded)
    for row in rows:
        price, quantity, trade_ms = recorded[row["trade_id"]]
        assert Decimal(row["price"]) == Decimal(price)
        assert Decimal(row["quantity"]) == Decimal(quantity)
        assert row["trade_ms"] == trade_ms


@pytest.mark.parametrize(("market", "symbol", "interval", "archive", "rows"), KLINES)
def test_gold_candles_equal_the_exchanges_own(
    lake: Deployment, market: str, symbol: str, interval: str, archive: str, rows: int
) -> None:
    compared = {
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
    columns = ", ".join(f"{name}::varchar as {name}" for name in compared)
    gold = {
        row["open_ms"]: row
        for row in lake.query(
            f"select epoch_ms(window_start) as open_ms, {columns} from gold_ohlcv"
            f" where market = '{market}' and symbol = '{symbol}' and interval = '{interval}'"
        )
    }
    truth = archive_klines(archive)
    assert len(truth) == rows
    for candle in truth:
        own = gold[int(candle["open_time"])]
        for ours, theirs in compared.items():
            assert Decimal(own[ours]) == Decimal(candle[theirs]), (candle["open_time"], ours)


@pytest.mark.parametrize(("market", "symbol"), SETS)
def test_top_of_silver_book_is_the_recorded_best_quote_at_the_same_update(
    lake: Deployment, market: str, symbol: str
) -> None:
    quotes: dict[int, dict[str, Any]] = {
        message["u"]: message
        for file in SETS[market, symbol]
        for message in recorded_messages(file, "bookTicker")
    }
    seconds = lake.query(
        "select last_update_id, bids[1].price::varchar as bid, bids[1].quantity::varchar as bid_quantity,"
        " asks[1].price::varchar as ask, asks[1].quantity::varchar as ask_quantity from silver_book"
        f" where market = '{market}' and symbol = '{symbol}'"
    )
    assert len(seconds) > 300, "a book for nearly every second of the recording"
    same = [row for row in seconds if row["last_update_id"] in quotes]
    assert same, "some seconds end at an update that the venue quoted too"
    for row in same:
        quote = quotes[row["last_update_id"]]
        assert Decimal(row["bid"]) == Decimal(quote["b"])
        assert Decimal(row["bid_quantity"]) == Decimal(quote["B"])
        assert Decimal(row["ask"]) == Decimal(quote["a"])
        assert Decimal(row["ask_quantity"]) == Decimal(quote["A"])


def test_no_row_stands_twice_and_nothing_was_refused(lake: Deployment) -> None:
    for table, key in {
        "silver_trades": "exchange, market, symbol, channel, trade_id",
        "silver_quotes": "exchange, market, symbol, channel, update_id",
        "gold_ohlcv": "exchange, market, symbol, interval, window_start",
    }.items():
        twice = lake.query(f"select {key} from {table} group by all having count(*) > 1")
        assert twice == []
    names = {row["table"] for row in lake.query("select table_name as table from lake_tables")}
    refused = (
        lake.query("select reason from quality_dead_letters limit 5")
        if "quality_dead_letters" in names
        else []
    )
    assert refused == []
