"""Rolling volatility from one-minute candles. Pure.

A window of W minutes that ends with minute t holds the closes from t - W to t, so W returns when every
minute traded. A return runs from one candle to the next; over a minute without trades the price stands
still, so nothing is lost, and a gap counts as the one move that it was.

    realized     = sqrt(sum(ln(close_n / close_n-1)^2))
    parkinson    = sqrt(sum(ln(high_n / low_n)^2) / (4 ln 2))
    garman_klass = sqrt(sum(ln(high_n / low_n)^2 / 2 - (2 ln 2 - 1) ln(close_n / open_n)^2))

The range estimators take the candles after t - W. An annualised figure is the raw one times
sqrt(525,600 / observed minutes): trading never pauses, and the observed minutes are those from the
window's first close (for the ranges: its first candle's start) to its end. All are ratios; 0.01 is 1 %.
"""

import math

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.gold_tables import VOLATILITY_WINDOWS
from crypto_pipeline.transforms.gold_rows import KEY, finished, schema
from crypto_pipeline.transforms.series import (
    INTERVAL_SECONDS,
    by_group,
    is_touched,
    log_change,
    units,
)

MINUTES_PER_YEAR = 365 * 24 * 60
_TABLE = "gold_volatility"
_FIGURES = [
    "interval",
    "returns",
    "candles",
    "realized",
    "realized_annualised",
    "parkinson",
    "parkinson_annualised",
    "garman_klass",
    "garman_klass_annualised",
]


def volatility(candles: DataFrame, row_order: int) -> DataFrame:
    """Return `gold_volatility` of the minutes that new candles reach.

    Args:
        candles: see `series.candles`, from a day before the first new one on; those of 1m are used.
        row_order: greater than that of any row written before.
    """
    prices = [units(name).alias(name) for name in ("open", "high", "low", "close")]
    minutes = candles.where(F.col("interval") == "1m")
    slim = minutes.select(*KEY, "start", "is_new", *prices)
    types = schema(_TABLE, [*KEY, *_FIGURES], start="bigint")
    rows = by_group(slim, KEY, "start", rolling, types)
    timed = rows.withColumn("minute", F.timestamp_seconds("start"))
    return finished(timed, _TABLE, row_order, "minute")


def rolling(candles: pd.DataFrame) -> pd.DataFrame:
    """Return the figures of one instrument, a row per touched minute and window.

    Args:
        candles: start (s), is_new, open, high, low, close (in any unit); by rising start.
    """
    start = candles["start"].to_numpy()
    opened, high, low, closed = (
        candles[name].to_numpy() for name in ("open", "high", "low", "close")
    )
    squares = np.concatenate(([0.0], log_change(closed[:-1], closed[1:]) ** 2))
    ranges = log_change(low, high) ** 2
    klass = ranges / 2 - (2 * math.log(2) - 1) * log_change(opened, closed) ** 2
    rows = []
    for name in VOLATILITY_WINDOWS:
        span = INTERVAL_SECONDS[name]
        touched = is_touched(start, candles["is_new"].to_numpy(), span)
        for last in np.flatnonzero(touched):
            at, end = int(start[last]), int(last) + 1
            first = int(np.searchsorted(start, at - span))
            inner = first + (start[first] == at - span)
            of_returns = _per_year((at - int(start[first])) // 60)
            of_ranges = _per_year((at - int(start[inner])) // 60 + 1)
            figures = (
                _root(squares[first + 1 : end].sum() if end > first + 1 else math.nan, of_returns),
                _root(ranges[inner:end].sum() / (4 * math.log(2)), of_ranges),
                _root(klass[inner:end].sum(), of_ranges),
            )
            raw_and_annual = (figure for pair in figures for figure in pair)
            rows.append((name, end - first - 1, end - inner, *raw_and_annual, at))
    return pd.DataFrame(rows, columns=[*_FIGURES, "start"])


def _per_year(minutes: int) -> float:
    return math.sqrt(MINUTES_PER_YEAR / minutes) if minutes else math.nan


def _root(variance: float, per_year: float) -> tuple[float | None, float | None]:
    raw = math.sqrt(variance)
    return (None, None) if math.isnan(raw) else (raw, raw * per_year)
