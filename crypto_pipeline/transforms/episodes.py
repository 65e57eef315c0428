"""Episodes in which a book's spread was more than twice its usual. Pure.

    usual(s) = median of spread_bps over the observed seconds in [s - 600, s), 60 of them at least
    widened(s) = spread_bps(s) > 2 * usual(s)

An episode is a run of widened seconds. It ends with the first observed second that is not widened, and
with a hole of more than 60 s, in which nobody knows. Within ten minutes a lasting spread becomes the
usual one, so episodes are short: one is looked for no further than an hour away.
"""

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.gold_tables import EpisodeState
from crypto_pipeline.transforms.gold_rows import KEY, finished, schema

USUAL_S = 600
MIN_OBSERVED = 60
FACTOR = 2.0
HOLE_S = 60
_LONGEST_S = 3600
_TABLE = "gold_spread_episodes"
_BOOK_KEY = [*KEY, "channel"]
_FIGURES = ["seconds", "usual_spread_bps", "peak_spread_bps", "peak_ratio", "state"]
_TIMES = ["start", "end", "peak"]
_COLUMNS = [*_BOOK_KEY, *_FIGURES, *_TIMES]


def spread_episodes(
    new: DataFrame, metrics: DataFrame, known: DataFrame | None, row_order: int
) -> DataFrame:
    """Return the rows of `gold_spread_episodes` that new seconds change.

    An episode that later facts merged into another or ended before it began comes as withdrawn.

    Args:
        new: rows of `gold_book_metrics`.
        metrics: the rows around them, from a day before to a day after.
        known: the episodes around them, None while there are none.
        row_order: greater than that of any row written before.
    """
    second = F.unix_seconds("window_start")
    reach = new.groupBy(*_BOOK_KEY).agg(
        F.min(second).alias("first_new"), F.max(second).alias("last_new")
    )
    near = second.between(
        F.col("first_new") - (HOLE_S + _LONGEST_S + USUAL_S),
        F.col("last_new") + (USUAL_S + _LONGEST_S),
    )
    seconds = (
        metrics.join(F.broadcast(reach), _BOOK_KEY)
        .where(near)
        .select(*_BOOK_KEY, second.alias("start"), "spread_bps", "first_new", "last_new")
    )
    types = schema(_TABLE, [*_BOOK_KEY, *_FIGURES], start="bigint", end="bigint", peak="bigint")
    by_book = seconds.groupBy(*_BOOK_KEY)
    if known is None:
        rows = by_book.applyInPandas(_first_time, types)
    else:
        told = known.select(
            *_BOOK_KEY,
            *_FIGURES,
            F.unix_seconds("window_start").alias("start"),
            F.unix_seconds("window_end").alias("end"),
            F.unix_seconds("peak_time").alias("peak"),
        )
        rows = by_book.cogroup(told.groupBy(*_BOOK_KEY)).applyInPandas(changes, types)
    times = {
        "window_start": F.timestamp_seconds("start"),
        "window_end": F.timestamp_seconds("end"),
        "peak_time": F.timestamp_seconds("peak"),
    }
    return finished(rows.withColumns(times), _TABLE, row_order)


def changes(seconds: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return one book's episodes near its new seconds that are not known as they are.

    Args:
        seconds: start (s), spread_bps, first_new and last_new (the same in each row).
        known: the book's episodes, as they were written.
    """
    if seconds.empty:
        return known.head(0)[_COLUMNS]
    book = {name: seconds[name].iloc[0] for name in _BOOK_KEY}
    first, last = int(seconds["first_new"].iloc[0]), int(seconds["last_new"].iloc[0])
    found = episodes(seconds.sort_values("start", ignore_index=True))
    found = _between(found, first, last).assign(**book)[_COLUMNS]
    told = set(known[_COLUMNS].itertuples(index=False, name=None))
    is_told = [row in told for row in found.itertuples(index=False, name=None)]
    near = _between(known, first, last)
    is_gone = ~near["start"].isin(found["start"]) & (near["state"] != EpisodeState.WITHDRAWN)
    is_over = (known["state"] == EpisodeState.OPEN) & (known["end"] < first - HOLE_S)
    parts = (
        found[~np.array(is_told, dtype=bool)],
        near[is_gone].assign(state=EpisodeState.WITHDRAWN.value)[_COLUMNS],
        known[is_over].assign(state=EpisodeState.CLOSED.value)[_COLUMNS],
    )
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def episodes(seconds: pd.DataFrame) -> pd.DataFrame:
    """Return every episode in one book's seconds; `end` is the second after its last.

    Args:
        seconds: start (s), spread_bps; by rising start.
    """
    start, spread = seconds["start"].to_numpy(), seconds["spread_bps"].to_numpy()
    series = pd.Series(spread, index=pd.to_datetime(start, unit="s"))
    usual = (
        series.rolling(f"{USUAL_S}s", closed="left", min_periods=MIN_OBSERVED).median().to_numpy()
    )
    widened = spread > FACTOR * usual  # never so where the usual is not known
    follows = np.concatenate(([False], widened[:-1] & (np.diff(start) <= HOLE_S)))
    begins = np.flatnonzero(widened & ~follows)
    rows = []
    for begin in begins:
        stop = int(begin) + 1
        while stop < len(start) and widened[stop] and follows[stop]:
            stop += 1
        peak = int(begin) + int(np.argmax(spread[begin:stop]))
        state = EpisodeState.CLOSED if stop < len(start) else EpisodeState.OPEN
        figures = (stop - begin, usual[begin], spread[peak], spread[peak] / usual[begin])
        rows.append((*figures, state.value, start[begin], start[stop - 1] + 1, start[peak]))
    return pd.DataFrame(rows, columns=[*_FIGURES, *_TIMES])


def _between(rows: pd.DataFrame, first: int, last: int) -> pd.DataFrame:
    """Return the episodes that seconds from `first` to `last` may have a part in.

    The last second whose usual spread they change may join, or leave, an episode that begins after it.
    """
    reach = last + USUAL_S + HOLE_S
    return rows[(rows["end"] >= first - HOLE_S) & (rows["start"] <= reach)]


def _first_time(seconds: pd.DataFrame) -> pd.DataFrame:
    return changes(seconds, pd.DataFrame(columns=_COLUMNS))
