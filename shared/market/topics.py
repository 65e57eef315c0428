"""Kafka topics: their names, message keys, partitions and retention, in one table."""

from enum import StrEnum

import msgspec

from shared.market.events import (
    AggregateTrade,
    BestQuote,
    BookDelta,
    BookSnapshot,
    DeadLetter,
    Event,
    Kline,
    MarkPrice,
    StreamStatus,
    Trade,
    event_type,
)
from shared.market.instruments import Exchange, Market

RAW_EVENT_TYPE = "raw_frame"
CONTROL_SYMBOL = "-"
"""Symbol of raw frames that belong to no instrument: acknowledgements and notices."""

_DAY_MS = 24 * 60 * 60 * 1000


class Feed(StrEnum):
    """What a topic holds; for those that go into the lake also the name of its bronze table."""

    RAW_EVENTS = "raw-events"
    TRADES = "trades"
    DEPTH = "depth"
    KLINES = "klines"
    QUOTES = "quotes"
    STREAM_STATUS = "stream-status"
    DEAD_LETTERS = "dead-letters"
    ALERTS = "alerts"


class TopicSpec(msgspec.Struct, frozen=True):
    """One topic as it should stand on the broker; None for partitions takes the setting."""

    name: str
    feed: Feed
    retention_ms: int
    partitions: int | None = None


_RETENTION_DAYS = {
    Feed.RAW_EVENTS: 7,
    Feed.TRADES: 30,
    Feed.DEPTH: 7,
    Feed.KLINES: 30,
    Feed.QUOTES: 7,
    Feed.STREAM_STATUS: 30,
    Feed.DEAD_LETTERS: 30,
    Feed.ALERTS: 30,
}
_COMMON = (Feed.STREAM_STATUS, Feed.DEAD_LETTERS, Feed.ALERTS)
FEED_OF_EVENT: dict[type[Event], Feed] = {
    Trade: Feed.TRADES,
    AggregateTrade: Feed.TRADES,
    BookDelta: Feed.DEPTH,
    BookSnapshot: Feed.DEPTH,
    BestQuote: Feed.QUOTES,
    MarkPrice: Feed.QUOTES,
    Kline: Feed.KLINES,
    StreamStatus: Feed.STREAM_STATUS,
    DeadLetter: Feed.DEAD_LETTERS,
}


def event_types(feed: Feed) -> list[str]:
    """Return the `event_type` of each kind of record that a feed carries."""
    if feed is Feed.RAW_EVENTS:
        return [RAW_EVENT_TYPE]
    return [event_type(kind) for kind, carrier in FEED_OF_EVENT.items() if carrier is feed]


def feed_of(event: Event) -> Feed:
    """Return the feed that carries an event."""
    return FEED_OF_EVENT[type(event)]


def topic_name(exchange: Exchange, feed: Feed) -> str:
    """Return a feed's topic: one per exchange, except those that all exchanges share."""
    return feed.value if feed in _COMMON else f"{exchange}-{feed}"


def message_key(market: Market, symbol: str) -> str:
    """Return the key that keeps one symbol's messages in order on one partition."""
    return f"{market}:{symbol}"


def topic_specs(exchange: Exchange) -> list[TopicSpec]:
    """Return every topic that one exchange's services need, shared ones included."""
    return [
        TopicSpec(
            name=topic_name(exchange, feed),
            feed=feed,
            retention_ms=days * _DAY_MS,
            partitions=1 if feed in _COMMON else None,
        )
        for feed, days in _RETENTION_DAYS.items()
    ]
