"""Candles as arrays: what the rolling figures share. Times are integer seconds since the epoch.

A rolling figure of a candle is a function of the candles within a fixed reach of time before it, and of
nothing else. So a late candle changes the figures within that reach after it and no others, and a row
comes out the same to the last bit whenever it is computed.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.transforms.gold_rows import KEY

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

INTERVAL_SECONDS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "24h": 86_400}
INTERVALS = ("1m", "5m", "15m", "1h")
"""Of the candles that rolling figures are made from."""


def is_touched(start: Times, is_new: Flags, reach: int) -> Flags:
    """Tell for each candle whether a new one starts within `reach` seconds before it, or is it."""
    new = start[is_new]
    touched: Flags = np.searchsorted(new, start, "right") > np.searchsorted(
        new, start - reach, "left"
    )
    return touched


def log_change(before: Values | Times, after: Values | Times) -> Values:
    """Return ln(after / before), right to the last digits where a price moved by a single tick.

    The quotient of such prices has no more digits than double precision, and its logarithm few of them.
    """
    change: Values = np.log1p((after - before) / before)
    return change


def units(price: str) -> Column:
    """Return a price as a whole number of its last digit, so that differences are exact."""
    return (F.col(price) * F.lit(10**8)).cast("bigint")


def candles(rows: DataFrame) -> DataFrame:
    """Return the candles of 1m to 1h among rows of `gold_ohlcv` with `is_new`, and their `start` (s)."""
    return rows.where(F.col("interval").isin(list(INTERVALS))).select(
        *KEY,
        "interval",
        "window_start",
        F.unix_seconds("window_start").alias("start"),
        "open",
        "high",
        "low",
        "close",
        "volume",
        "date",
        "is_new",
    )


def by_group(
    rows: DataFrame,
    group: list[str],
    order: str,
    compute: Callable[[pd.DataFrame], pd.DataFrame],
    schema: str,
) -> DataFrame:
    """Return what `compute` makes of each group's rows, sorted by `order`; the group's columns first."""

    def run(part: pd.DataFrame) -> pd.DataFrame:
        found = compute(part.sort_values(order, ignore_index=True))
        for position, name in enumerate(group):
            found.insert(position, name, part[name].iloc[0])
        return found

    return rows.groupBy(*group).applyInPandas(run, schema)
