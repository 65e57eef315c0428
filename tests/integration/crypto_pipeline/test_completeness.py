"""The ledger of a real lake: what lacks is found to the id, explained, and closed when it comes."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from msgspec import structs

from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from shared.market.events import (
    BestQuote,
    BookDelta,
    Event,
    Kline,
    Origin,
    Side,
    Source,
    StreamState,
    StreamStatus,
    Trade,
)
from shared.market.instruments import Exchange, Market
from shared.market.topics import Feed
from tests.integration.crypto_pipeline.conftest import TRADES_TOPIC, Lake

pytestmark = [pytest.mark.kafka, pytest.mark.spark]

MIDNIGHT_US = 1_723_161_600_000_000  # 2024-08-09
DAY_BEFORE, DAY = "2024-08-08", "2024-08-09"
SECOND_US = 1_000_000
LEDGER = ("quality_dead_letters", "quality_completeness", "quality_gaps")
TRADES = ("bronze_trades", "bronze_stream_status", *LEDGER)


def origin(channel: str, market: Market = Market.SPOT, source: Source = Source.BINANCE_WEBSOCKET):
    return Origin(Exchange.BINANCE, market, "BTCUSDT", "BTCUSDT", channel, source, "test", 1)


def trades(numbers: Iterable[int], source: Source = Source.BINANCE_WEBSOCKET) -> list[Event]:
    """Trade 1000 is the first of the day, one each second."""
    return [
        Trade(
            origin=origin("trade", source=source),
            received_ns=number,
            event_time=None,
            trade_id=str(number),
            price="60000.1",
            quantity="0.001",
            side=Side.BUY,
            trade_time=MIDNIGHT_US + (number - 1000) * SECOND_US,
        )
        for number in numbers
    ]


def status(state: StreamState, **ids: int) -> StreamStatus:
    return StreamStatus(
        origin=origin("trade"),
        received_ns=MIDNIGHT_US * 1000,
        event_time=None,
        state=state,
        reason="trade ids" if state is StreamState.GAP else "not among the venue's rows",
        **ids,
    )


def rows(lake: Lake, name: str, *columns: str, order: str = "first_id") -> list[tuple[Any, ...]]:
    found = hudi_utils.read_small(lake.lakehouse.lake, TABLES[name])
    found.sort(key=lambda row: (row["market"], row["channel"], row["date"], row[order] or 0))
    by_spark = lake.read(name).count()
    assert by_spark == len(found)
    return [tuple(row[column] for column in columns) for row in found]


def completeness(lake: Lake) -> list[tuple[Any, ...]]:
    return rows(
        lake,
        "quality_completeness",
        *("date", "state", "first_id", "last_id", "expected", "present", "missing", "duplicates"),
    )


def gaps(lake: Lake) -> list[tuple[Any, ...]]:
    return rows(lake, "quality_gaps", "date", "first_id", "last_id", "missing", "state")


def test_a_hole_over_midnight_is_found_told_healed_and_closed(lake: Lake) -> None:
    lake.publish(trades([*range(900, 990), *range(1010, 1100)]))
    lake.publish([status(StreamState.GAP, expected=990, received=1010)])
    lake.tick(*TRADES)
    assert completeness(lake) == [
        (DAY_BEFORE, "open", 900, 989, 110, 90, 20, 0),
        (DAY, "complete", 1010, 1099, 90, 90, 0, 0),
    ]
    assert gaps(lake) == [(DAY_BEFORE, 990, 1009, 20, "open")]
    ((cause, reason, before, after),) = rows(
        lake, "quality_gaps", "cause", "reason", "before_time", "after_time"
    )
    assert (cause, reason) == ("jump in the stream", "trade ids")
    assert before == datetime(2024, 8, 8, 23, 59, 49, tzinfo=UTC)
    assert after == datetime(2024, 8, 9, 0, 0, 10, tzinfo=UTC)
    lake.publish(trades(range(990, 1005), Source.BINANCE_REST))
    lake.publish(trades(range(1095, 1100)))
    lake.publish([status(StreamState.UNHEALABLE, first_id=1005, last_id=1009)])
    lake.tick(*TRADES)
    assert completeness(lake) == [
        (DAY_BEFORE, "complete", 900, 999, 100, 100, 0, 0),
        (DAY, "unhealable", 1000, 1099, 100, 95, 5, 5),
    ]
    assert gaps(lake) == [
        (DAY_BEFORE, 990, 999, 0, "healed"),
        (DAY, 1000, 1009, 5, "unhealable"),
    ]
    lake.publish(trades(range(1005, 1010), Source.BINANCE_ARCHIVE))
    lake.tick(*TRADES)
    assert completeness(lake)[1] == (DAY, "complete", 1000, 1099, 100, 100, 0, 5)
    assert gaps(lake)[1] == (DAY, 1000, 1009, 0, "healed")
    idle = lake.tick(*TRADES)
    assert [meta["rows"] for meta in idle.values()] == [0] * len(idle)
    root, spec = lake.lakehouse.lake, TABLES["quality_completeness"]
    history = [item.completed for item in hudi_utils.commits(root, spec)]
    everything = {("BTCUSDT", DAY_BEFORE), ("BTCUSDT", DAY)}
    assert hudi_utils.partitions_since(root, spec, "", history[0]) == everything
    assert hudi_utils.partitions_since(root, spec, history[1], history[0]) == {("BTCUSDT", DAY)}
    assert hudi_utils.partitions_since(root, spec, history[0], history[0]) == set()


def test_what_expired_in_kafka_is_a_gap_with_its_cause(lake: Lake) -> None:
    lake.publish(trades(range(1000, 1010)))
    lake.tick(*TRADES)
    lake.publish(trades(range(1010, 1020)))
    held = lake.lakehouse.watermarks(Feed.TRADES)
    (partition,) = [number for number, end in held.end[TRADES_TOPIC].items() if end == 20]
    admin = AdminClient({"bootstrap.servers": lake.bootstrap})
    (future,) = admin.delete_records([TopicPartition(TRADES_TOPIC, partition, 15)]).values()
    future.result(30)
    lake.tick(*TRADES)
    assert completeness(lake) == [(DAY, "open", 1000, 1019, 20, 15, 5, 0)]
    assert rows(lake, "quality_gaps", "first_id", "last_id", "cause", "reason") == [
        (
            1010,
            1014,
            "expired in Kafka",
            "offsets 10 to 14 expired in Kafka before they were read",
        )
    ]


def test_a_refused_record_explains_the_gap_that_it_leaves(lake: Lake) -> None:
    (bad,) = trades([1005])
    assert isinstance(bad, Trade)
    lake.publish([*trades(range(1000, 1005)), structs.replace(bad, price="1E+30")])
    lake.publish(trades(range(1006, 1010)))
    lake.tick(*TRADES)
    assert rows(lake, "quality_gaps", "first_id", "last_id", "cause", "reason") == [
        (1005, 1005, "refused", "price 1E+30 does not fit decimal(17,8)")
    ]


def test_a_late_live_record_ends_a_gap_without_a_stale_row(lake: Lake) -> None:
    lake.publish(trades([*range(1000, 1010), *range(1020, 1030)]))
    lake.tick(*TRADES)
    lake.publish(trades(range(1013, 1015)))
    lake.tick(*TRADES)
    assert gaps(lake) == [(DAY, 1010, 1012, 3, "open"), (DAY, 1015, 1019, 5, "open")]
    lake.publish(trades(range(1010, 1013)))
    lake.tick(*TRADES)
    assert gaps(lake) == [(DAY, 1010, 1012, 0, "healed"), (DAY, 1015, 1019, 5, "open")]


def delta(market: Market, number: int, first: int, last: int, previous: int | None) -> BookDelta:
    return BookDelta(
        origin=origin("depth@100ms", market),
        received_ns=number,
        event_time=MIDNIGHT_US + number,
        first_update_id=first,
        last_update_id=last,
        previous_update_id=previous,
        bids=[],
        asks=[],
    )


def kline(minute: int, *, is_closed: bool = True) -> Kline:
    """The candle of a minute of the day."""
    opened = MIDNIGHT_US + minute * 60 * SECOND_US
    return Kline(
        origin=origin("kline_1m"),
        received_ns=minute,
        event_time=opened + 60 * SECOND_US,
        interval="1m",
        open_time=opened,
        close_time=opened + 60 * SECOND_US - 1000,
        open="1",
        high="1",
        low="1",
        close="1",
        volume="1",
        quote_volume="1",
        trade_count=1,
        taker_buy_volume="1",
        taker_buy_quote_volume="1",
        first_trade_id=None,
        last_trade_id=None,
        is_closed=is_closed,
    )


def test_chains_candles_and_quotes_each_count_in_their_own_way(lake: Lake) -> None:
    spot = [delta(Market.SPOT, 1, 5, 9, None), delta(Market.SPOT, 2, 10, 10, None)]
    lake.publish([*spot, delta(Market.SPOT, 3, 14, 20, None)])
    # On futures ids are the whole market's; what links a delta to the one before is `pu`.
    lake.publish([delta(Market.UM, 1, 105, 110, 100), delta(Market.UM, 2, 115, 120, 110)])
    lake.publish([delta(Market.UM, 3, 135, 140, 130)])
    lake.publish([kline(-1), kline(0), kline(1, is_closed=False), kline(3)])
    quote = BestQuote(
        origin=origin("bookTicker"),
        received_ns=MIDNIGHT_US * 1000,
        event_time=None,
        update_id=3,
        bid_price="1",
        bid_quantity="1",
        ask_price="2",
        ask_quantity="1",
    )
    lake.publish([quote, structs.replace(quote, update_id=90)])
    futures = structs.replace(trades([1000])[0], origin=origin("trade", Market.UM))
    lake.publish([futures])
    lake.tick("bronze_depth", "bronze_klines", "bronze_quotes", "bronze_trades", *LEDGER)
    found = rows(
        lake,
        "quality_completeness",
        *("market", "channel", "date", "state", "first_id", "last_id", "present", "missing"),
    )
    minute = MIDNIGHT_US // (60 * SECOND_US)
    assert found == [
        ("spot", "bookTicker", DAY, "unnumbered", None, None, 2, None),
        ("spot", "depth@100ms", DAY, "unhealable", 5, 20, 13, 3),
        ("spot", "kline_1m", DAY_BEFORE, "complete", minute - 1, minute - 1, 1, 0),
        ("spot", "kline_1m", DAY, "open", minute, minute + 3, 2, 2),
        ("um", "depth@100ms", DAY, "unhealable", 101, 140, 30, 10),
        ("um", "trade", DAY, "unnumbered", None, None, 1, None),
    ]
    assert rows(lake, "quality_gaps", "channel", "first_id", "last_id", "state") == [
        ("depth@100ms", 11, 13, "unhealable"),
        ("kline_1m", minute + 1, minute + 2, "open"),
        ("depth@100ms", 121, 130, "unhealable"),
    ]
