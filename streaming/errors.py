"""The collector's errors.

LakehouseError
└── StreamingError
    ├── DeliveryError     Kafka did not take a record; the service must stop, restart and say so
    └── VenueError        a REST call of the venue failed; carries how long to stay away
"""

from shared.errors import LakehouseError


class StreamingError(LakehouseError):
    """Base of the collector's errors."""


class DeliveryError(StreamingError):
    """A record was not delivered within the delivery time-out, or can never be."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"a record for {topic} was not delivered: {reason}")
        self.topic = topic
        self.reason = reason


class VenueError(StreamingError):
    """A REST call failed; `retry_after_s` is how long the venue wants no more calls."""

    def __init__(self, url: str, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{url}: {reason}")
        self.retry_after_s = retry_after_s
