"""Which ranges of ids are to be asked for, and when. Where they are had is the collector's to know. Pure."""

from collections.abc import Iterable, Mapping

from crypto_pipeline.ledger.rows import Row, micros, stream_of

# The collector heals most gaps by itself within a minute; a younger one is left to it.
_PATIENCE_US = 3 * 60_000_000
# Between two tries at a gap: 5, 10, 20 … minutes, 6 hours at most.
_FIRST_PAUSE_US = 5 * 60_000_000
_LONGEST_PAUSE_US = 6 * 3_600_000_000

Tries = dict[str, tuple[int, int]]
"""By gap, how often a healing was begun for it, and before which time (µs) none is begun again."""


def wanted(rows: Iterable[Row]) -> list[Row]:
    """Return the open parts of rows of `quality_gaps`, oldest first, as `crypto-stream heal` reads them."""
    lines = []
    for row in rows:
        before_us = 0 if row["before_time"] is None else micros(row["before_time"])
        times = {name: row[name] for name in ("before_time", "after_time")}
        lines += [
            (before_us, {**stream_of(row)._asdict(), **part, **times})
            for part in row["open_ranges"]
        ]
    return [line for _, line in sorted(lines, key=lambda item: item[0])]


def due(rows: Iterable[Row], tries: Mapping[str, tuple[int, int]], now_us: int) -> Tries | None:
    """Return the tries after a healing that is begun now; None if no gap is due.

    A gap is due once it is some minutes old, and later each time it stays open. Gaps that are closed are
    forgotten.
    """
    open_gaps = [
        "/".join((*stream_of(row), str(row["first_id"])))
        for row in rows
        if now_us - micros(row["found_at"]) >= _PATIENCE_US
    ]
    kept = {name: tries.get(name, (0, 0)) for name in open_gaps}
    if not any(not_before <= now_us for _, not_before in kept.values()):
        return None
    return {name: (number + 1, now_us + _pause_us(number)) for name, (number, _) in kept.items()}


def _pause_us(tries: int) -> int:
    return min(_FIRST_PAUSE_US << min(tries, 16), _LONGEST_PAUSE_US)
