"""A file of the venue's archive: fetched, proved by its checksum, and unpacked as it is read.

part file (goes on where it was cut) ─► sha256 as `.CHECKSUM` says ─► pieces of the one member
"""

import asyncio
import hashlib
import zipfile
import zlib
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import httpx

from streaming.day_journal import usable
from streaming.errors import ArchiveError, ArchiveFault

_TIMEOUT = httpx.Timeout(30, connect=10)
# Before a try that goes on where the last one was cut.
_PAUSES_S = (0.5, 1.0, 2.0, 4.0)
# The venue may replace a file between its checksum and its last byte.
_CHECKSUM_TRIES = 2
_DOWNLOAD_BYTES = 1024**2
# About three thousand lines: short enough for the event loop to breathe between two.
_PIECE_BYTES = 256 * 1024
_SHA256_DIGITS = 64
_Answer = TypeVar("_Answer")


class Archive:
    """Fetches files from one archive into a folder.

    Args:
        base_url: the archive's address.
        folder: where files lie on their way; a part that a killed run left there is gone on with.
        on_bytes: told how many bytes came in.
    """

    def __init__(
        self, base_url: str, folder: Path, on_bytes: Callable[[int], None] = lambda _: None
    ) -> None:
        # What is stored is zipped already; a compressed answer could not be gone on with.
        headers = {"Accept-Encoding": "identity"}
        self._client = httpx.AsyncClient(
            base_url=base_url, http2=True, timeout=_TIMEOUT, headers=headers
        )
        self._folder = folder
        self._on_bytes = on_bytes

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def checksum(self, path: str) -> str:
        """Return the sha256 that the venue tells of a file.

        Raises:
            ArchiveError: there is none, nobody answers, or what is there is no checksum.
        """
        url = f"{path}.CHECKSUM"
        text = (await self._retried(url, lambda: self._body(url))).decode(errors="replace")
        digest = text.split()[0].lower() if text.split() else ""
        if len(digest) != _SHA256_DIGITS or set(digest) - set("0123456789abcdef"):
            raise ArchiveError(url, ArchiveFault.CHECKSUM, f"no sha256 in {text[:100]!r}")
        return digest

    async def fetch(self, path: str, digest: str) -> tuple[Path, str]:
        """Return the file, and its sha256, which may have changed with the file meanwhile.

        Args:
            path: of the file, below the archive's address.
            digest: the sha256 that `checksum` told.

        Raises:
            ArchiveError: it is absent, cannot be reached, or twice not what its checksum says.
        """
        part = self._folder / f"{path.strip('/').replace('/', '_')}.part"
        found = ""
        for _ in range(_CHECKSUM_TRIES):
            await self._retried(path, lambda: self._go_on(path, part))
            found = await asyncio.to_thread(_sha256, part)
            if found == digest:
                return part, digest
            part.unlink()
            digest = await self.checksum(path)
        reason = (
            f"the file has {found}, the venue tells {digest}; both fetched {_CHECKSUM_TRIES} times"
        )
        raise ArchiveError(path, ArchiveFault.CHECKSUM, reason)

    async def _retried(self, url: str, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Make a call, and again after a pause where the network or the server is in trouble."""
        for pause_s in _PAUSES_S:
            try:
                return await call()
            except httpx.TransportError:
                await asyncio.sleep(pause_s)
        try:
            return await call()
        except httpx.TransportError as error:
            reason = f"{type(error).__name__}: {error}; tried {len(_PAUSES_S) + 1} times"
            raise ArchiveError(url, ArchiveFault.UNREACHABLE, reason) from error

    async def _body(self, url: str) -> bytes:
        async with self._client.stream("GET", url) as response:
            _require(response, url, HTTPStatus.OK)
            return await response.aread()

    async def _go_on(self, path: str, part: Path) -> None:
        """Fetch what the part file lacks."""
        held = await asyncio.to_thread(_size, part)
        headers = {"Range": f"bytes={held}-"} if held else {}
        async with self._client.stream("GET", path, headers=headers) as response:
            if held and response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # Nothing lies beyond: it is whole, or of another file, as its sha256 tells.
            _require(response, path, HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)
            goes_on = response.status_code == HTTPStatus.PARTIAL_CONTENT
            with usable(self._folder):
                file = part.open("ab" if goes_on else "wb")
            with file:
                async for piece in response.aiter_raw(_DOWNLOAD_BYTES):
                    with usable(self._folder):
                        file.write(piece)
                    self._on_bytes(len(piece))


def pieces(file: Path, path: str) -> Iterator[bytes]:
    """Yield what the one member of a zip holds, unpacked piece by piece.

    Raises:
        ArchiveError: it is no zip of one member, or damaged.
    """
    try:
        with zipfile.ZipFile(file) as bundle:
            members = bundle.infolist()
            if len(members) != 1:
                reason = f"{len(members)} members instead of one"
                raise ArchiveError(path, ArchiveFault.UNREADABLE, reason)
            with bundle.open(members[0]) as text:
                while piece := text.read(_PIECE_BYTES):
                    yield piece
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # The last two: packed or encrypted in a way that zipfile does not know.
        raise ArchiveError(path, ArchiveFault.UNREADABLE, str(error)) from error


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _sha256(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _require(response: httpx.Response, url: str, *wanted: HTTPStatus) -> None:
    status = response.status_code
    if status in wanted:
        return
    if status == HTTPStatus.NOT_FOUND:
        raise ArchiveError(url, ArchiveFault.ABSENT, "the archive does not have it, or not yet")
    reason = f"HTTP {status}"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        raise httpx.NetworkError(reason)
    raise ArchiveError(url, ArchiveFault.UNREACHABLE, reason)
