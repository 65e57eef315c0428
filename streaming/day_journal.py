"""What became of each day of a backfill, and which days are done for good."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from enum import StrEnum
from pathlib import Path

import msgspec

from shared.errors import ConfigurationError
from shared.market.instruments import Instrument, Market
from streaming.errors import ArchiveBusyError
from streaming.exchanges.binance_archive import DaySummary


class DayState(StrEnum):
    """What became of a day: brought in by this run or one before, or why it was not."""

    BROUGHT = "brought"
    KNOWN = "known"
    ABSENT = "absent"
    CHECKSUM = "bad checksum"
    UNREACHABLE = "unreachable"
    UNREADABLE = "unreadable"

    @property
    def is_done(self) -> bool:
        """Whether Kafka has the day."""
        return self in {DayState.BROUGHT, DayState.KNOWN}


class DayReport(msgspec.Struct, frozen=True, kw_only=True):
    """One day of one channel.

    `missing_before` counts the ids between the day before, where that is known, and this one.
    """

    market: Market
    symbol: str
    channel: str
    day: date
    state: DayState
    reason: str = ""
    sha256: str = ""
    seconds: float = 0.0
    missing_before: int = 0
    content: DaySummary | None = None

    @property
    def key(self) -> tuple[Market, str, str, date]:
        """What tells it apart."""
        return self.market, self.symbol, self.channel, self.day


class Journal:
    """The days that are done, a JSON line each, in a file that survives a kill."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "finished.jsonl"
        self._known: dict[tuple[Market, str, str, date], DayReport] = {}
        lines = self._path.read_bytes().split(b"\n") if self._path.exists() else []
        for line in filter(None, lines):
            try:
                report = msgspec.json.decode(line, type=DayReport)
            except msgspec.DecodeError:
                continue  # Cut by a kill: the day is brought in again.
            self._known[report.key] = report

    def get(self, instrument: Instrument, channel: str, day: date) -> DayReport | None:
        """Return what is known of a day that is done."""
        return self._known.get((instrument.market, instrument.symbol, channel, day))

    def add(self, report: DayReport) -> None:
        """Write a day down; on the disk when this returns.

        Raises:
            ConfigurationError: the disk refuses.
        """
        self._known[report.key] = report
        with usable(self._path.parent), self._path.open("ab") as file:
            # The line break in front ends a line that a kill has cut.
            file.write(b"\n" + msgspec.json.encode(report) + b"\n")
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Translate what the disk refuses.

    Raises:
        ConfigurationError: naming the folder and the disk's reason.
    """
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            "CRYPTO_PATHS__DATA_DIR",
            f"{folder} cannot be used ({error.strerror})",
            "Free the disk, or choose another folder.",
        ) from error


@contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Keep other backfills out of a folder.

    Raises:
        ArchiveBusyError: another one is there.
        ConfigurationError: it cannot be written.
    """
    with usable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ArchiveBusyError(str(folder)) from error
        yield
    finally:
        os.close(lock)
