"""Windows whose volume stands out of the instrument's own last day. Pure.

    z_score = (volume - mean) / deviation

Mean and sample standard deviation (n - 1) are of the base volumes of the windows of the same length that
start within the 24 hours before; a window without trades has no candle and is not among them. At least
20 are needed, and not all alike. A spike has a z-score above 2. A window that is not over yet is judged by
what it has.
"""

import math

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.schemas import VOLUME
from crypto_pipeline.transforms.gold_rows import KEY, finished, schema
from crypto_pipeline.transforms.series import INTERVAL_SECONDS, by_group, is_touched

THRESHOLD = 2.0
HISTORY_S = INTERVAL_SECONDS["24h"]
MIN_HISTORY = 20
_TABLE = "gold_volume_spikes"
_FIGURES = ["z_score", "mean_volume", "deviation", "history", "is_spike"]


def volume_spikes(candles: DataFrame, known: DataFrame | None, row_order: int) -> DataFrame:
    """Return `gold_volume_spikes` among the windows that new candles reach.

    A window that was written as a spike and is none any more comes again, with `is_spike` false.

    Args:
        candles: see `series.candles`, from a day before the first new one on.
        known: rows of the table that may be judged anew, None while there are none.
        row_order: greater than that of any row written before.
    """
    group = [*KEY, "interval"]
    slim = candles.select(*group, "start", "is_new", F.col("volume").cast("string").alias("text"))
    types = schema(_TABLE, [*group, *_FIGURES], start="bigint", text="string")
    judged = by_group(slim, group, "start", judge, types).withColumns(
        {"window_start": F.timestamp_seconds("start"), "volume": F.col("text").cast(VOLUME)}
    )
    if known is None:
        kept = judged.where("is_spike")
    else:
        key = [*group, "window_start"]
        told = known.select(*key).withColumn("was_told", F.lit(True))
        kept = judged.join(F.broadcast(told), key, "left").where("is_spike or was_told")
    return finished(kept, _TABLE, row_order)


def judge(candles: pd.DataFrame) -> pd.DataFrame:
    """Return the touched windows of one instrument and length that have a history to be judged by.

    Args:
        candles: start (s), is_new, text (of the exact volume); by rising start.
    """
    start = candles["start"].to_numpy()
    volume = candles["text"].astype("float64").to_numpy()
    rows = []
    for at in np.flatnonzero(is_touched(start, candles["is_new"].to_numpy(), HISTORY_S)):
        history = volume[int(np.searchsorted(start, start[at] - HISTORY_S)) : at]
        if len(history) < MIN_HISTORY:
            continue
        mean, deviation = float(history.mean()), float(history.std(ddof=1))
        score = (float(volume[at]) - mean) / deviation if deviation > 0 else math.nan
        figures = (score, mean, deviation, len(history), score > THRESHOLD)
        rows.append((*figures, int(start[at]), candles["text"][at]))
    return pd.DataFrame(rows, columns=[*_FIGURES, "start", "text"])
