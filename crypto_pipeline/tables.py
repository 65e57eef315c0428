"""Every table of the lake as one value: key, ordering, sources, columns, and how it is written."""

from dataclasses import dataclass
from enum import StrEnum

from crypto_pipeline.schemas import (
    DATE,
    LEVELS,
    NOTIONAL,
    PRICE,
    QUANTITY,
    TIME,
    VOLUME,
    Column,
    bronze_columns,
)
from shared.market.topics import Feed


class Layer(StrEnum):
    """Bronze holds records as they came, silver one row per fact, gold what is computed."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"
    QUALITY = "quality"


class WriteMode(StrEnum):
    """Append in bulk (copy on write), or upsert by key (merge on read, bucket index)."""

    APPEND = "bulk_insert"
    UPSERT = "upsert"


@dataclass(frozen=True)
class TableSpec:
    """One Hudi table, partitioned by `symbol` and `date`.

    `ordering` decides between two rows of one key: the greater wins.
    """

    name: str
    layer: Layer
    description: str
    sources: tuple[str, ...]
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    ordering: str | None = None

    @property
    def mode(self) -> WriteMode:
        """How rows are written: what has an ordering is upserted."""
        return WriteMode.UPSERT if self.ordering else WriteMode.APPEND


_IDENTITY = (
    Column("exchange", "string", "Venue"),
    Column("market", "string", "spot, um or cm"),
    Column("symbol", "string", "Canonical symbol; partition"),
)
_CHANNEL = Column("channel", "string", "The venue's channel that the row came through")
_RECEIPT = (
    Column("event_time", TIME, "The venue's time of the message; null where it sends none"),
    Column("received_ns", "bigint", "When we received it, ns since the epoch by our clock"),
    Column("source", "string", "WebSocket, REST, archive or replay"),
    Column("connection", "string", "Socket it came through"),
    Column("epoch", "bigint", "That socket's connection count"),
)
_SEQUENCE = Column("row_order", "bigint", "Decides between two forms of one row: the greater wins")
_CANDLE = (
    Column("open", PRICE),
    Column("high", PRICE),
    Column("low", PRICE),
    Column("close", PRICE),
    Column("volume", VOLUME, "Base quantity traded"),
    Column("quote_volume", NOTIONAL, "Sum of price times quantity, exact"),
    Column("trade_count", "bigint", "Fills"),
    Column("taker_buy_volume", VOLUME, "Base quantity bought by takers"),
    Column("taker_buy_quote_volume", NOTIONAL, "Notional bought by takers"),
)
_TRADE_SPAN = (
    Column("first_trade_id", "string", "Id of the first fill"),
    Column("last_trade_id", "string", "Id of the last fill"),
)
RECORD_KEY = ("kafka_topic", "kafka_partition", "kafka_offset")
_BRONZE_TEXT = {
    Feed.TRADES: "Trades and aggregate trades, told apart by channel",
    Feed.DEPTH: "Order-book deltas, and a full snapshot at each sync and minute",
    Feed.KLINES: "The venue's own candles, open and closed",
    Feed.QUOTES: "Best bid and offer",
    Feed.RAW_EVENTS: "Every frame as received",
    Feed.STREAM_STATUS: "What became of each subscription",
}


def bronze_table(feed: Feed) -> str:
    """Return the name of a feed's bronze table."""
    return f"bronze_{feed.replace('-', '_')}"


