"""Which commits to `silver_trades` hold the trades of a time, so that gold reads these and not the whole day.

Each commit carries a `TimeSpan`. A day is a base file and many logs, merged row by row: without this, a
look at its last minutes would cost more with every hour.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.assets.increments import Increment
from crypto_pipeline.tables import TABLES, TableSpec
from crypto_pipeline.utils import hudi_utils

_NOTE = "times"
_US = 1_000_000
_CLOCKS_APART_US = 3600 * _US


class TimeSpan(msgspec.Struct, frozen=True):
    """What is sure of the times of a commit's rows, µs since the epoch.

    `earliest`: none of its rows is from before; None where that is not known.
    `latest`: no row of it, nor of any commit before it, is from after.
    """

    earliest: int | None
    latest: int


Spans = Iterator[tuple[hudi_utils.Commit, TimeSpan | None]]
"""Commits that brought rows, the newest first, and what each carries."""


def following(before: Spans, own: TimeSpan, now_us: int) -> TimeSpan:
    """Return what a commit after these carries.

    One that carries nothing, an older version's, holds no row from after its own time, as far as our clock and
    the venue's agree: an hour is allowed for.

    Args:
        before: the commits before it.
        own: the span of its own rows.
        now_us: our time.
    """
    latest = own.latest
    for _, span in before:
        if span is not None:
            return TimeSpan(own.earliest, max(latest, span.latest))
        latest = max(latest, now_us + _CLOCKS_APART_US)
    return TimeSpan(own.earliest, latest)


class Begin(NamedTuple):
    """Where the rows begin that matter to new ones.

    `since`: what was committed before this completion time is of no matter.
    `start_us`: nor is any row from before this time, µs since the epoch; None where nothing is new.
    """

    since: str
    start_us: int | None


def begin(commits: Spans, after: str, window_us: int, near_us: int) -> Begin | None:
    """Return where the rows begin that share windows with those committed after `after`.

    Those are the windows that new rows fall in, or would `near_us` earlier, and as long before them again.
    None where the commits do not tell.
    """
    start = None
    for commit, span in commits:
        if commit.completed > after:
            if span is None or span.earliest is None:
                return None
            reach = (span.earliest - near_us) // window_us * window_us - near_us
            start = reach if start is None else min(start, reach)
        elif start is None or (span is not None and span.latest < start):
            return Begin(commit.completed, start)
    return None


def rows_about(increment: Increment, window_s: int, near_s: int) -> DataFrame | None:
    """Return the source rows, old and new, of the windows that new rows fall in, see `begin`.

    With `is_new`. None where commits do not tell which those are: the whole of the days is to be read.
    """
    if increment.after is None:
        return None
    lakehouse, source = increment.lakehouse, increment.source
    commits = spans(lakehouse.lake, source)
    found = begin(commits, increment.after, window_s * _US, near_s * _US)
    if found is None:
        return None
    rows = hudi_utils.read_marked(
        lakehouse.spark, source, lakehouse.lake, increment.after, found.since
    )
    if found.start_us is not None:
        # The commit that reaches into the first window holds far more than that.
        rows = rows.where(F.col("trade_time") >= F.timestamp_micros(F.lit(found.start_us)))
    return increment.partitions.within(rows)


def note(lake: str, own: TimeSpan, now_us: int) -> dict[str, TimeSpan]:
    """Return what the next commit to `silver_trades` is to carry, of the span of its own rows, see `following`."""
    return {_NOTE: following(spans(lake, TABLES["silver_trades"]), own, now_us)}


def spans(lake: str, spec: TableSpec) -> Spans:
    """Return a table's commits with their spans; each is read when it is asked for."""
    for commit, text in hudi_utils.notes(lake, spec, _NOTE):
        yield commit, None if text is None else msgspec.json.decode(text, type=TimeSpan)
