"""Decides what becomes of each frame, answer and connection while faults are active.

Pure: times come in, decisions go out; where choice is random a seed makes it, so a run can be repeated.

| state   | its time comes            | its time or count is over | lifted |
|---------|---------------------------|---------------------------|--------|
| waiting | active (over, if at once) | -                         | gone   |
| active  | -                         | over                      | gone   |
"""

import random
from collections import deque
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from mock_exchange.fault_entry import Connection, Entry
from mock_exchange.fault_kinds import (
    AnyFault,
    AnyFrameFault,
    ArchiveFault,
    ClockSkew,
    Close,
    Drop,
    FrameFault,
    Huge,
    Malform,
    Refuse,
    Reorder,
    Repeat,
    RestFailure,
    ServerShutdown,
    Silence,
    Skip,
    Snapshot,
)
from mock_exchange.outgoing import Outgoing, delayed, padded, spoiled
from mock_exchange.truth import Ids
from shared.market.instruments import Market

_KEPT_OVER = 100


class Abort(msgspec.Struct, frozen=True):
    """Reset a connection."""

    connection: int


class SendClose(msgspec.Struct, frozen=True):
    """Close a connection with a close frame."""

    connection: int
    code: int
    reason: str


class SendNotice(msgspec.Struct, frozen=True):
    """Send a connection the venue's `serverShutdown`."""

    connection: int


Action = Abort | SendClose | SendNotice


class Answer(msgspec.Struct, frozen=True):
    """What becomes of one REST call: refused if `status`, otherwise answered after `delay_s`."""

    status: int | None = None
    retry_after_s: int | None = None
    delay_s: float = 0.0
    is_stale: bool = False


