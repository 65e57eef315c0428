"""Candles as arrays: what the rolling figures share. Times are integer seconds since the epoch.

A rolling figure of a candle is a function of the candles within a fixed reach of time before it, and of
nothing else. So a late candle changes the figures within that reach after it and no others, and a row
comes out the same to the last bit whenever it is computed.
"""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.transforms.gold import KEY

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

INTERVAL_SECONDS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "24h": 86_400}
_CANDLE_KEY = [*KEY, "interval", "window_start"]


def is_touched(start: Times, is_new: Flags, reach: int) -> Flags:
    """Tell for each candle whether a new one starts within `reach` seconds before it, or is it."""
    new = start[is_new]
    touched: Flags = np.searchsorted(new, start, "right") > np.searchsorted(
        new, start - reach, "left"
    )
    return touched


def marked(candles: DataFrame, new: DataFrame, intervals: Iterable[str]) -> DataFrame:
    """Return candles of these intervals with `start` (s) and `is_new`, true where `new` has the row."""
    rows = candles.where(F.col("interval").isin(list(intervals)))
    marks = new.select(*_CANDLE_KEY).withColumn("mark", F.lit(True))
    return (
        rows.join(F.broadcast(marks), _CANDLE_KEY, "left")
        .withColumn("is_new", F.coalesce("mark", F.lit(False)))
        .withColumn("start", F.unix_seconds("window_start"))
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
