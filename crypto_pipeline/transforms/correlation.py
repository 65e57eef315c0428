"""Rolling Pearson correlation of one-minute log returns over pairs of instruments. Pure.

    correlation = cov(x, y) / (s_x s_y), over the minutes for which both have a return
    return = ln(close of the minute / close of the minute before)

A minute has a return only if it and the minute before have a candle, so that both returns of a pair are
of the same minute. Windows end at each full five minutes; the last may not be over yet. Instruments
differ in symbol, market or venue; each pair stands once, the lesser by (symbol, exchange, market) first.
Means are taken off before products are summed, so that few and like returns lose no digits.
"""

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.gold_tables import CORRELATION_WINDOWS
from crypto_pipeline.transforms.gold_rows import KEY, finished, schema
from crypto_pipeline.transforms.series import INTERVAL_SECONDS, Flags, Values, units

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
        candles: of every instrument, see `series.candles`, from a day before the first new one on; those
            of 1m are used.
        row_order: greater than that of any row written before.
    """
    minutes = candles.where(F.col("interval") == "1m")
    slim = minutes.select(*KEY, "start", "is_new", units("close").alias("close"))
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
        candles: exchange, market, symbol, start (s), is_new, close (in any unit); of all instruments.
    """
    first, last = int(candles["start"].min()), int(candles["start"].max())
    grid = pd.RangeIndex(first, last + _MINUTE, _MINUTE)
    closes, marks = (
        candles.pivot_table(name, "start", _INSTRUMENT, aggfunc="first").reindex(grid)
        for name in ("close", "is_new")
    )
    prices = closes.astype("float64")
    returns = (prices.diff() / prices.shift()).apply(np.log1p)
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
    values = returns.to_numpy()
    parts = [_with_those_after(values, one) for one in range(len(is_affected))]
    common, found = (np.concatenate(side) for side in zip(*parts, strict=True))
    one, other = np.triu_indices(len(is_affected), 1)
    wanted = (is_affected[one] | is_affected[other]) & ~np.isnan(found)
    one, other = one[wanted], other[wanted]
    names = returns.columns.to_frame(index=False)
    return pd.DataFrame(
        {
            **{name: names[name].to_numpy()[one] for name in _INSTRUMENT},
            **{f"other_{name}": names[name].to_numpy()[other] for name in _INSTRUMENT},
            "returns": common[wanted],
            "correlation": found[wanted],
        }
    )


def _with_those_after(values: Values, one: int) -> tuple[Values, Values]:
    """Return the common returns of a column and each one after it, and their correlations."""
    both = ~np.isnan(values[:, [one]]) & ~np.isnan(values[:, one + 1 :])
    common = both.sum(axis=0)

    def centred(side: Values) -> Values:
        mean = _total(np.where(both, side, 0)) / np.maximum(common, 1)
        return np.where(both, side - mean, 0)

    x, y = centred(values[:, [one]]), centred(values[:, one + 1 :])
    scale = np.sqrt(_total(x * x) * _total(y * y))
    is_told = (common >= MIN_RETURNS) & (scale > 0)
    found = np.where(is_told, _total(x * y) / np.where(is_told, scale, 1), np.nan)
    return common, np.clip(found, -1, 1)


def _total(values: Values) -> Values:
    """Sum columns in their order, so that minutes in which others traded do not change the last bit."""
    total: Values = np.cumsum(values, axis=0)[-1]
    return total
