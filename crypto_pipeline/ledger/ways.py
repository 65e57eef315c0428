"""How a range of ids that is missing can be had, and which ranges are due to be asked for. Pure."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from crypto_pipeline.ledger.rows import Row, Stream, micros, stream_of
from shared.market.instruments import Market
from shared.market.numbering import Numbering, numbering

# On futures REST tells aggregate trades of the last 48 hours; an hour less leaves time to ask.
_FUTURES_REACH_US = 47 * 3_600_000_000
# The collector heals most gaps by itself within a minute; a younger one is left to it.
_PATIENCE_US = 3 * 60_000_000
# Between two tries at a gap: 5, 10, 20 … minutes, 6 hours at most.
_FIRST_PAUSE_US = 5 * 60_000_000
_LONGEST_PAUSE_US = 6 * 3_600_000_000


class Way(StrEnum):
    """Where a range can be fetched from."""

    REST = "REST"
    ARCHIVE = "archive"


Tries = dict[str, tuple[int, int]]
"""By gap, how often a healing was begun for it, and before which time (µs) none is begun again."""


def way_of(stream: Stream, before_us: int | None, now_us: int) -> Way:
    """Return where a range is to be had; `before_us` is the time of the record before it."""
    is_old = before_us is not None and now_us - before_us > _FUTURES_REACH_US
    kind = numbering(stream.exchange, stream.market, stream.channel)
    is_short = stream.market != Market.SPOT and kind is Numbering.TRADES
    return Way.ARCHIVE if is_short and is_old else Way.REST


def wanted(rows: Iterable[Row], now_us: int) -> list[Row]:
    """Return what REST can be asked for, oldest first, as `crypto-stream heal` reads it.

    Args:
        rows: of `quality_gaps`.
        now_us: our time.
    """
    lines = []
    for row in rows:
        stream = stream_of(row)
        before = row["before_time"]
        before_us = None if before is None else micros(before)
        if way_of(stream, before_us, now_us) is Way.REST:
            lines += [(before_us or 0, {**stream._asdict(), **part}) for part in row["open_ranges"]]
    return [line for _, line in sorted(lines, key=lambda item: item[0])]


def due(rows: Iterable[Row], tries: Mapping[str, tuple[int, int]], now_us: int) -> Tries | None:
    """Return the tries after a healing that is begun now; None if no gap is due.

    A gap is due once it is some minutes old, and later each time it stays open. Gaps that are closed are
    forgotten.
    """
    open_gaps = {}
    for row in rows:
        if wanted([row], now_us) and now_us - micros(row["found_at"]) >= _PATIENCE_US:
            open_gaps["/".join((*stream_of(row), str(row["first_id"])))] = row
    kept = {name: tries.get(name, (0, 0)) for name in open_gaps}
    if not any(not_before <= now_us for _, not_before in kept.values()):
        return None
    return {name: (number + 1, now_us + _pause_us(number)) for name, (number, _) in kept.items()}


def _pause_us(tries: int) -> int:
    return min(_FIRST_PAUSE_US << min(tries, 16), _LONGEST_PAUSE_US)
