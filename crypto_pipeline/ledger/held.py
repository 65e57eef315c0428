"""Ranges of ids that are held, with what stands at their two ends. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from shared.market.id_ranges import IdRanges


class Edge(NamedTuple):
    """The record at one end of a range: where it stands in Kafka, and its own time in µs.

    Of two records with one id the one that came first is the lesser.
    """

    offset: int
    partition: int
    time_us: int


class Held(NamedTuple):
    """Ids from first to last, both included, all of which are held."""

    first_id: int
    last_id: int
    start: Edge
    end: Edge

    @property
    def ids(self) -> int:
        """How many ids they are."""
        return self.last_id - self.first_id + 1


def joined(ranges: Iterable[Held]) -> list[Held]:
    """Return disjoint ranges, lowest first; what overlaps or touches becomes one."""
    result: list[Held] = []
    for item in sorted(ranges):
        if not result or item.first_id > result[-1].last_id + 1:
            result.append(item)
            continue
        before = result[-1]
        start = before.start
        if item.first_id == before.first_id:
            start = min(start, item.start)
        end = before.end
        if item.last_id > before.last_id:
            end = item.end
        elif item.last_id == before.last_id:
            end = min(end, item.end)
        last_id = max(before.last_id, item.last_id)
        result[-1] = Held(before.first_id, last_id, start, end)
    return result


def ids_of(ranges: Iterable[Held]) -> IdRanges:
    """Return the bare ids."""
    found = IdRanges()
    for item in ranges:
        found.add(item.first_id, item.last_id)
    return found


def count(ids: Iterable[tuple[int, int]]) -> int:
    """Return how many ids ranges hold."""
    return sum(last - first + 1 for first, last in ids)