class Faults:
    """The faults that wait, are active, or are over.

    Args:
        seed: decides every random choice.
    """

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)  # noqa: S311 - faults, not secrets
        self._numbers = 0
        self._waiting: list[Entry] = []
        self._active: list[Entry] = []
        self._over: deque[Entry] = deque(maxlen=_KEPT_OVER)
        self.touches_frames = False

    def add(self, faults: Iterable[AnyFault], now_ns: int) -> list[int]:
        """Take faults whose `at_s` counts from now; return their numbers."""
        numbers = []
        for fault in faults:
            self._numbers += 1
            numbers.append(self._numbers)
            self._waiting.append(Entry(self._numbers, fault, now_ns + int(fault.at_s * 1e9)))
        self._waiting.sort(key=lambda entry: entry.due_ns)
        return numbers

    def lift(self) -> int:
        """End all that are active and forget all that wait; return how many. Held frames are lost."""
        count = len(self._waiting) + len(self._active)
        self._waiting.clear()
        for entry in list(self._active):
            self._end(entry)
        return count

    def report(self) -> list[dict[str, Any]]:
        """Return every fault with its state and counters, the last hundred that are over included."""
        return [
            entry.report(state)
            for state, entries in (
                ("over", self._over),
                ("active", self._active),
                ("waiting", self._waiting),
            )
            for entry in entries
        ]

    def next_ns(self) -> int | None:
        """Return when `advance` has something to do, in ns since the epoch; None for never."""
        times = [entry.due_ns for entry in self._waiting[:1]]
        times += [entry.until_ns for entry in self._active if entry.until_ns is not None]
        return min(times, default=None)

    def advance(self, now_ns: int, connections: Collection[Connection]) -> list[Action]:
        """Begin and end what is due; return what that does to connections, in order."""
        actions: list[Action] = []
        while self._waiting and self._waiting[0].due_ns <= now_ns:
            actions += self._begin(self._waiting.pop(0), connections)
        for entry in [entry for entry in self._active if entry.is_past(now_ns)]:
            open_numbers = {connection.number for connection in connections}
            reached = [number for number in entry.targets if number in open_numbers]
            actions += [SendClose(number, 1001, "server shutdown") for number in reached]
            self._end(entry)
        return actions

    def frame(
        self, connection: Connection, stream: str, text: str, ids: Ids | None
    ) -> list[Outgoing]:
        """Return what is sent in place of one frame: itself, nothing, or others."""
        out = [Outgoing(text, ids)]
        for entry in list(self._active):
            fault = entry.fault
            if out and isinstance(fault, FrameFault) and entry.touches(connection, stream):
                out = self._apply(entry, fault, connection, stream, out)
        return out

    def gone(self, connection: Connection) -> None:
        """Forget the frames that are held for a connection that ended."""
        for entry in self._active:
            if entry.held_from is not None and entry.held_from[0] == connection.number:
                entry.release()

    def answer(self, market: Market, call: str, symbol: str) -> Answer:
        """Return what becomes of a REST call; `symbol` may be empty."""
        for entry in list(self._active):
            fault = entry.fault
            if isinstance(fault, RestFailure) and entry.concerns(market, call):
                self._count(entry)
                return Answer(fault.status, fault.retry_after_s)
            if isinstance(fault, Snapshot) and call == "depth" and entry.concerns(market, symbol):
                self._count(entry)
                return Answer(delay_s=fault.late_s, is_stale=fault.stale)
        return Answer()

    def archive(self, market: Market, path: str) -> frozenset[str]:
        """Return how the answer for a file of the archive, or for its checksum, is spoiled."""
        hows = []
        for entry in list(self._active):
            fault = entry.fault
            if isinstance(fault, ArchiveFault) and entry.concerns(market, path):
                is_of_checksum = path.endswith(".CHECKSUM")
                if (
                    is_of_checksum
                    if fault.how == "checksum"
                    else fault.how != "cut" or not is_of_checksum
                ):
                    self._count(entry)
                    hows.append(fault.how)
        return frozenset(hows)

    def refusal(self, market: Market) -> int | None:
        """Return the status that a new connection is refused with; None lets it in."""
        for entry in self._active:
            if isinstance(entry.fault, Refuse) and entry.concerns(market):
                self._count(entry)
                return entry.fault.status
        return None

    def skew_ms(self, market: Market) -> int:
        """Return how far the venue's clock is off, in ms."""
        return sum(
            entry.fault.ms
            for entry in self._active
            if isinstance(entry.fault, ClockSkew) and entry.concerns(market)
        )

    def _begin(self, entry: Entry, connections: Collection[Connection]) -> list[Action]:
        fault = entry.fault
        if not isinstance(fault, Drop | Close | ServerShutdown):
            self._active.append(entry)
            self.touches_frames = self.touches_frames or isinstance(fault, FrameFault)
            return []
        entry.targets = [item.number for item in connections if entry.carries(item)]
        entry.applied = len(entry.targets)
        match fault:
            case Drop():
                self._over.append(entry)
                return [Abort(number) for number in entry.targets]
            case Close():
                self._over.append(entry)
                return [SendClose(number, fault.code, fault.reason) for number in entry.targets]
            case _:
                self._active.append(entry)
                return [SendNotice(number) for number in entry.targets]

    def _end(self, entry: Entry) -> None:
        self._active.remove(entry)
        self._over.append(entry)
        self.touches_frames = any(isinstance(item.fault, FrameFault) for item in self._active)

    def _count(self, entry: Entry) -> None:
        entry.applied += 1
        if entry.left is not None:
            entry.left -= 1
            if entry.left == 0:
                self._end(entry)

    def _apply(
        self,
        entry: Entry,
        fault: AnyFrameFault,
        connection: Connection,
        stream: str,
        out: list[Outgoing],
    ) -> list[Outgoing]:
        match fault:
            case Silence(new_connections=True) if connection.opened_ns < entry.due_ns:
                return out
            case Reorder():
                return self._hold(entry, (connection.number, stream), out)
            case Silence() | Skip():
                out = []
            case Repeat():
                out = [*out, *out]
            case Malform():
                out = [spoiled(fault, item, self._random) for item in out]
            case Huge():
                out = [padded(item, fault.bytes) for item in out]
            case _:
                out = [delayed(item, fault.delay_ms / 1000) for item in out]
        self._count(entry)
        return out

    def _hold(self, entry: Entry, source: tuple[int, str], out: list[Outgoing]) -> list[Outgoing]:
        if entry.held_from not in {None, source}:
            return out
        entry.held_from = source
        entry.held += out
        self._count(entry)
        if entry.left:
            return []
        shuffled = entry.held.copy()
        self._random.shuffle(shuffled)
        # A shuffle may change nothing, and this fault must.
        return shuffled if shuffled != entry.held else [*shuffled[1:], shuffled[0]]
