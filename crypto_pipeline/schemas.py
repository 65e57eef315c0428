"""Column types of the lake, and the columns of each feed as its events carry them.

Decimals. Spark multiplies decimal(p1,s1) by decimal(p2,s2) without loss while p1 + p2 + 1 <= 38, DuckDB
while p1 + p2 <= 38. Price decimal(17,8) (below 10^9) and quantity decimal(20,8) (below 10^12) meet both,
hold every instrument Binance lists, and multiply into the notional decimal(38,16). Sums of quantities
get ten more digits. A value that does not fit is refused, never rounded.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto

from shared.market.events import BestQuote, MarkPrice, event_type
from shared.market.topics import Feed

PRICE = "decimal(17,8)"
QUANTITY = "decimal(20,8)"
NOTIONAL = "decimal(38,16)"
VOLUME = "decimal(30,8)"
RATE = "decimal(20,18)"
"""A share of 1; the finest that a venue tells has 16 digits after the point."""
BASIS = "decimal(18,8)"
"""A difference of two prices."""
MID = "decimal(20,9)"
"""Half of a sum of two prices."""
LEVELS = f"array<struct<price:{PRICE},quantity:{QUANTITY}>>"
TIME = "timestamp"


def scale_of(decimal_type: str) -> int:
    """Return how many digits a decimal type holds after the point."""
    return int(decimal_type.rpartition(",")[2].rstrip(")"))


def exact_text(decimal_type: str) -> str:
    """Return the pattern of number texts without a digit beyond the scale of a decimal type.

    A cast rounds such a digit away without a word. Zeros at the end are none; with an exponent, the
    digits before the point are taken to be one, as in every normal form.
    """
    scale = scale_of(decimal_type)
    small = "|".join(
        rf"\d+(\.\d{{0,{scale - places}}}0*)?[eE]-0*{places}" for places in range(1, scale + 1)
    )
    plain = rf"\d*\.?\d{{0,{scale}}}0*"
    large = rf"\d+(\.\d{{0,{scale}}}0*)?[eE]\+?\d+"
    zero = r"0+(\.0*)?[eE][+-]?\d+"
    return f"^[+-]?({plain}|{zero}|{large}|{small})$"


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, Spark type, and what a user should know of it."""

    name: str
    type: str
    text: str = ""


class Kind(Enum):
    """How a field travels in JSON, and what becomes of it."""

    TEXT = auto()
    LONG = auto()
    FLAG = auto()
    MICROSECONDS = auto()  # a number that becomes a timestamp
    DECIMAL = auto()  # text that becomes an exact decimal, not below 0
    SIGNED = auto()  # the same, of either sign
    LEVEL_LIST = auto()  # pairs of decimal text, each a price level


JSON_TYPES = {
    Kind.TEXT: "string",
    Kind.LONG: "bigint",
    Kind.FLAG: "boolean",
    Kind.MICROSECONDS: "bigint",
    Kind.DECIMAL: "string",
    Kind.SIGNED: "string",
    Kind.LEVEL_LIST: "array<array<string>>",
}


@dataclass(frozen=True)
class Field:
    """A field of an event: how it travels, what it becomes, and whether a record needs it.

    One that names an event type in `of` is needed by records of that type alone.
    """

    name: str
    kind: Kind
    type: str
    required: bool = True
    of: str = ""

    def is_needed_by(self, event_types: Collection[str]) -> bool:
        """Say whether a record of one of these types may be at fault for want of it."""
        return self.required and (not self.of or self.of in event_types)

    @property
    def is_always_there(self) -> bool:
        """Whether every good record of the feed has it."""
        return self.required and not self.of


def _text(name: str, *, required: bool = True) -> Field:
    return Field(name, Kind.TEXT, "string", required)


def _long(name: str, *, required: bool = True, of: str = "") -> Field:
    return Field(name, Kind.LONG, "bigint", required, of)


def _time(name: str, *, required: bool = True, of: str = "") -> Field:
    return Field(name, Kind.MICROSECONDS, TIME, required, of)


