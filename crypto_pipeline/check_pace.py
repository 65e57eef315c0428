"""When an asset check that looks at every row looks again, and how much it takes at once. Pure.

In the evening a day has tens of millions of rows, and a tick shall not be late for looking at all of them. So a
look takes as many symbols as it can in a few seconds, by what the last one took; the others have their turn at
the next look, which comes after a rest in proportion to this one's length.
"""

from collections.abc import Collection, Iterable, Mapping

from crypto_pipeline.specs import Partition

# What takes no longer than this is not followed by a rest.
_SHORT_S = 2.0
_LONG_S = 5.0
_LOOK_ONE_IN = 60
# The timeline still tells what was written within this.
_LONGEST_REST_S = 900.0
# As long as no look has told how fast one goes; and what a look takes at least, however little it reads.
_BYTES_A_S = 8_000_000
_LEAST_S = 0.5


def rests(looked_at: float, seconds: float, now_s: float) -> bool:
    """Tell whether a look would be too soon: one took `seconds`, at `looked_at`, and it is `now_s`.

    Times in seconds since the epoch. What takes moments is never too soon.
    """
    return seconds > _SHORT_S and now_s - looked_at < min(seconds * _LOOK_ONE_IN, _LONGEST_REST_S)


def in_turn(
    waiting: Iterable[Partition], at_fault: Iterable[Partition], written: Collection[Partition]
) -> list[Partition]:
    """Return what is to be looked at: what the last look did not come to, then what was wrong, then what was written since."""
    return list(dict.fromkeys((*waiting, *at_fault, *sorted(written))))


def portion(
    wanted: list[Partition], sizes: Mapping[Partition, int], bytes_last: int, seconds_last: float
) -> list[Partition]:
    """Return those that one look takes: the first symbols, each with all its days, one at least.

    Args:
        wanted: see `in_turn`.
        sizes: their bytes.
        bytes_last: how many the last look took; 0 where that is not known.
        seconds_last: how long it took for them.
    """
    pace = bytes_last / max(seconds_last, _LEAST_S) or _BYTES_A_S
    by_symbol: dict[str, list[Partition]] = {}
    for each in wanted:
        by_symbol.setdefault(each[0], []).append(each)
    taken = 0
    chosen: list[Partition] = []
    for partitions in by_symbol.values():
        taken += sum(sizes.get(each, 0) for each in partitions)
        if chosen and taken > pace * _LONG_S:
            break
        chosen += partitions
    return chosen
