"""The ledger's days as they stand in `quality_completeness`, read no further than a judgement needs."""

from bisect import bisect_left
from collections.abc import Iterable

from crypto_pipeline.ledger.days import Day
from crypto_pipeline.ledger.rows import Row, Stream, day_of, stream_of
from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils

COMPLETENESS = TABLES["quality_completeness"]
Place = tuple[Stream, str]
"""A stream and a date."""


class KnownDays:
    """Rows by stream and date; a partition is read once.

    Args:
        lake: the lake's root.
    """

    def __init__(self, lake: str) -> None:
        self.rows: dict[Stream, dict[str, Row]] = {}
        self._lake = lake
        self._read: set[tuple[str, str]] = set()
        self._listed: dict[str, list[str]] = {}

    def days(self, stream: Stream) -> dict[str, Day]:
        """Return the days of a stream that have been read."""
        return {date: day_of(row) for date, row in self.rows.get(stream, {}).items()}

    def load(self, places: Iterable[Place]) -> None:
        """Read these days, where they exist."""
        self._load({(stream.symbol, date) for stream, date in places})

    def load_partitions(self, pairs: set[tuple[str, str]]) -> None:
        """Read every stream of these (symbol, date)."""
        self._load(pairs)

    def load_around(self, places: Iterable[Place]) -> None:
        """Read these days and the two nearest with rows on either side of each."""
        ring = set(places)
        self.load(ring)
        for _ in range(2):
            ring = {found for stream, date in ring for found in self._beside(stream, date)}
            self.load(ring)

    def load_all(self, symbol: str) -> None:
        """Read every day of a symbol."""
        self._load({(symbol, date) for date in self._dates(symbol)})

    def _beside(self, stream: Stream, date: str) -> list[Place]:
        row = self.rows.get(stream, {}).get(date)
        if row is not None:
            return [(stream, near) for near in (row["day_before"], row["day_after"]) if near]
        return [(stream, near) for near in self._search(stream, date)]

    def _search(self, stream: Stream, date: str) -> list[str]:
        """Return the nearest days of a stream on either side of one that has no row yet.

        Mostly they are the symbol's nearest; a channel that begins or rests is looked for in all.
        """
        dates = [near for near in self._dates(stream.symbol) if near != date]
        at = bisect_left(dates, date)
        nearest = [*dates[max(0, at - 1) : at], *dates[at : at + 1]]
        self.load((stream, near) for near in nearest)
        if not all(near in self.rows.get(stream, {}) for near in nearest):
            self.load_all(stream.symbol)
        mine = sorted(self.rows.get(stream, {}))
        at = bisect_left(mine, date)
        return [*mine[max(0, at - 1) : at], *mine[at : at + 1]]

    def _dates(self, symbol: str) -> list[str]:
        if symbol not in self._listed:
            self._listed[symbol] = hudi_utils.dates_of(self._lake, COMPLETENESS, symbol)
        return self._listed[symbol]

    def _load(self, wanted: set[tuple[str, str]]) -> None:
        """Read partitions, all at once for the dates of each symbol that are alike."""
        missing = {pair for pair in wanted - self._read if pair[1] in self._dates(pair[0])}
        self._read |= wanted
        by_dates: dict[frozenset[str], set[str]] = {}
        for symbol in {symbol for symbol, _ in missing}:
            dates = frozenset(date for of, date in missing if of == symbol)
            by_dates.setdefault(dates, set()).add(symbol)
        for dates, symbols in by_dates.items():
            for row in hudi_utils.read_small(self._lake, COMPLETENESS, symbols, dates):
                row.pop("row_order")
                self.rows.setdefault(stream_of(row), {})[row["date"]] = row