_BRONZE = tuple(
    TableSpec(bronze_table(feed), Layer.BRONZE, text, (), RECORD_KEY, bronze_columns(feed))
    for feed, text in _BRONZE_TEXT.items()
)
_SILVER = (
    TableSpec(
        name="silver_trades",
        layer=Layer.SILVER,
        description="Each fill once per channel, with its exact notional",
        sources=("bronze_trades",),
        key=("exchange", "market", "symbol", "channel", "trade_id"),
        ordering="row_order",
        columns=(
            *_IDENTITY,
            _CHANNEL,
            Column("trade_id", "string", "The venue's id, as text: some venues use UUIDs"),
            Column("trade_sequence", "bigint", "The id as a number, null where it is none"),
            Column("price", PRICE),
            Column("quantity", QUANTITY, "Base quantity"),
            Column("quote_quantity", NOTIONAL, "Price times quantity, exact"),
            Column("side", "string", "The taker's side"),
            Column("trade_time", TIME, "When it traded, by the venue"),
            Column("execution_type", "string", "Futures: MARKET, INSURANCE_FUND, ADL or NA"),
            *_TRADE_SPAN,
            *_RECEIPT,
            _SEQUENCE,
            DATE,
        ),
    ),
    TableSpec(
        name="silver_klines",
        layer=Layer.SILVER,
        description="The venue's candles; a closed one replaces the open one",
        sources=("bronze_klines",),
        key=("exchange", "market", "symbol", "interval", "open_time"),
        ordering="row_order",
        columns=(
            *_IDENTITY,
            _CHANNEL,
            Column("interval", "string"),
            Column("open_time", TIME),
            Column("close_time", TIME, "Inclusive, as the venue says it"),
            *_CANDLE,
            *_TRADE_SPAN,
            Column("is_closed", "boolean", "Only a closed candle is final"),
            *_RECEIPT,
            _SEQUENCE,
            DATE,
        ),
    ),
    TableSpec(
        name="silver_quotes",
        layer=Layer.SILVER,
        description="Best bid and offer, once per book update",
        sources=("bronze_quotes",),
        key=("exchange", "market", "symbol", "channel", "update_id"),
        ordering="row_order",
        columns=(
            *_IDENTITY,
            _CHANNEL,
            Column("update_id", "bigint", "Book update after which it stood"),
            Column("bid_price", PRICE),
            Column("bid_quantity", QUANTITY),
            Column("ask_price", PRICE),
            Column("ask_quantity", QUANTITY),
            Column("transaction_time", TIME),
            *_RECEIPT,
            _SEQUENCE,
            DATE,
        ),
    ),
    TableSpec(
        name="silver_book",
        layer=Layer.SILVER,
        description="The best ten levels as they stood at the end of each second with a delta",
        sources=("bronze_depth",),
        key=("exchange", "market", "symbol", "channel", "second"),
        ordering="row_order",
        columns=(
            *_IDENTITY,
            _CHANNEL,
            Column("second", TIME, "Start of the second of event time"),
            Column("last_update_id", "bigint", "Last update applied in that second"),
            Column("event_time", TIME, "Time of that update"),
            Column("bids", LEVELS, "Best (highest) first"),
            Column("asks", LEVELS, "Best (lowest) first"),
            _SEQUENCE,
            DATE,
        ),
    ),
)
_GOLD = (
    TableSpec(
        name="gold_ohlcv",
        layer=Layer.GOLD,
        description="Candles of 1s to 1d from fills, each fill counted once",
        sources=("silver_trades",),
        key=("exchange", "market", "symbol", "interval", "window_start"),
        ordering="row_order",
        columns=(
            *_IDENTITY,
            Column("interval", "string", "1s 1m 5m 15m 1h 4h 1d"),
            Column("window_start", TIME, "UTC"),
            *_CANDLE,
            Column("vwap", "double", "quote_volume / volume"),
            *_TRADE_SPAN,
            Column("first_trade_time", TIME),
            Column("last_trade_time", TIME),
            _SEQUENCE,
            DATE,
        ),
    ),
    TableSpec(
        name="gold_book_metrics",
        layer=Layer.GOLD,
        description="Spread, depth and imbalance per minute, over its observed seconds",
        sources=("silver_book",),
        key=("exchange", "market", "symbol", "channel", "window_start"),
        ordering="row_order",
        columns=(
            *_IDENTITY,
            _CHANNEL,
            Column("window_start", TIME, "Start of the minute, UTC"),
            Column("seconds", "bigint", "Seconds of the minute with a valid book"),
            Column("mid_close", "double", "Mean of best bid and ask at the last observed second"),
            Column("spread_bps_avg", "double", "(ask - bid) / mid, in basis points"),
            Column("spread_bps_min", "double"),
            Column("spread_bps_max", "double"),
            Column("bid_depth_avg", "double", "Base quantity of the best ten bids"),
            Column("ask_depth_avg", "double", "Base quantity of the best ten asks"),
            Column("imbalance_avg", "double", "(bids - asks) / (bids + asks) of those depths"),
            _SEQUENCE,
            DATE,
        ),
    ),
)
_QUALITY = (
    TableSpec(
        name="quality_dead_letters",
        layer=Layer.QUALITY,
        description="Records that were refused, with payload and reason, and lost Kafka ranges",
        sources=tuple(spec.name for spec in _BRONZE),
        key=RECORD_KEY,
        ordering="row_order",
        columns=(
            Column("kafka_topic", "string"),
            Column("kafka_partition", "int"),
            Column("kafka_offset", "bigint", "First offset of a lost range"),
            Column("last_offset", "bigint", "Last offset of a lost range, else the same"),
            Column("kafka_timestamp", TIME),
            *_IDENTITY,
            Column("reason", "string", "Field and value that were refused, or what was lost"),
            Column("payload", "string", "The record as it came"),
            _SEQUENCE,
            DATE,
        ),
    ),
)

TABLES = {spec.name: spec for spec in (*_BRONZE, *_SILVER, *_GOLD, *_QUALITY)}
BRONZE_FEEDS = tuple(_BRONZE_TEXT)
