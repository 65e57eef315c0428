"""The fills that gold counts, out of all trades of silver. Pure.

A fill counts once: as `trade`, or through the aggregate trade that spans it, see `forms`. Futures fills
count only when the venue executed them in the book (`execution_type` MARKET) and with a quantity above 0,
as in the venue's own candles.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from crypto_pipeline.transforms.gold_rows import KEY
from crypto_pipeline.transforms.windows import windows_about

QUARTER_S = 900
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
        for number in windows_about("trade_time", QUARTER_S, NEAR_S)
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


def counted(told: DataFrame) -> DataFrame:
    """Return each fill once, of all `forms`."""
    return told.where("is_counted").select(_FILL)
