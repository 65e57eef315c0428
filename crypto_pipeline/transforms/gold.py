"""Silver to gold: candles from fills. Pure.

A fill counts once: as `trade`, or through the aggregate trade that spans it, see `forms`. Futures fills
count only when the venue executed them in the book (`execution_type` MARKET) and with a quantity above 0,
as in the venue's own candles. Windows are cut by trade time. The 1s candles come from fills, 1m candles
from those, and longer ones from 1m candles, which loses nothing: first, last, minimum, maximum and exact
sums compose.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from crypto_pipeline.schemas import NOTIONAL, VOLUME
from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import contracts

LONGER_INTERVALS = {"5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400}
KEY = ["exchange", "market", "symbol"]
_WINDOW_KEY = [*KEY, "interval", "window"]
MINUTE_S, QUARTER_S = 60, 900
# The reach of a new trade beyond its own time, in seconds, with much room: the forms of one fill lie within
# a tenth of one, and a correction moves a trade by less, `MOVED_S`, which also starts from forms that only share
# a span with a new one.
NEAR_S = 10
MOVED_S = NEAR_S // 2
FORM = [
    *KEY,
    "channel",
    "date",
    "trade_id",
    "trade_time",
    "price",
    "quantity",
    "contracts",
    "quote_quantity",
    "side",
    "execution_type",
    "first_trade_id",
    "last_trade_id",
    "is_new",
]
"""What `touched` and `forms` look at of silver_trades."""
_FILL = [
    *KEY,
    "trade_time",
    "trade_sequence",
    "price",
    "quantity",
    "quote_quantity",
    "side",
    "first_trade_id",
    "last_trade_id",
    "fill_count",
]


def window_start(time: Column, seconds: int | Column) -> Column:
    """Return the start of the window of that many seconds that a time falls in, UTC."""
    return F.timestamp_seconds(F.floor(F.unix_seconds(time) / seconds) * seconds)


def touched_minutes(trades: DataFrame, near_s: int = 0) -> DataFrame:
    """Return (exchange, market, symbol, minute) of every minute that these trades fall in.

    And of those that they would fall in `near_s` earlier or later: a correction may have moved them from there.
    """
    numbers = _windows_about("trade_time", MINUTE_S, near_s)
    starts = F.array(*(F.timestamp_seconds(number * MINUTE_S) for number in numbers))
    return trades.select(*KEY, F.explode(starts).alias("minute")).distinct()


@dataclass(frozen=True)
class Touched:
    """What new trades have a part in.

    `quarters` of an hour, counted since the epoch, are those that they fall in, or would within `NEAR_S`. All that they change
    lies there: an aggregate trade spans 100 ms on futures, and one taker order on spot. `has_both_forms`
    tells whether any instrument's trades came through both channels, so that forms must be told apart.
    """

    quarters: frozenset[int]
    has_both_forms: bool


def touched(trades: DataFrame) -> Touched:
    """Return what the new ones of these trades have a part in, in one pass over all of them."""
    early, late = (
        F.collect_set(F.when(F.col("is_new"), number))
        for number in _windows_about("trade_time", QUARTER_S, NEAR_S)
    )
    groups = trades.groupBy(*KEY, "channel").agg(early.alias("early"), late.alias("late")).collect()
    quarters = frozenset(number for group in groups for number in (*group["early"], *group["late"]))
    return Touched(quarters, _come_twice(groups))


def has_both_forms(trades: DataFrame) -> bool:
    """Tell whether any instrument's trades came through both channels, see `Touched`."""
    return _come_twice(trades.select(*KEY, "channel").distinct().collect())


def _come_twice(channels: Collection[Row]) -> bool:
    """Tell whether an instrument stands in more than one of these rows, one for each of its channels."""
    return len({tuple(row[name] for name in KEY) for row in channels}) < len(channels)


def about_quarters(trades: DataFrame, quarters: Collection[int]) -> DataFrame:
    """Return the trades in these quarters, and within `NEAR_S` about them, which may share a span."""
    starts = sorted(number for number in quarters if number - 1 not in quarters)
    ends = sorted(number + 1 for number in quarters if number + 1 not in quarters)
    time = F.col("trade_time")
    ranges = (
        (time >= _moment(start * QUARTER_S - NEAR_S)) & (time < _moment(end * QUARTER_S + NEAR_S))
        for start, end in zip(starts, ends, strict=True)
    )
    return trades.where(reduce(or_, ranges, F.lit(False)))


def _windows_about(time: str, window_s: int, near_s: int) -> list[Column]:
    """Return the number of the window that so many seconds before a time lie in, and after it."""
    return [
        F.floor((F.unix_seconds(time) + shift) / window_s) for shift in sorted({-near_s, near_s})
    ]


def _moment(second: int) -> Column:
    return F.lit(datetime.fromtimestamp(second, UTC))


