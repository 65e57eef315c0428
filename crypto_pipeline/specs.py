"""What a table is: its key, ordering, sources and columns, and the columns that many tables share."""

from dataclasses import dataclass
from enum import StrEnum

from crypto_pipeline.schemas import NOTIONAL, PRICE, VOLUME, Column


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


Partition = tuple[str, str]
"""What every table is cut by: a symbol and a date."""


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


IDENTITY = (
    Column("exchange", "string", "Venue"),
    Column("market", "string", "spot, um or cm"),
    Column("symbol", "string", "Canonical symbol; partition"),
)
CHANNEL = Column("channel", "string", "The venue's channel that the row came through")
SEQUENCE = Column("row_order", "bigint", "Decides between two forms of one row: the greater wins")
CANDLE = (
    Column("open", PRICE),
    Column("high", PRICE),
    Column("low", PRICE),
    Column("close", PRICE),
    Column("volume", VOLUME, "Base quantity traded"),
    Column("quote_volume", NOTIONAL, "Notional traded, exact"),
    Column("trade_count", "bigint", "Fills"),
    Column("taker_buy_volume", VOLUME, "Base quantity bought by takers"),
    Column("taker_buy_quote_volume", NOTIONAL, "Notional bought by takers"),
)
TRADE_SPAN = (
    Column("first_trade_id", "string", "Id of the first fill"),
    Column("last_trade_id", "string", "Id of the last fill"),
)