def _decimal(name: str, type_: str, *, required: bool = True, of: str = "") -> Field:
    return Field(name, Kind.DECIMAL, type_, required, of)


BEST_QUOTE, MARK_PRICE = event_type(BestQuote), event_type(MarkPrice)

ENVELOPE = (
    _text("exchange"),
    _text("market"),
    _text("symbol"),
    _text("venue_symbol"),
    _text("channel"),
    _text("event_type"),
    _time("event_time", of=MARK_PRICE),
    _time("ingestion_timestamp"),
    _long("received_ns"),
    _text("source"),
    _text("connection"),
    _long("epoch"),
    _text("pipeline_version"),
)

BODY: dict[Feed, tuple[Field, ...]] = {
    Feed.TRADES: (
        _text("trade_id"),
        _decimal("price", PRICE),
        _decimal("quantity", QUANTITY),
        _text("side"),
        _time("trade_time"),
        _text("execution_type", required=False),
        _text("first_trade_id", required=False),
        _text("last_trade_id", required=False),
    ),
    Feed.DEPTH: (
        _long("first_update_id", required=False),
        _long("last_update_id"),
        _long("previous_update_id", required=False),
        Field("bids", Kind.LEVEL_LIST, LEVELS),
        Field("asks", Kind.LEVEL_LIST, LEVELS),
        _time("transaction_time", required=False),
    ),
    Feed.KLINES: (
        _text("interval"),
        _time("open_time"),
        _time("close_time"),
        _decimal("open", PRICE),
        _decimal("high", PRICE),
        _decimal("low", PRICE),
        _decimal("close", PRICE),
        _decimal("volume", VOLUME),
        _decimal("quote_volume", NOTIONAL),
        _long("trade_count"),
        _decimal("taker_buy_volume", VOLUME),
        _decimal("taker_buy_quote_volume", NOTIONAL),
        _text("first_trade_id", required=False),
        _text("last_trade_id", required=False),
        Field("is_closed", Kind.FLAG, "boolean"),
    ),
    Feed.QUOTES: (
        _long("update_id", of=BEST_QUOTE),
        _decimal("bid_price", PRICE, of=BEST_QUOTE),
        _decimal("bid_quantity", QUANTITY, of=BEST_QUOTE),
        _decimal("ask_price", PRICE, of=BEST_QUOTE),
        _decimal("ask_quantity", QUANTITY, of=BEST_QUOTE),
        _time("transaction_time", required=False),
        _decimal("mark_price", PRICE, of=MARK_PRICE),
        _decimal("index_price", PRICE, required=False),
        _decimal("settle_price", PRICE, required=False),
        Field("funding_rate", Kind.SIGNED, RATE, required=False),
        _time("next_funding_time", required=False),
    ),
    Feed.STREAM_STATUS: (
        _text("state"),
        _text("reason", required=False),
        _long("expected", required=False),
        _long("received", required=False),
        _long("first_id", required=False),
        _long("last_id", required=False),
    ),
    Feed.RAW_EVENTS: (),
    Feed.DEAD_LETTERS: (_text("reason"), _text("payload")),
}

KAFKA_COLUMNS = (
    Column("kafka_topic", "string", "Topic of the record"),
    Column("kafka_partition", "int", "Partition of the record"),
    Column("kafka_offset", "bigint", "Offset of the record"),
    Column("kafka_timestamp", TIME, "When the record was sent, by the producer's clock"),
)
DATE = Column("date", "string", "UTC date of the event's own time, YYYY-MM-DD; partition")


def bronze_columns(feed: Feed) -> tuple[Column, ...]:
    """Return the columns of a feed's bronze table."""
    payload = (Column("payload", "string", "The frame as received"),)
    return (
        *KAFKA_COLUMNS,
        *(Column(field.name, field.type) for field in (*ENVELOPE, *BODY[feed])),
        *(payload if feed is Feed.RAW_EVENTS else ()),
        DATE,
    )
