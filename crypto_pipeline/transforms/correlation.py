"""Rolling Pearson correlation of one-minute log returns over pairs of instruments. Pure.

    correlation = cov(x, y) / (s_x s_y), over the minutes for which both have a return
    return = ln(close of the minute / close of the minute before)

A minute has a return only if it and the minute before have a candle, so that both returns of a pair are
of the same minute. Windows end at each full five minutes; the last may not be over yet. Instruments
differ in symbol, market or venue; each pair stands once, the lesser by (symbol, exchange, market) first.
"""

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.gold_tables import CORRELATION_WINDOWS
from crypto_pipeline.transforms.gold import KEY, finished, schema
from crypto_pipeline.transforms.series import INTERVAL_SECONDS, Flags

STEP_S = 300
MIN_RETURNS = 3
"""Two points always lie on a line."""
_MINUTE = 60
_TABLE = "gold_correlation"
_INSTRUMENT = ["symbol", "exchange", "market"]
_OTHER = ["other_symbol", "other_exchange", "other_market"]
_FIGURES = ["interval", "returns", "correlation"]


def correlation(candles: DataFrame, row_order: int) -> DataFrame:
    """Return `gold_correlation` of the pairs and windows that new candles reach.

    Args:
        candles: 1m candles of every instrument, see `series.marked`, from a day before the first new
            one on.
        row_order: greater than that of any row written before.
    """
    slim = candles.select(*KEY, "start", "is_new", F.col("close").cast("double").alias("close"))
    types = schema(_TABLE, [*_INSTRUMENT, *_OTHER, *_FIGURES], last="bigint")
    rows = slim.groupBy().applyInPandas(rolling, types)
    ends = {
        "window_end": F.timestamp_seconds(F.col("last") + STEP_S),
        "last_step": F.timestamp_seconds("last"),
    }
    return finished(rows.withColumns(ends), _TABLE, row_order, "last_step")


def rolling(candles: pd.DataFrame) -> pd.DataFrame:
    """Return a row per pair and window; `last` is the start of the window's last five minutes.

    Args:
        candles: exchange, market, symbol, start (s), is_new, close; of all instruments.
    """
    first, last = int(candles["start"].min()), int(candles["start"].max())
    grid = pd.RangeIndex(first, last + _MINUTE, _MINUTE)
    closes, marks = (
        candles.pivot_table(name, "start", _INSTRUMENT, aggfunc="first").reindex(grid)
        for name in ("close", "is_new")
    )
    returns = closes.astype("float64").apply(np.log).diff()
    new = marks.eq(other=True).to_numpy()
    touched = new | np.roll(new, 1, axis=0) & (np.arange(len(new)) > 0)[:, None]
    sums = np.concatenate((np.zeros((1, new.shape[1]), int), touched.cumsum(axis=0)))
    frames = [pd.DataFrame(columns=[*_INSTRUMENT, *_OTHER, *_FIGURES, "last"])]
    for end in range(first // STEP_S * STEP_S + STEP_S, last + STEP_S + 1, STEP_S):
        for name in CORRELATION_WINDOWS:
            low = max(0, (end - INTERVAL_SECONDS[name] - first + _MINUTE - 1) // _MINUTE)
            high = min(len(grid), (end - first + _MINUTE - 1) // _MINUTE)
            is_affected = sums[high] > sums[low]
            if is_affected.any():
                pairs = _pairs(returns.iloc[low:high], is_affected)
                frames.append(pairs.assign(interval=name, last=end - STEP_S))
    return pd.concat([frame for frame in frames if len(frame)] or frames)[frames[0].columns]


def _pairs(returns: pd.DataFrame, is_affected: Flags) -> pd.DataFrame:
    """Return the pairs with an affected side, as columns."""
    found = returns.corr(min_periods=MIN_RETURNS).to_numpy()
    valid = returns.notna().to_numpy().astype(np.int64)
    common = valid.T @ valid
    one, other = np.triu_indices(len(found), 1)
    wanted = (is_affected[one] | is_affected[other]) & ~np.isnan(found[one, other])
    one, other = one[wanted], other[wanted]
    names = returns.columns.to_frame(index=False)
    return pd.DataFrame(
        {
            **{name: names[name].to_numpy()[one] for name in _INSTRUMENT},
            **{f"other_{name}": names[name].to_numpy()[other] for name in _INSTRUMENT},
            "returns": common[one, other],
            "correlation": found[one, other],
        }
    )
