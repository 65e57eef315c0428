"""The aggregate trades that a player has sent, for REST to tell again."""

from bisect import bisect_left, bisect_right
from typing import Any

import msgspec

from mock_exchange.trade_memory import Page

_FIELDS = ("a", "p", "q", "f", "l", "T", "m")


class _Data(msgspec.Struct):
    data: dict[str, Any]


_decoder = msgspec.json.Decoder(_Data)


class PlayedTrades:
    """One symbol's frames in the order of their ids, which may have holes.

    Args:
        kept: at least so many of the latest are kept, and twice as many at most.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._ids: list[int] = []
        self._frames: list[str] = []

    def add(self, number: int, frame: str) -> None:
        """Take the next frame; one that repeats or goes back is in here already, or was lost."""
        if self._ids and number <= self._ids[-1]:
            return
        self._ids.append(number)
        self._frames.append(frame)
        if len(self._ids) > self._kept * 2:
            del self._ids[: self._kept]
            del self._frames[: self._kept]

    def rows(self, page: Page) -> bytes:
        """Return the REST `aggTrades` body, oldest first."""
        start, stop = self._span(page)
        rows = [_decoder.decode(frame).data for frame in self._frames[start:stop]]
        return msgspec.json.encode([{key: row[key] for key in _FIELDS} for row in rows])

    def _span(self, page: Page) -> tuple[int, int]:
        count = len(self._ids)
        if page.from_id is not None:
            start = bisect_left(self._ids, page.from_id)
            return start, min(start + page.limit, count)
        start, stop = 0, count
        if page.start_ms is not None:
            start = bisect_left(self._frames, page.start_ms, key=_time_ms)
        if page.end_ms is not None:
            stop = bisect_right(self._frames, page.end_ms, key=_time_ms)
        if page.start_ms is not None:
            return start, min(start + page.limit, stop)
        return max(start, stop - page.limit), stop


def _time_ms(frame: str) -> int:
    number: int = _decoder.decode(frame).data["T"]
    return number
