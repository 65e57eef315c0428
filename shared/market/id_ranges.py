"""A set of ids kept as ranges: cheap where ids mostly follow one another."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class IdRanges:
    """Disjoint ranges of ids, both ends inclusive; ranges that touch become one.

    Appending the id after the highest, and looking up one that is in the highest range or above it,
    take constant time; the rest takes a search among the ranges.
    """

    __slots__ = ("_firsts", "_lasts")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __len__(self) -> int:
        """Return how many ranges there are."""
        return len(self._firsts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield first and last id of each range, lowest first."""
        return zip(self._firsts, self._lasts, strict=True)

    def __contains__(self, number: int) -> bool:
        lasts = self._lasts
        if not lasts or number > lasts[-1]:
            return False
        at = -1 if number >= self._firsts[-1] else bisect_left(lasts, number)
        return self._firsts[at] <= number

    @property
    def lowest(self) -> tuple[int, int]:
        """The range of the lowest ids; IndexError without any."""
        return self._firsts[0], self._lasts[0]

    def within(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return which ids lie between `first` and `last`, both included, as ranges."""
        start = bisect_left(self._lasts, first)
        end = bisect_right(self._firsts, last)
        return [
            (max(first, self._firsts[at]), min(last, self._lasts[at])) for at in range(start, end)
        ]

    def add(self, first: int, last: int) -> None:
        """Put `first` to `last` in, whether or not some of them are in already."""
        firsts, lasts = self._firsts, self._lasts
        if lasts and lasts[-1] + 1 == first:
            lasts[-1] = last
            return
        # Ranges from `start` up to `end` overlap or touch the new one, which takes their place.
        start = bisect_left(lasts, first - 1)
        end = bisect_right(firsts, last + 1)
        if start < end:
            first, last = min(first, firsts[start]), max(last, lasts[end - 1])
        firsts[start:end] = [first]
        lasts[start:end] = [last]

    def remove(self, first: int, last: int) -> None:
        """Take `first` to `last` out, whether or not all of them are in."""
        firsts, lasts = self._firsts, self._lasts
        start = bisect_left(lasts, first)
        end = bisect_right(firsts, last)
        kept: list[tuple[int, int]] = []
        if start < end:
            # Only the outermost of the ranges that overlap can stick out.
            below, above = (firsts[start], first - 1), (last + 1, lasts[end - 1])
            kept = [piece for piece in (below, above) if piece[0] <= piece[1]]
        firsts[start:end] = [piece[0] for piece in kept]
        lasts[start:end] = [piece[1] for piece in kept]
