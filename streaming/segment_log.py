"""An append-only log of Kafka records on disk, for the time that no broker takes them.

Records stand in segment files named by the number of their first record, so that what is pending
can be counted without reading it. The file `position` says up to where records were delivered.

What survives:

1. kill -9: everything `flush` has written, which is called at least each 50 ms and by itself from
   256 KiB on. A record that was cut in half is cut off at the next start, counted and logged.
2. A power cut: with `fsync`, the same. Without it, what the operating system had not yet written,
   by its defaults the last 5 to 30 s, and the cut may leave a segment that fails its checks.
3. A damaged segment: it is read up to the damage, then set aside as `*.damaged` for a person to
   look at, with an error in the log that says how many records it holds; the next one goes on.
4. A position that cannot be read: the oldest segment is delivered again from its start.
"""

import fcntl
import os
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import structlog

from shared.errors import ConfigurationError
from streaming.segment_format import Decoded, Record, decode, encode, encode_all

# Room below for what has to go in front: see `prepend`.
_FIRST_RECORD = 10**15
_FLUSH_BYTES = 256 * 1024
# Far above the largest record that Kafka takes, so that a read always holds one.
_READ_BYTES = 8 * 1024 * 1024
_SUFFIX = ".segment"
_DAMAGED = ".damaged"
_DRAFT = ".draft"


class Position(msgspec.Struct, frozen=True):
    """A place between two records: the segment, the byte in it, and the next record's number."""

    segment: int
    offset: int
    record: int


