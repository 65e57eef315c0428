"""The collector's errors.

LakehouseError
└── StreamingError
    ├── ArchiveBusyError  another program brings days in; wait for its end
    ├── ArchiveError      a day's file of the archive cannot be brought in; the other days can
    ├── BrokerError       Kafka does not answer; the supervisor starts us again later
    ├── DeliveryError     Kafka did not take a record; the service must stop, restart and say so
    ├── RecordingStoppedError  a disk refuses what `record` writes
    ├── ServiceError      no collector answers where `status` asks
    └── VenueError        a REST call of the venue failed; the protocol decides when to ask again
"""

from enum import StrEnum
from http import HTTPStatus

from shared.errors import LakehouseError


class StreamingError(LakehouseError):
    """Base of the collector's errors."""


class ArchiveBusyError(StreamingError):
    """Another backfill or healing brings days in."""

    def __init__(self, folder: str) -> None:
        super().__init__(f"another backfill or healing works in {folder}. Wait for it to end.")
        self.folder = folder


class ArchiveFault(StrEnum):
    """Why a day's file cannot be brought in."""

    ABSENT = "absent"
    CHECKSUM = "bad checksum"
    UNREACHABLE = "unreachable"
    UNREADABLE = "unreadable"


class ArchiveError(StreamingError):
    """A day's file is not there, not what its checksum says, or not what can be read."""

    def __init__(self, path: str, fault: ArchiveFault, reason: str) -> None:
        super().__init__(f"{path}: {fault}: {reason}")
        self.path = path
        self.fault = fault
        self.reason = reason


class BrokerError(StreamingError):
    """No broker answers at the bootstrap address."""

    def __init__(self, bootstrap_servers: str, reason: str) -> None:
        super().__init__(
            f"no Kafka broker answers at {bootstrap_servers} ({reason}). Start it, or set"
            " CRYPTO_KAFKA__BOOTSTRAP_SERVERS."
        )
        self.bootstrap_servers = bootstrap_servers


class DeliveryError(StreamingError):
    """A record was not delivered within the delivery time-out, or can never be."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"a record for {topic} was not delivered: {reason}")
        self.topic = topic
        self.reason = reason


class RecordingStoppedError(StreamingError):
    """The recording's disk refuses."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"recording has stopped: {reason}. Free the disk, or choose another --dir."
        )
        self.reason = reason


class ServiceError(StreamingError):
    """No collector answers at its HTTP port."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"no collector answers at {url} ({reason}). Start it with crypto-stream run, or set"
            " CRYPTO_STREAMING__HTTP_PORT."
        )
        self.url = url


class VenueError(StreamingError):
    """A REST call failed or was refused; `status` is the HTTP status, None where none came."""

    def __init__(self, url: str, reason: str, status: int | None = None) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason
        self.status = status

    @property
    def is_outage(self) -> bool:
        """Whether the venue is away or in trouble, so that the same call may do later."""
        return self.status is None or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
