"""Windows of time, UTC: which a row falls in, and which minutes new rows touch. Pure."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.transforms.gold_rows import KEY

MINUTE_S = 60
WINDOW_KEY = [*KEY, "interval", "window_start"]


def window_start(time: Column, seconds: int | Column) -> Column:
    """Return the start of the window of that many seconds that a time falls in, UTC."""
    return F.timestamp_seconds(F.floor(F.unix_seconds(time) / seconds) * seconds)


def with_windows(
    rows: DataFrame, time: str, intervals: dict[str, int], kept: Sequence[str]
) -> DataFrame:
    """Repeat each row once per interval, with `interval` and the `window_start` that `time` falls in, and what is kept.

    All intervals then group in one pass; a plan per interval took ten times as long to plan and run.
    """
    pairs = F.array(
        *(
            F.struct(F.lit(name).alias("interval"), F.lit(seconds).alias("seconds"))
            for name, seconds in intervals.items()
        )
    )
    repeated = rows.select(*kept, F.col(time).alias("moment"), F.explode(pairs).alias("pair"))
    start = window_start(F.col("moment"), F.col("pair.seconds"))
    return repeated.select(*kept, "pair.interval", start.alias("window_start"))


def touched_minutes(trades: DataFrame, near_s: int = 0) -> DataFrame:
    """Return (exchange, market, symbol, minute) of every minute that these trades fall in.

    And of those that they would fall in `near_s` earlier or later: a correction may have moved them from there.
    """
    numbers = windows_about("trade_time", MINUTE_S, near_s)
    starts = F.array(*(F.timestamp_seconds(number * MINUTE_S) for number in numbers))
    return trades.select(*KEY, F.explode(starts).alias("minute")).distinct()


def windows_about(time: str, window_s: int, near_s: int) -> list[Column]:
    """Return the number of the window that so many seconds before a time lie in, and after it."""
    return [
        F.floor((F.unix_seconds(time) + shift) / window_s) for shift in sorted({-near_s, near_s})
    ]
