"""The best ten levels per second, rebuilt from snapshots and deltas in the order they were published.

`rebuild` is plain Python over one book's records; `silver_book` runs it in Spark per book.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.schemas import LEVELS, PRICE, QUANTITY
from crypto_pipeline.tables import TABLES
from shared.market.book_sync import BookSync, SpotRule, SyncState, UsdMarginedRule
from shared.market.events import BookDelta, Origin, PriceLevel, Source
from shared.market.instruments import Exchange, Market

LEVEL_COUNT = 10
BOOK_KEY = ["exchange", "market", "symbol", "channel"]
_SECOND_US = 1_000_000
# No collector lags so far behind another.
_REPLAYED_US = 3600 * _SECOND_US
_ORIGIN = Origin(Exchange.BINANCE, Market.SPOT, "-", "-", "depth", Source.REPLAY, "lake", 0)
_levels = msgspec.json.Decoder(list[PriceLevel])


class Record(NamedTuple):
    """One snapshot or delta of a book; times in µs."""

    is_snapshot: bool
    event_time: int
    first_update_id: int
    last_update_id: int
    previous_update_id: int | None
    bids: list[PriceLevel]
    asks: list[PriceLevel]


class Second(NamedTuple):
    """A book at the end of one second of event time, which starts at `second` (µs)."""

    second: int
    last_update_id: int
    event_time: int
    bids: list[PriceLevel]
    asks: list[PriceLevel]


def rebuild(records: Iterable[Record], market: str) -> Iterator[Second]:
    """Yield the state after the last applied record of each second.

    Until a snapshot comes, and after a gap until the next one, there is no book and so no row.
    Two collectors of the same book tell its snapshots and deltas each at its own pace: what is behind
    the book is passed over. Only one far behind (a recording played again) resets it.
    """
    sync = BookSync(SpotRule() if market == Market.SPOT else UsdMarginedRule())
    pending: Second | None = None
    latest = 0
    for record in records:
        if pending is not None and record.event_time // _SECOND_US * _SECOND_US != pending.second:
            yield pending
            pending = None
        if _is_behind(sync, record, latest) or not _applied(sync, record):
            continue
        latest = record.event_time
        pending = Second(
            record.event_time // _SECOND_US * _SECOND_US,
            sync.last_update_id,
            record.event_time,
            sync.book.best_bids(LEVEL_COUNT),
            sync.book.best_asks(LEVEL_COUNT),
        )
    if pending is not None:
        yield pending


def _is_behind(sync: BookSync, record: Record, latest: int) -> bool:
    """Say whether a snapshot is of a state that a live book has left, and not long ago."""
    return (
        record.is_snapshot
        and sync.state is SyncState.LIVE
        and record.last_update_id <= sync.last_update_id
        and latest - record.event_time < _REPLAYED_US
    )


def _applied(sync: BookSync, record: Record) -> bool:
    if record.is_snapshot:
        sync.start_from(record.last_update_id, record.bids, record.asks)
        return True
    if sync.state is SyncState.WAITING:
        return False
    delta = BookDelta(
        origin=_ORIGIN,
        received_ns=0,
        event_time=record.event_time,
        first_update_id=record.first_update_id,
        last_update_id=record.last_update_id,
        previous_update_id=record.previous_update_id,
        bids=record.bids,
        asks=record.asks,
    )
    gap = sync.apply(delta)
    return gap is None and sync.last_update_id == record.last_update_id


def first_offsets(new: DataFrame) -> DataFrame:
    """Return, per book with new rows, the first new offset and the first new event time."""
    return new.groupBy(*BOOK_KEY).agg(
        F.min("kafka_offset").alias("first_offset"),
        F.min("event_time").alias("first_time"),
    )


def with_history(new: DataFrame, recent: DataFrame) -> DataFrame:
    """Return the new rows and, before them, each book's rows from its last snapshot on.

    Adds `first_time`: seconds before it are known already.
    """
    starts = first_offsets(new)
    earlier = recent.join(F.broadcast(starts), BOOK_KEY).where(
        F.col("kafka_offset") < F.col("first_offset")
    )
    snapshot = (
        earlier.where(F.col("event_type") == "book_snapshot")
        .groupBy(*BOOK_KEY)
        .agg(F.max("kafka_offset").alias("snapshot_offset"))
    )
    history = earlier.join(F.broadcast(snapshot), BOOK_KEY).where(
        F.col("kafka_offset") >= F.col("snapshot_offset")
    )
    joined = new.join(F.broadcast(starts), BOOK_KEY)
    return history.drop("snapshot_offset").unionByName(joined).drop("first_offset")


def silver_book(rows: DataFrame) -> DataFrame:
    """Rebuild every book in `rows` (see `with_history`) into `silver_book`."""
    slim = rows.select(
        *BOOK_KEY,
        "kafka_offset",
        (F.col("event_type") == "book_snapshot").alias("is_snapshot"),
        F.unix_micros("event_time").alias("event_time"),
        F.unix_micros("first_time").alias("first_time"),
        "first_update_id",
        "last_update_id",
        "previous_update_id",
        _text("bids").alias("bids"),
        _text("asks").alias("asks"),
    )
    schema = (
        "exchange string, market string, symbol string, channel string, second bigint,"
        " last_update_id bigint, event_time bigint, bids string, asks string"
    )
    rebuilt = slim.groupBy(*BOOK_KEY).applyInPandas(_rebuild_group, schema)
    second = F.timestamp_micros("second")
    return rebuilt.select(
        "exchange",
        "market",
        "symbol",
        "channel",
        second.alias("second"),
        "last_update_id",
        F.timestamp_micros("event_time").alias("event_time"),
        _typed("bids").alias("bids"),
        _typed("asks").alias("asks"),
        F.col("event_time").alias("row_order"),
        F.date_format(second, "yyyy-MM-dd").alias("date"),
    ).select([column.name for column in TABLES["silver_book"].columns])


def _text(side: str) -> Column:
    """Levels as JSON text, which Python reads faster than Arrow's nested values."""
    pair = F.transform(
        F.col(side),
        lambda level: F.array(level["price"].cast("string"), level["quantity"].cast("string")),
    )
    return F.to_json(pair)


