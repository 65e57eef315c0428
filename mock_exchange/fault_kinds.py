"""The faults that the mock venue can have, as data: what a scenario file or `POST /faults` says.

Every fault begins `at_s` seconds after the first subscriber (scenario) or after the request (control
port), in one `market` or in all. `streams`, `calls` and `symbols` are shell patterns. A `count` is
of frames or answers as they leave, over all connections; `for_s` is how long it lasts; without either
it lasts until it is lifted. docs/mock_exchange.md has the table of kinds.
"""

from typing import Annotated, Literal

import msgspec

from shared.errors import LakehouseError

_LONGEST_S = 10_000_000  # about 115 days; keeps every time an exact integer of nanoseconds
Seconds = Annotated[float, msgspec.Meta(ge=0, le=_LONGEST_S)]
Lasting = Annotated[float, msgspec.Meta(gt=0, le=_LONGEST_S)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Pattern = Annotated[str, msgspec.Meta(min_length=1)]
CloseCode = Annotated[int, msgspec.Meta(ge=1000, le=4999)]
ErrorStatus = Annotated[int, msgspec.Meta(ge=400, le=599)]


class FaultError(LakehouseError):
    """A fault that cannot be used: the number of its entry, from 1, and what is wrong where."""

    def __init__(self, entry: int, problem: str) -> None:
        super().__init__(f"entry {entry}: {problem}")


class Fault(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """When and in which market."""

    at_s: Seconds = 0.0
    market: Literal["spot", "um", "cm"] | None = None


class StreamFault(Fault, frozen=True, kw_only=True):
    """Which streams, on every connection or on one (its number in `GET /clients`)."""

    streams: Pattern = "*"
    connection: int | None = None


class Drop(StreamFault, frozen=True, kw_only=True, tag="drop"):
    """Reset the TCP connections that carry a matching stream."""


class Close(StreamFault, frozen=True, kw_only=True, tag="close"):
    """Close the connections that carry a matching stream, with a close frame (the 24 h close)."""

    code: CloseCode = 1000
    reason: Annotated[str, msgspec.Meta(max_length=100)] = ""


class ServerShutdown(StreamFault, frozen=True, kw_only=True, tag="server_shutdown"):
    """Send the venue's `serverShutdown` notice, and close those connections later."""

    close_after_s: Seconds = 10.0


class FrameFault(StreamFault, frozen=True, kw_only=True):
    """A fault of the frames themselves."""


class Silence(FrameFault, frozen=True, kw_only=True, tag="silence"):
    """Accept and acknowledge, but deliver nothing; `new_connections` leaves the open ones alone."""

    for_s: Lasting | None = None
    new_connections: bool = False


class Drip(FrameFault, frozen=True, kw_only=True, tag="drip"):
    """Deliver each frame late; the frames of a stream stay in order."""

    delay_ms: Annotated[float, msgspec.Meta(gt=0, le=60_000)]
    for_s: Lasting | None = None


class Skip(FrameFault, frozen=True, kw_only=True, tag="skip"):
    """Lose the next frames."""

    count: Count = 1


class Repeat(FrameFault, frozen=True, kw_only=True, tag="repeat"):
    """Send each of the next frames twice."""

    count: Count = 1


class Reorder(FrameFault, frozen=True, kw_only=True, tag="reorder"):
    """Hold the next frames of the first matching stream to send one, then send them shuffled."""

    count: Annotated[int, msgspec.Meta(ge=2, le=1000)] = 2


class Malform(FrameFault, frozen=True, kw_only=True, tag="malform"):
    """Spoil the next frames: cut short, no JSON at all, or an object where a field's value belongs.

    `field` names the field of `data` that is spoiled; left out, the seed chooses one.
    """

    how: Literal["truncate", "text", "field"] = "truncate"
    field: str | None = None
    count: Count = 1

    def __post_init__(self) -> None:
        if self.field is not None and self.how != "field":
            raise ValueError("`field` needs `how: field`")


class Huge(FrameFault, frozen=True, kw_only=True, tag="huge"):
    """Pad the next frames with an unknown field to a number of bytes."""

    bytes: Annotated[int, msgspec.Meta(ge=1, le=2**26)]
    count: Count = 1


class Snapshot(Fault, frozen=True, kw_only=True, tag="snapshot"):
    """Answer REST `depth` late, or with an older snapshot."""

    symbols: Pattern = "*"
    late_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    stale: bool = False
    count: Count | None = None
    for_s: Lasting | None = None

    def __post_init__(self) -> None:
        if not self.late_s and not self.stale:
            raise ValueError("`late_s` or `stale` must be given")


class RestFailure(Fault, frozen=True, kw_only=True, tag="rest_error"):
    """Refuse REST calls with a status, and with `Retry-After` if given."""

    status: ErrorStatus
    retry_after_s: Annotated[int, msgspec.Meta(ge=0)] | None = None
    calls: Pattern = "*"
    count: Count | None = None
    for_s: Lasting | None = None


class ClockSkew(Fault, frozen=True, kw_only=True, tag="clock_skew"):
    """Shift the answer to `time`, and the event time `E` of what is simulated."""

    ms: Annotated[int, msgspec.Meta(ge=-86_400_000, le=86_400_000)]
    for_s: Lasting | None = None


class Refuse(Fault, frozen=True, kw_only=True, tag="refuse"):
    """Refuse new WebSocket connections with an HTTP status."""

    for_s: Lasting
    status: ErrorStatus = 503


class ArchiveFault(Fault, frozen=True, kw_only=True, tag="archive"):
    """Spoil files of the archive, or their answers.

    `checksum` tells a wrong one, `late` says 404, `cut` hangs up in the middle; `hole` takes lines out
    of the file, `milliseconds` and `microseconds` are the unit of its times. A `count` is of answers
    touched; when a fault of the file itself is over, the file has been replaced.
    """

    how: Literal["checksum", "late", "cut", "hole", "milliseconds", "microseconds"]
    files: Pattern = "*"
    count: Count | None = None
    for_s: Lasting | None = None


AnyFrameFault = Silence | Drip | Skip | Repeat | Reorder | Malform | Huge
AnyFault = (
    Drop
    | Close
    | ServerShutdown
    | AnyFrameFault
    | Snapshot
    | RestFailure
    | ClockSkew
    | Refuse
    | ArchiveFault
)


def decode_faults(document: object) -> list[AnyFault]:
    """Return the faults of a decoded JSON or YAML document: one fault, or a list of them.

    Raises:
        FaultError: the first entry that is no fault, naming the field at fault.
    """
    entries = document if isinstance(document, list) else [document]
    faults: list[AnyFault] = []
    for number, entry in enumerate(entries, 1):
        try:
            faults.append(msgspec.convert(entry, AnyFault))
        except msgspec.ValidationError as error:
            raise FaultError(number, str(error)) from error
    return faults