def forms(trades: DataFrame, has_both: bool = True) -> DataFrame:
    """Return what gold uses of all trades, and which of a fill's forms is counted.

    An aggregate gives way to the single trades with an id in its span if these are all of it; else
    they give way to it. So a socket that was lost within a span costs no fill and counts none twice.
    They are all of it when their quantities, as the venue tells them, add up to its own. Their number
    cannot tell: ids within a span may be no fills of the book (insurance fund, ADL), or fills of a type
    that is not counted singly although the aggregate holds them (RPI). Spans of one instrument do not
    overlap.

    A UTC day is judged by itself, as partitions are what is read: of a futures aggregate that runs over
    midnight (it gathers 100 ms), single trades on the other side of midnight count beside it.

    Adds `fill_count` (of an aggregate: the ids it spans) and `is_counted`. `trade_sequence` becomes the
    first fill's id, so that both forms stand in one order, and `is_new` is true of all forms of what a
    new row has a part in: it may change which of them counts.

    Args:
        trades: rows of `silver_trades`, both channels, with `is_new`; whole `about_quarters` of the new.
        has_both: see `Touched`; one form alone is neither ordered nor judged.
    """
    is_aggregate = F.col("channel") == "aggTrade"
    is_book_trade = (
        ~is_aggregate
        & F.coalesce(F.col("execution_type") == "MARKET", F.lit(True))
        & (F.col("quantity") > 0)
    )
    first_id, last_id = (
        F.col("first_trade_id").cast("bigint"),
        F.col("last_trade_id").cast("bigint"),
    )
    rows = trades.withColumns(
        {
            "is_aggregate": is_aggregate,
            "is_book_trade": is_book_trade,
            "first_trade_id": F.when(is_aggregate, F.col("first_trade_id")).otherwise(
                F.col("trade_id")
            ),
            "last_trade_id": F.when(is_aggregate, F.col("last_trade_id")).otherwise(
                F.col("trade_id")
            ),
        }
    ).withColumns({"trade_sequence": first_id, "fill_count": last_id - first_id + 1})
    if not has_both:
        is_counted = F.col("is_aggregate") | F.col("is_book_trade")
        return rows.select(*_FILL, "is_new", is_counted.alias("is_counted"))
    return _judged(rows)