class SegmentLog:
    """One process's log in one folder, written and read by the same thread.

    Args:
        folder: where the segments are; made if it is not there.
        segment_bytes: size from which a segment is closed and another begun.
        most_bytes: size of all files from which `is_full` is true.
        fsync: whether each flush waits until the disk has it.

    Raises:
        ConfigurationError: the folder cannot be used, or another process uses it.
    """

    _position: Position  # all before it was delivered
    _cursor: Position  # all before it was read

    def __init__(
        self, folder: Path, segment_bytes: int, most_bytes: int, fsync: bool = False
    ) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._most_bytes = most_bytes
        self._fsync = fsync
        self._log = structlog.get_logger().bind(folder=str(folder))
        self._buffer = bytearray()
        self._buffered = 0
        self._active: int | None = None
        self._segment_file = -1
        self._is_unsynced = False
        self._damaged: set[int] = set()
        self.fault: str | None = None
        """Why the disk does not take more, None while it does."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._recover()
        except OSError as error:
            raise ConfigurationError(
                "CRYPTO_STREAMING__SPILL_DIR",
                f"{folder} cannot be used ({error.strerror})",
                "Choose a folder of this process alone that it may write.",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def unwritten(self) -> int:
        """Records that are in memory alone, at most."""
        return self._buffered

    @property
    def records(self) -> int:
        """Records that `commit` has not covered yet; for a damaged segment at least that many."""
        return self._next - self._position.record

    @property
    def unread(self) -> int:
        """Records that `read` has not returned yet."""
        return self._next - self._cursor.record

    @property
    def size(self) -> int:
        """Bytes of all files, damaged ones included, and of what is about to be written."""
        return sum(self._sizes.values()) + self._damaged_bytes + len(self._buffer)

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be appended: at the limit, or the disk refuses to write."""
        return self.fault is not None or self.size >= self._most_bytes

    def append(self, record: Record) -> None:
        """Take a record; it is safe from kill -9 after the next `flush`."""
        self._buffer += encode(record)
        self._buffered += 1
        self._next += 1
        if len(self._buffer) >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand what was appended to the operating system; a refusal is told by `fault`.

        What could not be written stays in memory and is tried again by the next call.
        """
        if not self._buffer and not self._is_unsynced:
            return
        try:
            self._write()
        except OSError as error:
            if self.fault is None:
                self._log.error("the spill cannot be written", error=str(error))
            self.fault = error.strerror or str(error)
            return
        self.fault = None
        if self._active is not None and self._sizes[self._active] >= self._segment_bytes:
            self._seal()

    def read(self, most: int) -> list[Record]:
        """Return the next records in order, at most `most` and about 8 MiB; none at the end."""
        while self._cursor.segment in self._sizes:
            found = self._read_segment(most)
            if found.records:
                return found.records
            if self._cursor.segment == self._active:
                if not found.is_damaged or self._buffer:
                    return []
                self._seal()
            self._next_segment()
        return []

    def commit(self) -> None:
        """Remember that all that was read has been delivered, and delete what is drained."""
        if self._cursor.record == self._next:
            self._seal()
            self._cursor = Position(self._next, 0, self._next)
        self._position = self._cursor
        drained = sorted(item for item in self._sizes if item < self._position.segment)
        for segment in self._damaged.intersection(drained):
            self._set_aside(segment)
        try:
            self._save(self._position)
        except OSError as error:
            # On a full disk the old position stays: more is repeated after a crash, nothing lost.
            self._log.warning("the spill's position cannot be written", error=str(error))
        for segment in self._sizes.keys() & drained:
            self._drop(segment)

    def prepend(self, records: list[Record]) -> None:
        """Put records before all others; only while nothing of the log has been read.

        Raises:
            OSError: they cannot be written; the log is as before.
        """
        if not records:
            return
        self.flush()
        first = self._position.record - len(records)
        draft = self._folder / f"{first:020}{_DRAFT}"
        data = encode_all(records)
        try:
            draft.write_bytes(data)
            self._sync(draft)
            position = Position(first, 0, first)
            self._save(position)
            draft.rename(self._path(first))
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        self._sizes[first] = len(data)
        self._position = self._cursor = position

    def close(self) -> None:
        """Flush, and let go of the folder; the records stay."""
        self.flush()
        self._seal()
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1

    def _recover(self) -> None:
        for draft in self._folder.glob(f"*{_DRAFT}"):
            draft.unlink()
        self._damaged_bytes = sum(item.stat().st_size for item in self._folder.glob(f"*{_DAMAGED}"))
        self._sizes = {
            int(path.stem): path.stat().st_size for path in self._folder.glob(f"*{_SUFFIX}")
        }
        saved = self._saved_position()
        if saved is not None:
            for segment in [item for item in self._sizes if item < saved.segment]:
                self._drop(segment)
        if self._sizes:
            self._next = self._end_of(max(self._sizes))
        else:
            self._next = saved.record if saved is not None else _FIRST_RECORD
        oldest = min(self._sizes, default=self._next)
        if saved is None or saved.offset > self._sizes.get(saved.segment, -1):
            saved = Position(oldest, 0, oldest)
        self._position = self._cursor = saved
        if self.records:
            self._log.info("found a spill", records=self.records, bytes=self.size)

    def _end_of(self, segment: int) -> int:
        """Return the number after the last segment's last record; a torn tail is cut off."""
        good, count, is_damaged = 0, 0, False
        with FileIO(self._path(segment)) as file:
            while not is_damaged and (data := _read_at(file, good)):
                found = decode(data, len(data))
                good += found.used
                count += len(found.records)
                is_damaged = found.is_damaged
                if not found.used:
                    break
        torn = self._sizes[segment] - good
        if is_damaged:
            # How many follow the damage cannot be told; `read` stops there and says so.
            return segment + count + 1
        if torn:
            self._log.warning("cut a torn tail off the spill", segment=segment, bytes=torn)
            os.truncate(self._path(segment), good)
            self._sizes[segment] = good
        if not count:
            self._drop(segment)
        return segment + count

    def _write(self) -> None:
        if self._active is None:
            first = self._next - self._buffered
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
            self._segment_file = os.open(self._path(first), flags, 0o644)
            self._active = first
            self._sizes[first] = 0
            self._sync(self._folder)
        self._is_unsynced = self._fsync
        while self._buffer:
            written = os.write(self._segment_file, self._buffer)
            self._sizes[self._active] += written
            del self._buffer[:written]
        self._buffered = 0
        if self._is_unsynced:
            os.fsync(self._segment_file)
            self._is_unsynced = False

    def _seal(self) -> None:
        if self._active is not None:
            os.close(self._segment_file)
            self._active = None

    def _read_segment(self, most: int) -> Decoded:
        segment, offset, number = msgspec.structs.astuple(self._cursor)
        with FileIO(self._path(segment)) as file:
            found = decode(_read_at(file, offset), most)
        self._cursor = Position(segment, offset + found.used, number + len(found.records))
        return found

    def _next_segment(self) -> None:
        """Go past the end of a closed segment; say so if records were left behind there."""
        segment, offset, number = msgspec.structs.astuple(self._cursor)
        following = min((item for item in self._sizes if item > segment), default=self._next)
        left = self._sizes[segment] - offset
        if left:
            self._damaged.add(segment)
            self._log.error(
                "a segment of the spill is damaged; it is kept aside",
                segment=segment,
                at_byte=offset,
                bytes_left=left,
                records_left=following - number,
            )
        self._cursor = Position(following, 0, following)

    def _drop(self, segment: int) -> None:
        del self._sizes[segment]
        self._path(segment).unlink()

    def _set_aside(self, segment: int) -> None:
        self._damaged.discard(segment)
        self._damaged_bytes += self._sizes.pop(segment)
        self._path(segment).rename(self._path(segment).with_suffix(_DAMAGED))

    def _saved_position(self) -> Position | None:
        try:
            data = (self._folder / "position").read_bytes()
            return msgspec.json.decode(data, type=Position)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            self._log.warning("the spill's position cannot be read", error=str(error))
            return None

    def _save(self, position: Position) -> None:
        draft = self._folder / f"position{_DRAFT}"
        draft.write_bytes(msgspec.json.encode(position))
        self._sync(draft)
        draft.rename(self._folder / "position")
        self._sync(self._folder)

    def _sync(self, path: Path) -> None:
        if self._fsync:
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:020}{_SUFFIX}"


def _read_at(file: FileIO, offset: int) -> bytes:
    file.seek(offset)
    return file.read(_READ_BYTES)
