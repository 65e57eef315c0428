"""Bad records among good ones: each is named, none stops the rest, and lost offsets are told."""

import re
from collections import Counter
from decimal import Decimal

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from msgspec import structs

from crypto_pipeline.assets.bronze_assets import ingest
from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from shared.market.codec import Envelope
from shared.market.events import (
    BookDelta,
    DeadLetter,
    Event,
    MarkPrice,
    Origin,
    Side,
    Source,
    Trade,
)
from shared.market.instruments import Exchange, Market
from shared.market.topics import Feed, topic_name
from tests.integration.crypto_pipeline.conftest import TRADES_TOPIC, Lake

pytestmark = [pytest.mark.kafka, pytest.mark.spark]

KEY = "spot:BTCUSDT"
START_US = 1_723_161_300_000_000


def trade(number: int) -> Trade:
    origin = Origin(
        Exchange.BINANCE, Market.SPOT, "BTCUSDT", "BTCUSDT", "trade", Source.REPLAY, "test", 1
    )
    return Trade(
        origin=origin,
        received_ns=number,
        event_time=START_US + number,
        trade_id=str(number),
        price=Decimal("60000.12345678"),
        quantity=Decimal("0.00000001"),
        side=Side.BUY,
        trade_time=START_US + number,
    )


def spoiled(value: bytes, number: int) -> bytes:
    match number % 5:
        case 0:
            return value[: len(value) // 2]
        case 1:
            return re.sub(rb'"price":"[^"]*",', b"", value)
        case 2:
            return re.sub(rb'"price":"[^"]*"', b'"price":"1E+30"', value)
        case 3:
            return value.replace(b'"symbol":"BTCUSDT"', b'"symbol":"../../etc"')
        case _:
            return re.sub(rb'"quantity":"[^"]*"', b'"quantity":"-1"', value)


def expire(lake: Lake, end: int, before: int) -> None:
    """Let the broker forget the trades below an offset in the partition that ends at `end`."""
    held = lake.lakehouse.watermarks(Feed.TRADES)
    (partition,) = [number for number, at in held.end[TRADES_TOPIC].items() if at == end]
    admin = AdminClient({"bootstrap.servers": lake.bootstrap})
    (future,) = admin.delete_records([TopicPartition(TRADES_TOPIC, partition, before)]).values()
    future.result(30)


def test_a_thousand_bad_records_among_a_hundred_thousand_good_ones(lake: Lake) -> None:
    envelope = Envelope(trade(0).origin, "1.0.0")
    values = []
    for number in range(101_000):
        value = envelope.typed(trade(number), 1)
        values.append(
            (TRADES_TOPIC, KEY, spoiled(value, number // 101) if number % 101 == 0 else value)
        )
    lake.publish_values(values)
    meta = lake.tick("bronze_trades", "quality_dead_letters", "silver_trades")
    assert meta["bronze_trades"]["rows"] == 100_000
    assert meta["bronze_trades"]["refused"] == 1_000
    assert lake.read("silver_trades").count() == 100_000
    letters = lake.read("quality_dead_letters").collect()
    reasons = Counter(letter.reason for letter in letters)
    assert reasons == {
        "not a JSON record of ours": 200,
        "price is missing": 200,
        "price 1E+30 does not fit decimal(17,8)": 200,
        "unknown symbol binance|spot|../../etc": 200,
        "quantity -1 is below 0": 200,
    }
    assert {letter.symbol for letter in letters} == {"BTCUSDT", "-"}
    assert all(letter.payload for letter in letters)
    again = lake.tick("bronze_trades", "quality_dead_letters", "silver_trades")
    assert [item["rows"] for item in again.values()] == [0, 0, 0]


def test_a_number_with_more_places_than_its_column_is_refused_and_never_rounded(
    lake: Lake,
) -> None:
    def priced(price: str) -> bytes:
        value = Envelope(trade(0).origin, "1.0.0").typed(trade(1), 1)
        return value.replace(b"60000.12345678", price.encode())

    def book(price: str, quantity: str) -> BookDelta:
        return BookDelta(
            origin=structs.replace(trade(0).origin, channel="depth@100ms"),
            received_ns=1,
            event_time=START_US,
            first_update_id=1,
            last_update_id=2,
            previous_update_id=None,
            bids=[("1.5", "0.00000000"), (price, quantity)],
            asks=[],
        )

    prices = ("1.23456789000000000000000", "2.12345678", "1.2E-7")
    inexact = ("60000.1234567800000000001", "1.123456789", "1E-30")
    values = [(TRADES_TOPIC, KEY, priced(price)) for price in (*prices, *inexact)]
    lake.publish_values(values)
    lake.publish(book(price, "1") for price in prices)
    lake.publish(book(price, "1") for price in inexact)
    lake.publish(book("1", quantity) for quantity in inexact)
    lake.tick("bronze_trades", "bronze_depth", "quality_dead_letters")
    expected = {Decimal(price) for price in prices}
    assert {row.price for row in lake.read("bronze_trades").collect()} == expected
    assert {row.bids[1].price for row in lake.read("bronze_depth").collect()} == expected
    reasons = Counter(row.reason for row in lake.read("quality_dead_letters").collect())
    assert reasons == {
        **{f"price {price} does not fit decimal(17,8)": 1 for price in inexact},
        "bids has a level that is negative or does not fit": 6,
    }


def test_each_kind_of_quote_needs_its_own_fields_and_only_a_rate_may_be_below_0(
    lake: Lake,
) -> None:
    origin = structs.replace(trade(0).origin, market=Market.UM, channel="markPrice@1s")
    mark = MarkPrice(
        origin=origin,
        received_ns=1,
        event_time=START_US,
        mark_price="60000.5",
        index_price=None,
        settle_price=None,
        funding_rate="-0.00012345",
        next_funding_time=None,
    )
    good = Envelope(origin, "1.0.0").typed(mark, 1)
    spoils = {
        "mark_price is missing": (b'"mark_price":"60000.5"', b'"mark_price":null'),
        "event_time is missing": (b'"event_time":%d' % START_US, b'"event_time":null'),
        "index_price -1 is below 0": (b'"index_price":null', b'"index_price":"-1"'),
        "funding_rate 1e9 does not fit decimal(20,18)": (b'"-0.00012345"', b'"1e9"'),
        "unknown event_type mood": (b'"event_type":"mark_price"', b'"event_type":"mood"'),
        "update_id is missing": (b'"event_type":"mark_price"', b'"event_type":"best_quote"'),
    }
    values = [good, *(good.replace(*spoil) for spoil in spoils.values())]
    lake.publish_values((topic_name(Exchange.BINANCE, Feed.QUOTES), KEY, value) for value in values)
    lake.tick("bronze_quotes", "quality_dead_letters", "silver_quotes", "silver_marks")
    (row,) = lake.read("silver_marks").collect()
    assert (row.mark_price, row.funding_rate) == (Decimal("60000.5"), Decimal("-0.00012345"))
    assert lake.read("silver_quotes").count() == 0
    assert {letter.reason for letter in lake.read("quality_dead_letters").collect()} == set(spoils)


def test_letters_of_a_commit_whose_tick_was_killed_before_them_come_with_the_next(
    lake: Lake,
) -> None:
    envelope = Envelope(trade(0).origin, "1.0.0")
    value = envelope.typed(trade(1), 1)
    lake.publish_values([(TRADES_TOPIC, KEY, value), (TRADES_TOPIC, KEY, b"{")])
    ingest(lake.lakehouse, Feed.TRADES)  # and here the process would die
    lake.publish_values([(TRADES_TOPIC, KEY, envelope.typed(trade(2), 1))])
    lake.tick("bronze_trades", "quality_dead_letters")
    assert lake.read("bronze_trades").count() == 2
    (letter,) = lake.read("quality_dead_letters").collect()
    assert (letter.payload, letter.kafka_topic) == ("{", TRADES_TOPIC)


def test_what_the_collector_could_not_understand_is_kept_with_its_payload(lake: Lake) -> None:
    letter: Event = DeadLetter(
        origin=trade(1).origin,
        received_ns=1,
        event_time=None,
        reason="price -1",
        payload='{"p":"-1"}',
    )
    lake.publish([letter])
    lake.tick("quality_dead_letters")
    (row,) = lake.read("quality_dead_letters").collect()
    assert (row.reason, row.payload, row.symbol) == ("price -1", '{"p":"-1"}', "BTCUSDT")


def test_offsets_that_expired_unread_are_told_and_reading_goes_on(lake: Lake) -> None:
    lake.publish([trade(number) for number in range(10)])
    lake.tick("bronze_trades")
    lake.publish([trade(number) for number in range(10, 20)])
    checkpoint = hudi_utils.last_checkpoint(lake.lakehouse.lake, TABLES["bronze_trades"])
    assert checkpoint is not None
    expire(lake, end=20, before=15)
    lake.tick("bronze_trades", "quality_dead_letters")
    assert lake.read("bronze_trades").count() == 15
    (lost,) = lake.read("quality_dead_letters").collect()
    assert (lost.kafka_offset, lost.last_offset, lost.payload) == (10, 14, None)
    assert "expired" in lost.reason
    assert lake.tick("bronze_trades", "quality_dead_letters")["bronze_trades"]["rows"] == 0


def test_what_was_refused_and_expired_before_its_letter_is_told_and_does_not_stop_the_rest(
    lake: Lake,
) -> None:
    envelope = Envelope(trade(0).origin, "1.0.0")
    value = envelope.typed(trade(1), 1)
    lake.publish_values([(TRADES_TOPIC, KEY, item) for item in (b"{", value, b"[")])
    ingest(lake.lakehouse, Feed.TRADES)  # and here the process would die
    expire(lake, end=3, before=2)
    lake.tick("quality_dead_letters")
    letters = lake.read("quality_dead_letters").orderBy("kafka_offset").collect()
    assert [(row.kafka_offset, row.last_offset, row.payload) for row in letters] == [
        (0, 1, None),
        (2, 2, "["),
    ]
    assert "expired in Kafka before what was refused" in letters[0].reason
    assert lake.tick("quality_dead_letters")["quality_dead_letters"]["rows"] == 0