def _judged(rows: DataFrame) -> DataFrame:
    """Tell which of a fill's forms is counted, see `forms`."""
    last_id = F.col("last_trade_id").cast("bigint")
    day = [*KEY, "date"]
    before = (
        Window.partitionBy(*day)
        .orderBy("trade_sequence", F.desc("is_aggregate"))
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    span = F.struct("trade_sequence", last_id.alias("last_id"))
    nearest = F.last(F.when(F.col("is_aggregate"), span), ignorenulls=True).over(before)
    start = F.when(
        F.col("trade_sequence") <= F.col("nearest.last_id"), F.col("nearest.trade_sequence")
    ).otherwise(F.col("trade_sequence"))
    together = Window.partitionBy(*day, "start")
    quantity = F.coalesce("contracts", "quantity")
    held = F.sum(F.when(F.col("is_book_trade"), quantity)).over(together)
    told = F.max(F.when(F.col("is_aggregate"), quantity)).over(together)
    judged = (
        rows.withColumn("nearest", nearest)
        .withColumn("start", start)
        .withColumns(
            {
                "is_alone": told.isNull(),
                "is_covered": F.coalesce(held == told, F.lit(False)),
                "is_new": F.max("is_new").over(together),
            }
        )
    )
    is_counted = F.when(F.col("is_aggregate"), ~F.col("is_covered")).otherwise(
        F.col("is_book_trade") & (F.col("is_alone") | F.col("is_covered"))
    )
    return judged.select(*_FILL, "is_new", is_counted.alias("is_counted"))


def fills(told: DataFrame) -> DataFrame:
    """Return each fill once, of all `forms`."""
    return told.where("is_counted").select(_FILL)


def with_windows(rows: DataFrame, time: str, intervals: dict[str, int]) -> DataFrame:
    """Repeat each row once per interval, with `interval` and the `window_start` that `time` falls in.

    All intervals then group in one pass; a plan per interval took ten times as long to plan and run.
    """
    pairs = F.array(
        *(
            F.struct(F.lit(name).alias("interval"), F.lit(seconds).alias("seconds"))
            for name, seconds in intervals.items()
        )
    )
    repeated = rows.withColumn("pair", F.explode(pairs))
    start = window_start(F.col(time), F.col("pair.seconds"))
    return repeated.withColumns({"interval": F.col("pair.interval"), "window": start}).drop("pair")


def finished(rows: DataFrame, table: str, row_order: int, time: str = "window_start") -> DataFrame:
    """Return rows in the columns of a table, with their order, dated by the column `time`."""
    return (
        rows.drop("date", "row_order")
        .withColumn("row_order", F.lit(row_order).cast("bigint"))
        .withColumn("date", F.date_format(time, "yyyy-MM-dd"))
        .select([column.name for column in TABLES[table].columns])
    )


def schema(table: str, names: Iterable[str], **more: str) -> str:
    """Return Spark's text for columns of a table, and for others by name and type."""
    types = {column.name: column.type for column in TABLES[table].columns} | more
    return ", ".join(f"`{name}` {types[name]}" for name in (*names, *more))


def only_changed(rows: DataFrame, known: DataFrame | None, table: str) -> DataFrame:
    """Return the rows that do not stand in `known` as they are, the order apart."""
    if known is None:
        return rows
    names = (column.name for column in TABLES[table].columns if column.name != "row_order")
    is_same = reduce(and_, (F.col(f"n.{name}").eqNullSafe(F.col(f"k.{name}")) for name in names))
    return rows.alias("n").join(known.alias("k"), is_same, "left_anti")


def seconds_of_fills(counted: DataFrame, minutes: DataFrame) -> DataFrame:
    """Return the 1s candles of some minutes; `window` is their start, `base` of contracts their exact volume.

    Args:
        counted: all fills in these minutes, see `fills`; more do no harm.
        minutes: see `touched_minutes`.
    """
    touched = counted.withColumn("minute", window_start(F.col("trade_time"), MINUTE_S)).join(
        F.broadcast(minutes), [*KEY, "minute"], "left_semi"
    )
    order = F.struct("trade_time", "trade_sequence")
    bought = F.col("side") == "buy"
    zero = F.lit(0)
    windows = with_windows(touched, "trade_time", {"1s": 1})
    return windows.groupBy(*_WINDOW_KEY).agg(
        F.min_by("price", order).alias("open"),
        F.max("price").alias("high"),
        F.min("price").alias("low"),
        F.max_by("price", order).alias("close"),
        F.sum("quantity").cast(VOLUME).alias("volume"),
        F.sum("quote_quantity").cast(NOTIONAL).alias("quote_volume"),
        F.sum(contracts.exact_base()).cast(NOTIONAL).alias("base"),
        F.sum("fill_count").alias("trade_count"),
        F.sum(F.when(bought, F.col("quantity")).otherwise(zero))
        .cast(VOLUME)
        .alias("taker_buy_volume"),
        F.sum(F.when(bought, F.col("quote_quantity")).otherwise(zero))
        .cast(NOTIONAL)
        .alias("taker_buy_quote_volume"),
        F.min_by("first_trade_id", order).alias("first_trade_id"),
        F.max_by("last_trade_id", order).alias("last_trade_id"),
        F.min("trade_time").alias("first_trade_time"),
        F.max("trade_time").alias("last_trade_time"),
    )


def composed(candles: DataFrame, intervals: dict[str, int]) -> DataFrame:
    """Return the candles of longer intervals from shorter ones; `window` is the start of either."""
    parts = candles.drop("interval").withColumnRenamed("window", "part")
    sums = {
        "volume": VOLUME,
        "quote_volume": NOTIONAL,
        "base": NOTIONAL,
        "trade_count": "bigint",
        "taker_buy_volume": VOLUME,
        "taker_buy_quote_volume": NOTIONAL,
    }
    return (
        with_windows(parts, "part", intervals)
        .groupBy(*_WINDOW_KEY)
        .agg(
            F.min_by("open", "part").alias("open"),
            F.max("high").alias("high"),
            F.min("low").alias("low"),
            F.max_by("close", "part").alias("close"),
            *(F.sum(name).cast(kind).alias(name) for name, kind in sums.items()),
            F.min_by("first_trade_id", "part").alias("first_trade_id"),
            F.max_by("last_trade_id", "part").alias("last_trade_id"),
            F.min("first_trade_time").alias("first_trade_time"),
            F.max("last_trade_time").alias("last_trade_time"),
        )
    )


def ohlcv(
    seconds: DataFrame, minutes: DataFrame, known: DataFrame | None, row_order: int
) -> DataFrame:
    """Return every candle that the touched minutes change, in the columns of `gold_ohlcv`.

    Args:
        seconds: those of the touched minutes, see `seconds_of_fills`.
        minutes: see `touched_minutes`.
        known: rows of `gold_ohlcv` of the touched symbols and days, None while there are none.
        row_order: greater than that of any row written before.
    """
    new_minutes = _with_vwap(composed(seconds, {"1m": MINUTE_S}))
    all_minutes = new_minutes
    if known is not None:
        others = (
            known.where(F.col("interval") == "1m")
            .withColumnRenamed("window_start", "window")
            .join(
                F.broadcast(minutes.withColumnRenamed("minute", "window")),
                [*KEY, "window"],
                "left_anti",
            )
        )
        all_minutes = all_minutes.unionByName(others.drop("row_order", "date"))
    windows = with_windows(minutes, "minute", LONGER_INTERVALS).select(*_WINDOW_KEY).distinct()
    # By what their rows tell, new ones too: a later tick must come to the same.
    told = all_minutes.withColumn("base", contracts.base_of_candle())
    longer = _with_vwap(composed(told, LONGER_INTERVALS)).join(
        F.broadcast(windows), _WINDOW_KEY, "left_semi"
    )
    candles = (
        _with_vwap(seconds)
        .unionByName(new_minutes)
        .unionByName(longer)
        .withColumnRenamed("window", "window_start")
    )
    return finished(candles, "gold_ohlcv", row_order)


def _with_vwap(candles: DataFrame) -> DataFrame:
    base = F.coalesce("base", "volume").cast("double")
    return candles.withColumn("vwap", F.col("quote_volume").cast("double") / base).drop("base")
