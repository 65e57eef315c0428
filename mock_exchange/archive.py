"""The archive's door: day files with their checksums, from a folder or from what the venue traded.

A file of the folder stands at the path that the venue gives it, as `.zip` or as the `.csv` to zip. Other
files are made of the venue's own trades and candles, once their day is over.
"""

from pathlib import Path

from aiohttp import web

from mock_exchange.archive_files import (
    DayFile,
    checksum,
    csv_of,
    day_file,
    in_unit,
    with_a_hole,
    zipped,
)
from mock_exchange.faults import Faults
from mock_exchange.venue import Venue
from shared.clock import Clock

_CHECKSUM = ".CHECKSUM"
_WRONG = b"0" * 64


class Archive:
    """Answers for files below `/data`.

    Args:
        folder: of given files, None for none.
        clock: says which days are over.
        faults: that spoil files and answers.
    """

    def __init__(self, folder: Path | None, clock: Clock, faults: Faults) -> None:
        self._folder = folder
        self._clock = clock
        self._faults = faults

    async def answer(self, request: web.Request, venue: Venue) -> web.StreamResponse:
        """Return a file, a part of it, or its checksum; 404 where there is none."""
        path = request.path
        file = day_file(path.removesuffix(_CHECKSUM))
        if file is None:
            return web.Response(status=404)
        hows = self._faults.archive(file.market, path)
        content = None if "late" in hows else self._content(file, path, hows, venue)
        if content is None:
            return web.Response(status=404)
        if path.endswith(_CHECKSUM):
            line = checksum(Path(path).stem, content)
            return web.Response(body=_WRONG + line[len(_WRONG) :] if "checksum" in hows else line)
        if "cut" in hows:
            return await _cut(request, content)
        return _part(request, content)

    def _content(
        self, file: DayFile, path: str, hows: frozenset[str], venue: Venue
    ) -> bytes | None:
        place = None if self._folder is None else self._folder / path.removesuffix(_CHECKSUM)[1:]
        if place is not None and place.is_file():
            return place.read_bytes()
        if place is not None and place.with_suffix(".csv").is_file():
            csv = place.with_suffix(".csv").read_bytes()
        else:
            if file.span_ms[1] > self._clock.now_ns() // 1_000_000:
                return None
            rows = venue.archived(file)
            if not rows:
                return None
            csv = csv_of(file, rows)
        if "hole" in hows:
            csv = with_a_hole(csv)
        for unit in hows & {"milliseconds", "microseconds"}:
            csv = in_unit(file, csv, microseconds=unit == "microseconds")
        return zipped(file.name, csv)


def _part(request: web.Request, content: bytes) -> web.Response:
    """Return the content, or what a `Range` asks of it."""
    start = request.http_range.start or 0
    if start == 0:
        return web.Response(body=content)
    if start >= len(content):
        return web.Response(status=416)
    told = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
    return web.Response(body=content[start:], status=206, headers=told)


async def _cut(request: web.Request, content: bytes) -> web.StreamResponse:
    """Send half of what is asked for, and hang up."""
    whole = _part(request, content)
    body = content[request.http_range.start or 0 :]
    answer = web.StreamResponse(status=whole.status, headers=whole.headers)
    answer.content_length = len(body)
    await answer.prepare(request)
    await answer.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return answer
