"""Every table of the lake as one value; those of gold and quality stand in modules of their own."""

from crypto_pipeline.gold_tables import GOLD_TABLES
from crypto_pipeline.quality_tables import QUALITY_TABLES
from crypto_pipeline.schemas import (
    DATE,
    LEVELS,
    NOTIONAL,
    PRICE,
    QUANTITY,
    RATE,
    TIME,
    Column,
    bronze_columns,
)
from crypto_pipeline.specs import (
    CANDLE,
    CHANNEL,
    IDENTITY,
    SEQUENCE,
    TRADE_SPAN,
    Layer,
    TableSpec,
    WriteMode,
)
from shared.market.topics import Feed

__all__ = [
    "BRONZE_FEEDS",
    "EACH_TICK",
    "RECORD_KEY",
    "TABLES",
    "TRADES_TO_CANDLES",
    "Layer",
    "TableSpec",
    "WriteMode",
    "bronze_table",
]

_RECEIPT = (
    Column("event_time", TIME, "The venue's time of the message; null where it sends none"),
    Column("received_ns", "bigint", "When we received it, ns since the epoch by our clock"),
    Column("source", "string", "WebSocket, REST, archive or replay"),
    Column("connection", "string", "Socket it came through"),
    Column("epoch", "bigint", "That socket's connection count"),
)
RECORD_KEY = ("kafka_topic", "kafka_partition", "kafka_offset")
_BRONZE_TEXT = {
    Feed.TRADES: "Trades and aggregate trades, told apart by channel",
    Feed.DEPTH: "Order-book deltas, and a full snapshot at each sync and minute",
    Feed.KLINES: "The venue's own candles, open and closed",
    Feed.QUOTES: "Best bid and offer, and mark prices of futures, told apart by event type",
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


_AS_TOLD = "Base quantity, of coin-margined futures contracts, as the venue tells it"


def _silver(
    name: str, description: str, source: Feed, key: tuple[str, ...], columns: tuple[Column, ...]
) -> TableSpec:
    """Return a table of facts from one bronze table; its key is the instrument and `key`."""
    return TableSpec(
        name=name,
        layer=Layer.SILVER,
        description=description,
        sources=(bronze_table(source),),
        key=(*(column.name for column in IDENTITY), *key),
        columns=(*IDENTITY, CHANNEL, *columns, SEQUENCE, DATE),
        ordering=SEQUENCE.name,
    )


_SILVER = (
    _silver(
        "silver_trades",
        "Each fill once per channel, with its exact notional",
        Feed.TRADES,
        ("channel", "trade_id"),
        (
            Column("trade_id", "string", "The venue's id, as text: some venues use UUIDs"),
            Column("trade_sequence", "bigint", "The id as a number, null where it is none"),
            Column("price", PRICE),
            Column("quantity", QUANTITY, "Base quantity; of contracts rounded to 8 places"),
            Column(
                "quote_quantity", NOTIONAL, "Price times quantity, or the contracts' USD; exact"
            ),
            Column("contracts", QUANTITY, "Coin-margined: what the venue tells as quantity"),
            Column("side", "string", "The taker's side"),
            Column("trade_time", TIME, "When it traded, by the venue"),
            Column("execution_type", "string", "Futures: MARKET, INSURANCE_FUND, ADL or NA"),
            *TRADE_SPAN,
            *_RECEIPT,
        ),
    ),
    _silver(
        "silver_klines",
        "The venue's candles; a closed one replaces the open one",
        Feed.KLINES,
        ("interval", "open_time"),
        (
            Column("interval", "string"),
            Column("open_time", TIME),
            Column("close_time", TIME, "Inclusive, as the venue says it"),
            *CANDLE,
            *TRADE_SPAN,
            Column("is_closed", "boolean", "Only a closed candle is final"),
            *_RECEIPT,
        ),
    ),
    _silver(
        "silver_quotes",
        "Best bid and offer, once per book update",
        Feed.QUOTES,
        ("channel", "update_id"),
        (
            Column("update_id", "bigint", "Book update after which it stood"),
            Column("bid_price", PRICE),
            Column("bid_quantity", QUANTITY, _AS_TOLD),
            Column("ask_price", PRICE),
            Column("ask_quantity", QUANTITY, _AS_TOLD),
            Column("transaction_time", TIME),
            *_RECEIPT,
        ),
    ),
    _silver(
        "silver_marks",
        "Mark price, index price and funding of futures, once per message",
        Feed.QUOTES,
        ("channel", "event_time"),
        (
            Column("mark_price", PRICE, "What positions are valued at"),
            Column("index_price", PRICE, "The venue's mean of spot markets"),
            Column("settle_price", PRICE, "Estimate of the settlement, of use in its last hour"),
            Column("funding_rate", RATE, "What longs pay shorts, a share of the notional"),
            Column("next_funding_time", TIME, "When they pay it"),
            *_RECEIPT,
        ),
    ),
    _silver(
        "silver_book",
        "The best ten levels as they stood at the end of each second with a delta",
        Feed.DEPTH,
        ("channel", "second"),
        (
            Column("second", TIME, "Start of the second of event time"),
            Column("last_update_id", "bigint", "Last update applied in that second"),
            Column("event_time", TIME, "Time of that update"),
            Column("bids", LEVELS, f"Best (highest) first. {_AS_TOLD}"),
            Column("asks", LEVELS, f"Best (lowest) first. {_AS_TOLD}"),
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
            *IDENTITY,
            Column("reason", "string", "Field and value that were refused, or what was lost"),
            Column("payload", "string", "The record as it came"),
            SEQUENCE,
            DATE,
        ),
    ),
    TableSpec(
        name="quality_reconciliation",
        layer=Layer.QUALITY,
        description="A closed day as it came live, against the exchange's archive of it",
        sources=("bronze_trades", "bronze_klines"),
        key=("exchange", "market", "symbol", "channel", "date"),
        ordering="row_order",
        columns=(
            *IDENTITY,
            CHANNEL,
            Column("state", "string", "equal, different, only archive or only live"),
            Column("live_rows", "bigint", "Ids that came by WebSocket or REST"),
            Column("archive_rows", "bigint", "Ids of the archive's file"),
            Column(
                "missing",
                "bigint",
                "Ids of the archive that did not come live; null where only one side is",
            ),
            Column("first_missing", "string", "The lowest of them; of candles the time"),
            Column("last_missing", "string", "The highest of them"),
            Column("extra", "bigint", "Ids that came live and are not in the archive"),
            Column("first_extra", "string", "The lowest of them"),
            Column("last_extra", "string", "The highest of them"),
            Column("different", "bigint", "Ids in both of which a field differs"),
            Column("differences", "string", "Per field: how many, the first id, both values"),
            SEQUENCE,
            DATE,
        ),
    ),
)

TABLES = {
    spec.name: spec for spec in (*_BRONZE, *_SILVER, *GOLD_TABLES, *_QUALITY, *QUALITY_TABLES)
}
BRONZE_FEEDS = tuple(_BRONZE_TEXT)
TRADES_TO_CANDLES = ("bronze_trades", "silver_trades", "gold_ohlcv")
"""The way of a trade that is not to wait: what brings it is done first."""
EACH_TICK = (*TRADES_TO_CANDLES, "gold_volume_profile", "bronze_raw_events")
"""Every tick fills these: also those of which each trade or frame makes more, so that none of their turns is long."""