def _typed(side: str) -> Column:
    pairs = F.from_json(F.col(side), "array<array<string>>")
    level = F.transform(
        pairs,
        lambda pair: F.struct(
            pair[0].cast(PRICE).alias("price"), pair[1].cast(QUANTITY).alias("quantity")
        ),
    )
    return level.cast(LEVELS)


def _rebuild_group(group: pd.DataFrame) -> pd.DataFrame:
    ordered = group.sort_values("kafka_offset")
    key = ordered.iloc[0]
    first_time = int(key["first_time"])
    rows = [
        (
            *(key[name] for name in BOOK_KEY),
            second.second,
            second.last_update_id,
            second.event_time,
            msgspec.json.encode(second.bids).decode(),
            msgspec.json.encode(second.asks).decode(),
        )
        for second in rebuild(_records(ordered), key["market"])
        if second.second + _SECOND_US > first_time
    ]
    names = [*BOOK_KEY, "second", "last_update_id", "event_time", "bids", "asks"]
    return pd.DataFrame(rows, columns=names)


def _records(ordered: pd.DataFrame) -> Iterator[Record]:
    columns = (
        "is_snapshot",
        "event_time",
        "first_update_id",
        "last_update_id",
        "previous_update_id",
        "bids",
        "asks",
    )
    for row in ordered[list(columns)].itertuples(index=False):
        is_snapshot, event_time, first_id, last_id, previous_id, bids, asks = row
        yield Record(
            bool(is_snapshot),
            int(event_time),
            -1 if pd.isna(first_id) else int(first_id),
            int(last_id),
            None if pd.isna(previous_id) else int(previous_id),
            _levels.decode(bids),
            _levels.decode(asks),
        )
