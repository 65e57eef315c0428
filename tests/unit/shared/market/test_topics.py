from shared.market.events import DeadLetter, Origin, Source
from shared.market.instruments import Exchange, Market, is_safe_symbol
from shared.market.topics import (
    Feed,
    event_types,
    feed_of,
    message_key,
    topic_name,
    topic_specs,
)


def test_each_exchange_has_its_topics_and_shares_status_and_dead_letters():
    names = {spec.name for spec in topic_specs(Exchange.BINANCE)}
    assert names == {
        "binance-raw-events",
        "binance-trades",
        "binance-depth",
        "binance-klines",
        "binance-quotes",
        "stream-status",
        "dead-letters",
        "alerts",
    }
    assert topic_name(Exchange.OKX, Feed.STREAM_STATUS) == topic_name(
        Exchange.BINANCE, Feed.STREAM_STATUS
    )


def test_retention_is_a_week_for_depth_and_thirty_days_for_trades():
    day = 86_400_000
    kept = {spec.feed: spec.retention_ms // day for spec in topic_specs(Exchange.BINANCE)}
    assert kept[Feed.DEPTH] == 7
    assert kept[Feed.TRADES] == 30


def test_a_key_keeps_markets_of_one_symbol_apart():
    assert message_key(Market.UM, "BTCUSDT") == "um:BTCUSDT"


def test_an_event_knows_its_feed():
    origin = Origin(Exchange.BINANCE, Market.SPOT, "-", "-", "c", Source.REPLAY, "c", 1)
    letter = DeadLetter(origin=origin, received_ns=1, event_time=None, reason="r", payload="p")
    assert feed_of(letter) is Feed.DEAD_LETTERS


def test_a_feed_names_the_types_of_its_records():
    assert set(event_types(Feed.QUOTES)) == {"best_quote", "mark_price"}
    assert set(event_types(Feed.TRADES)) == {"trade", "aggregate_trade"}
    assert event_types(Feed.RAW_EVENTS) == ["raw_frame"]


def test_a_symbol_that_could_leave_its_folder_is_not_safe():
    assert is_safe_symbol("BTCUSDT_250926")
    assert is_safe_symbol("这是测试币456")
    for bad in ("", "..", "a/b", ".hidden", "A B", "x" * 65):
        assert not is_safe_symbol(bad)
