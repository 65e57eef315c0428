"""Technical indicators of 1m, 5m and 1h candles, by TA-Lib. Pure.

Each row is computed on its own candle and those that start within `WARM_UP` intervals before it, across
day borders: at most 501 candles, the weight of whatever stood before being below 10^-16. Where fewer are
known, TA-Lib starts with those there are, and `candles` says how many. Windows without trades have no
candle and are passed over. A value is null until TA-Lib has enough candles for it.

    sma_20, ema_20            simple and exponential mean of closes
    rsi_14                    Wilder's relative strength index, 0 to 100
    macd, _signal, _histogram ema_12 - ema_26; its ema_9; their difference
    bollinger_*               sma_20 and two population standard deviations about it
    atr_14                    Wilder's mean of the true range
"""

import numpy as np
import pandas as pd
import talib
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.schemas import PRICE
from crypto_pipeline.transforms.gold_rows import KEY, finished, schema
from crypto_pipeline.transforms.series import (
    INTERVAL_SECONDS,
    Values,
    by_group,
    is_touched,
)

WARM_UP = 500
"""Intervals before a candle whose candles its indicators are computed from."""
INTERVALS = ("1m", "5m", "1h")
REACH_DAYS = {name: -(-WARM_UP * INTERVAL_SECONDS[name] // 86_400) for name in INTERVALS}
"""Days before and after a candle that its warm-up, or its effect, may reach into."""
_TABLE = "gold_indicators"
_PRICES = ["high", "low", "close"]
_FIGURES = [
    "candles",
    "sma_20",
    "ema_20",
    "rsi_14",
    "macd",
    "macd_signal",
    "macd_histogram",
    "bollinger_upper",
    "bollinger_lower",
    "atr_14",
]


def indicators(new: DataFrame, known: DataFrame | None, row_order: int) -> DataFrame:
    """Return `gold_indicators` of the candles that new ones reach.

    Args:
        new: candles, rows of `gold_ohlcv` or of `series.candles`.
        known: the table's own rows around them, which hold the candles of before; None while none.
        row_order: greater than that of any row written before.
    """
    group = [*KEY, "interval"]
    key = [*group, "window_start"]
    candles = (
        new.where(F.col("interval").isin(list(INTERVALS)))
        .select(*key, *_PRICES)
        .withColumn("is_new", F.lit(True))
    )
    if known is not None:
        before = known.join(F.broadcast(candles.select(*key)), key, "left_anti")
        reach = F.lit(False)
        candles = candles.unionByName(before.select(*key, *_PRICES).withColumn("is_new", reach))
    text = [F.col(name).cast("string").alias(name) for name in _PRICES]
    slim = candles.select(*group, F.unix_seconds("window_start").alias("start"), "is_new", *text)
    types = schema(
        _TABLE, [*group, *_FIGURES], start="bigint", high="string", low="string", close="string"
    )
    rows = by_group(slim, group, "start", compute, types).withColumns(
        {
            "window_start": F.timestamp_seconds("start"),
            **{name: F.col(name).cast(PRICE) for name in _PRICES},
        }
    )
    return finished(rows, _TABLE, row_order)


def compute(candles: pd.DataFrame) -> pd.DataFrame:
    """Return the indicators of the touched candles of one instrument and interval.

    Args:
        candles: interval, start (s), is_new, high, low, close (text); by rising start.
    """
    reach = WARM_UP * INTERVAL_SECONDS[candles["interval"][0]]
    start = candles["start"].to_numpy()
    high, low, close = (candles[name].astype("float64").to_numpy() for name in _PRICES)
    rows = []
    for at in np.flatnonzero(is_touched(start, candles["is_new"].to_numpy(), reach)):
        part = slice(int(np.searchsorted(start, start[at] - reach)), int(at) + 1)
        figures = last_values(high[part], low[part], close[part])
        prices = (candles[name][at] for name in _PRICES)
        rows.append((len(close[part]), *figures, int(start[at]), *prices))
    return pd.DataFrame(rows, columns=[*_FIGURES, "start", *_PRICES])


def last_values(high: Values, low: Values, close: Values) -> list[float | None]:
    """Return the indicators of the last of these candles, null where they are too few.

    TA-Lib takes a variance as the difference of two great sums; about the last close they are small.
    """
    shift = close[-1]
    upper, middle, lower = talib.BBANDS(close - shift, 20, 2.0, 2.0)
    values = (
        middle[-1] + shift,
        talib.EMA(close, 20)[-1],
        talib.RSI(close, 14)[-1],
        *(line[-1] for line in talib.MACD(close, 12, 26, 9)),
        upper[-1] + shift,
        lower[-1] + shift,
        talib.ATR(high, low, close, 14)[-1],
    )
    return [None if np.isnan(value) else float(value) for value in values]
