"""What a person should look at, as it travels on the topic `alerts`."""

from enum import StrEnum

import msgspec

SCHEMA_VERSION = 1


class AlertKind(StrEnum):
    """What has happened; `FRESH` takes `STALE` back."""

    RUN_FAILED = "run_failed"
    STALE = "stale"
    FRESH = "fresh"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert; `raised_at` is our time, µs since the epoch, `subject` the job or table it is about."""

    kind: AlertKind
    subject: str
    text: str
    raised_at: int
    schema_version: int = SCHEMA_VERSION
