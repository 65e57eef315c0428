import re

import pytest

from crypto_pipeline.schemas import BODY, ENVELOPE, NOTIONAL, PRICE, QUANTITY, Kind, bronze_columns
from crypto_pipeline.tables import BRONZE_FEEDS, TABLES, Layer, WriteMode, bronze_table
from shared.market.topics import Feed


def digits(decimal: str) -> tuple[int, int]:
    precision, scale = re.fullmatch(r"decimal\((\d+),(\d+)\)", decimal).groups()
    return int(precision), int(scale)


def test_price_times_quantity_fits_the_notional_without_loss_in_spark_and_duckdb():
    price, quantity, notional = digits(PRICE), digits(QUANTITY), digits(NOTIONAL)
    assert price[0] + quantity[0] + 1 <= 38
    assert price[1] + quantity[1] == notional[1]


@pytest.mark.parametrize("spec", TABLES.values(), ids=lambda spec: spec.name)
def test_every_table_has_its_identity_key_partition_and_sources(spec):
    names = [column.name for column in spec.columns]
    assert len(set(names)) == len(names)
    assert {"exchange", "market", "symbol", "date"} <= set(names)
    assert set(spec.key) <= set(names)
    assert all(source in TABLES for source in spec.sources)
    assert (spec.mode is WriteMode.UPSERT) == (spec.ordering in names)


def test_bronze_appends_and_the_rest_upserts():
    for spec in TABLES.values():
        assert (spec.mode is WriteMode.APPEND) == (spec.layer is Layer.BRONZE)


def test_every_feed_but_dead_letters_and_alerts_has_a_bronze_table():
    assert set(BRONZE_FEEDS) == set(Feed) - {Feed.DEAD_LETTERS, Feed.ALERTS}
    assert bronze_table(Feed.STREAM_STATUS) == "bronze_stream_status"


def test_the_public_columns_of_design_are_there():
    trades = {column.name for column in TABLES["silver_trades"].columns}
    assert trades >= {
        "channel", "trade_id", "price", "quantity", "quote_quantity", "side", "event_time",
        "trade_time", "received_ns", "source",
    }  # fmt: skip
    candles = {column.name for column in TABLES["gold_ohlcv"].columns}
    assert candles >= {
        "interval", "window_start", "open", "high", "low", "close", "volume", "quote_volume",
        "trade_count", "taker_buy_volume", "taker_buy_quote_volume", "vwap", "first_trade_id",
        "last_trade_id",
    }  # fmt: skip


def test_raw_events_keep_their_payload_and_times_travel_as_numbers():
    assert "payload" in {column.name for column in bronze_columns(Feed.RAW_EVENTS)}
    times = [field for field in (*ENVELOPE, *BODY[Feed.TRADES]) if field.type == "timestamp"]
    assert {field.kind for field in times} == {Kind.MICROSECONDS}
