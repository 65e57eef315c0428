"""Which commits to `silver_trades` hold the trades of a time, so that gold reads these and not the whole day.

Each commit carries a `TimeSpan`. A day is a base file and many logs, merged row by row: without this, a
look at its last minutes would cost more with every hour.
"""

from collections.abc import Iterator

import msgspec
from pyspark.sql import DataFrame

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


def begin(commits: Spans, after: str, window_us: int, near_us: int) -> str | None:
    """Return a completion time: what was committed before it is of no matter to the new rows' windows.

    Those are the windows that rows committed after `after` fall in, or would `near_us` earlier, and as long
    before them again. None where the commits do not tell.
    """
    wanted = None
    for commit, span in commits:
        if commit.completed > after:
            if span is None or span.earliest is None:
                return None
            start = (span.earliest - near_us) // window_us * window_us - near_us
            wanted = start if wanted is None else min(wanted, start)
        elif wanted is None or (span is not None and span.latest < wanted):
            return commit.completed
    return None


def rows_about(increment: Increment, window_s: int, near_s: int) -> DataFrame | None:
    """Return the source rows, old and new, of the windows that new rows fall in, see `begin`.

    With `is_new`, and with rows of earlier windows among them. None where commits do not tell which those
    are: the whole of the days is to be read.
    """
    if increment.after is None:
        return None
    lakehouse, source = increment.lakehouse, increment.source
    commits = spans(lakehouse.lake, source)
    since = begin(commits, increment.after, window_s * _US, near_s * _US)
    if since is None:
        return None
    rows = hudi_utils.read_marked(lakehouse.spark, source, lakehouse.lake, increment.after, since)
    return increment.partitions.within(rows)


def note(lake: str, own: TimeSpan, now_us: int) -> dict[str, TimeSpan]:
    """Return what the next commit to `silver_trades` is to carry, of the span of its own rows, see `following`."""
    return {_NOTE: following(spans(lake, TABLES["silver_trades"]), own, now_us)}


def spans(lake: str, spec: TableSpec) -> Spans:
    """Return a table's commits with their spans; each is read when it is asked for."""
    for commit, text in hudi_utils.notes(lake, spec, _NOTE):
        yield commit, None if text is None else msgspec.json.decode(text, type=TimeSpan)
