"""Writes every frame and REST body as it came, to files that survive a kill and never grow too many.

All connections share one file at a time, `<UTC start>.jsonl.gz`, in receive order. The compressed
stream is flushed with every batch, so that a kill costs at most what came in the last second; such a
file reads up to its last whole line. See `shared.market.recording` for the form.

Recording never stops the collector: what comes faster than it can be written is dropped and counted,
and a disk that refuses ends recording until the next start.
"""

import asyncio
import threading
import zlib
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, NamedTuple

import structlog

from shared.clock import Clock
from shared.market.recording import Frame, FrameKind, encode_frame
from shared.settings import RecorderSettings

_BATCH_S = 0.5
# What may wait in memory while a batch is compressed: seconds of the fastest flow seen.
_MOST_WAITING_BYTES = 64 * 1024 * 1024
# JSON of one market compresses well at any level; higher ones cost cores for little.
_LEVEL = 3
_GZIP = 31
_NAMES = "[0-9]*T[0-9]*Z.jsonl.gz"
# What a frame costs beside its bytes.
_FRAME_BYTES = 200


class RecorderState(StrEnum):
    """`behind` drops frames since they come faster than they can be written."""

    RECORDING = "recording"
    BEHIND = "behind"
    FAILED = "failed"
    CLOSED = "closed"


class _Item(NamedTuple):
    recv_ns: int
    kind: FrameKind
    url: str
    raw: bytes
    connection: str
    epoch: int
    beside: bool


class Recorder:
    """One process's recording.

    Args:
        folder: where the files are; made if it is not there, and cleared of old ones.
        limits: when a file is closed, and what may be kept.
        clock: names the files.
    """

    def __init__(self, folder: Path, limits: RecorderSettings, clock: Clock) -> None:
        self._folder = folder
        self._limits = limits
        self._clock = clock
        self._log = structlog.get_logger().bind(folder=str(folder))
        self._waiting: deque[_Item] = deque()
        # Two counters, since each is raised by one thread alone.
        self._taken_bytes = 0
        self._done_bytes = 0
        self._turn = threading.Lock()
        self._file: IO[bytes] | None = None
        self._began_ns = 0
        self.state = RecorderState.RECORDING
        """How it goes; what comes while it is not RECORDING is dropped."""
        self.reason = ""
        """Why it has failed."""
        self.frames = 0
        """Frames taken; those of the batch that failed count in `dropped` too."""
        self.dropped = 0
        """Frames that are not in the recording."""

    def frame(
        self,
        url: str,
        kind: FrameKind,
        raw: bytes,
        recv_ns: int,
        connection: str = "",
        epoch: int = 0,
        beside: bool = False,
    ) -> None:
        """Take one frame; it is on disk within a second. Never waits and never raises.

        Args:
            url: the connection's address, or a REST call's with its query.
            kind: WebSocket frame or REST body.
            raw: the bytes as they came.
            recv_ns: when they came, in ns since the epoch.
            connection: the connection's name, as in the origin of its events.
            epoch: which socket of that connection.
            beside: whether the socket before it carries the same streams still.
        """
        if self.state is not RecorderState.RECORDING:
            self.dropped += 1
            return
        self._waiting.append(_Item(recv_ns, kind, url, raw, connection, epoch, beside))
        self.frames += 1
        self._taken_bytes += len(raw) + _FRAME_BYTES
        if self._taken_bytes - self._done_bytes > _MOST_WAITING_BYTES:
            self.state = RecorderState.BEHIND
            self._log.error("frames come faster than they can be recorded; some are dropped")

    async def run(self) -> None:
        """Write batches until cancelled; then `close` writes the rest."""
        while self.state is not RecorderState.CLOSED:
            await asyncio.sleep(_BATCH_S)
            await asyncio.to_thread(self._write_waiting)
            if self.state is RecorderState.BEHIND:
                self._log.warning("recording again", dropped=self.dropped)
                self.state = RecorderState.RECORDING

    def close(self) -> None:
        """Write what waits and end the file."""
        self._write_waiting()
        with self._turn:
            self._attempt(self._end_file)
        if self.state is not RecorderState.FAILED:
            self.state = RecorderState.CLOSED

    def _write_waiting(self) -> None:
        with self._turn:
            # The reader adds at the right end only, so so many may be taken from the left.
            batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if batch and self.state is not RecorderState.FAILED:
                self._attempt(lambda: self._write(batch))
            if self.state is RecorderState.FAILED:
                self.dropped += len(batch)
            self._done_bytes += sum(len(item.raw) + _FRAME_BYTES for item in batch)

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            self.state = RecorderState.FAILED
            self.reason = error.strerror or str(error)
            self._log.error("recording is off until the next start", error=str(error))
            if self._file is not None:
                self._file.close()
                self._file = None

    def _write(self, batch: list[_Item]) -> None:
        file = self._file or self._begin_file()
        for item in batch:
            raw = item.raw.decode(errors="backslashreplace")
            line = encode_frame(Frame(item.recv_ns, item.kind, item.url, raw, *item[4:]))
            file.write(self._squeeze.compress(line))
        file.write(self._squeeze.flush(zlib.Z_SYNC_FLUSH))
        file.flush()
        age_s = (self._clock.now_ns() - self._began_ns) / 1e9
        if file.tell() >= self._limits.file_bytes or age_s >= self._limits.file_s:
            self._end_file()

    def _begin_file(self) -> IO[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._clear()
        self._began_ns = self._clock.now_ns()
        start = datetime.fromtimestamp(self._began_ns / 1e9, UTC)
        path = self._folder / f"{start:%Y%m%dT%H%M%S.%fZ}.jsonl.gz"
        self._file = path.open("xb")
        self._squeeze = zlib.compressobj(_LEVEL, wbits=_GZIP)
        return self._file

    def _end_file(self) -> None:
        if self._file is not None:
            self._file.write(self._squeeze.flush())
            self._file.close()
            self._file = None
            self._clear()

    def _clear(self) -> None:
        """Delete files that are too old, then the oldest until what is left and one more fit."""
        kept = sorted(self._folder.glob(_NAMES))
        sizes = {path: path.stat().st_size for path in kept}
        oldest_s = self._clock.now_ns() / 1e9 - self._limits.most_days * 86_400
        room = self._limits.most_bytes - self._limits.file_bytes
        for path in kept:
            if sum(sizes.values()) > room or path.stat().st_mtime < oldest_s:
                path.unlink()
                del sizes[path]
                self._log.info("old recording deleted", file=path.name)
