"""What the claims are judged by: pure functions over ids, intervals and statuses."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

Range = tuple[int, int]
# What `docs/streaming.md` promises of silence: five times the usual interval, ten seconds at least,
# and two minutes as the usual interval of a stream without a past, which fades within minutes.
_FEWEST_S, _TIMES, _FIRST_S, _FADES_S = 10.0, 5.0, 120.0, 60.0


class Link(NamedTuple):
    """A book delta's place in its chain; `follows` is um's `pu`."""

    first: int
    last: int
    follows: int | None = None


def missing(found: Iterable[int], first: int, last: int) -> list[int]:
    """Return the ids from first to last that are not there."""
    there = set(found)
    return [number for number in range(first, last + 1) if number not in there]


def repeated(found: Sequence[int]) -> int:
    """Return how many ids stand there once too often."""
    return len(found) - len(set(found))


def broken_links(chain: Iterable[Link]) -> int:
    """Return how many deltas do not follow the one before, repeats removed; order is that of arrival."""
    distinct = list(dict.fromkeys(chain))
    return sum(
        after.first != before.last + 1 if after.follows is None else after.follows != before.last
        for before, after in pairwise(distinct)
    )


def steps_back(values: Iterable[int]) -> int:
    """Return how many values are below the one before."""
    return sum(after < before for before, after in pairwise(values))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share (0 to 1) of them does not exceed; endless without any."""
    if not values:
        return math.inf
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def ids_in(ranges: Iterable[Range]) -> set[int]:
    """Return the ids that ranges hold, both ends included."""
    return {number for first, last in ranges for number in range(first, last + 1)}


def recovery_s(reset_ns: int, epochs: dict[int, Range]) -> float:
    """Return how long after a reset data flowed on a later epoch of the connection; endless if never.

    Args:
        reset_ns: when the reset was asked for.
        epochs: the first and the last time that each epoch's data was received, in ns.
    """
    before = [number for number, (first_ns, _) in epochs.items() if first_ns <= reset_ns]
    later = [first for number, (first, _) in epochs.items() if number > max(before, default=0)]
    return (min(later) - reset_ns) / 1e9 if later else math.inf


def longest_silence_s(received_ns: Sequence[int]) -> float:
    """Return the longest interval between two frames."""
    return max((after - before for before, after in pairwise(received_ns)), default=0) / 1e9


def silence_limit_s(usual_s: float, age_s: float) -> float:
    """Return the silence that must be told, after a stream flowed for `age_s`."""
    usual = max(usual_s, _FIRST_S * math.exp(-age_s / _FADES_S))
    return max(_FEWEST_S, _TIMES * usual)


def is_told_in_time(
    received_ns: Sequence[int], first_ns: int, told_ns: int, grace_s: float
) -> tuple[float, float]:
    """Return how long the silence lasted before it was told, and how long it might have.

    The limit falls while the stream is silent, so it is that of the moment it was told, plus grace.
    """
    silence_s = (told_ns - max(received_ns)) / 1e9
    limit_s = silence_limit_s(longest_silence_s(received_ns), (told_ns - first_ns) / 1e9)
    return silence_s, limit_s + grace_s
