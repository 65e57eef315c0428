"""Events to and from the JSON that travels through Kafka; the schema version lives here.

A record is one flat JSON object: the envelope (`schema_version`, `exchange`, `market`, `symbol`,
`venue_symbol`, `channel`, `source`, `connection`, `epoch`, `pipeline_version`, `ingestion_timestamp`)
and the event's own fields, decimals as strings. A raw record ends in `"payload":<frame as received>`.
"""

from typing import Any

import msgspec

from shared.market.events import (
    AggregateTrade,
    BestQuote,
    BookDelta,
    BookSnapshot,
    DeadLetter,
    Event,
    Kline,
    MarkPrice,
    Origin,
    StreamStatus,
    Trade,
    event_type,
)
from shared.market.topics import RAW_EVENT_TYPE

SCHEMA_VERSION = 1
PAYLOAD_MARK = b',"payload":'
_INGESTION_MARK = b',"ingestion_timestamp":'
_RAW_TIMES = b'%%d,"event_type":"%b","received_ns":%%d%b' % (RAW_EVENT_TYPE.encode(), PAYLOAD_MARK)
_encode = msgspec.json.Encoder().encode

_ENVELOPE_ONLY = ("schema_version", "pipeline_version", "ingestion_timestamp")
_EVENT_TYPES: tuple[type[Event], ...] = (
    Trade,
    AggregateTrade,
    BookDelta,
    BookSnapshot,
    BestQuote,
    MarkPrice,
    Kline,
    StreamStatus,
    DeadLetter,
)
_BY_TAG = {event_type(kind): kind for kind in _EVENT_TYPES}


class Envelope:
    """Encodes the records of one origin, whose part of the envelope is encoded once."""

    __slots__ = ("_heads", "_prefix", "_raw_prefix")

    def __init__(self, origin: Origin, pipeline_version: str) -> None:
        fields = {
            "schema_version": SCHEMA_VERSION,
            "pipeline_version": pipeline_version,
            **msgspec.structs.asdict(origin),
        }
        self._prefix = msgspec.json.encode(fields)[:-1]
        self._raw_prefix = self._prefix + _INGESTION_MARK
        self._heads: dict[type[Event], tuple[bytes, int]] = {}

    def typed(self, event: Event, ingestion_us: int) -> bytes:
        """Return an event's Kafka value; `ingestion_us` is our time in µs since the epoch."""
        head, end = self._heads.get(type(event)) or self._head(event)
        return b"".join((head, b"%d" % ingestion_us, _encode(event)[end:]))

    def raw(self, frame: bytes, received_ns: int, ingestion_us: int) -> bytes:
        """Return a raw record: the envelope with the frame spliced in, byte for byte."""
        times = (ingestion_us, received_ns)
        return b"".join((self._raw_prefix, _RAW_TIMES % times, frame, b"}"))

    def _head(self, event: Event) -> tuple[bytes, int]:
        """Return what stands before `ingestion_us`, and where an encoded event's own fields begin.

        {"event_type":"…","origin":{…},"received_ns":… : the nested origin gives way to the prefix.
        """
        encoded = _encode(event)
        start = encoded.index(b'"origin":{')
        head = self._prefix + b"," + encoded[1 : start - 1] + _INGESTION_MARK
        self._heads[type(event)] = head, encoded.index(b"}", start) + 1
        return self._heads[type(event)]


def decode(value: bytes) -> Event:
    """Return the event of a typed Kafka record.

    Raises:
        msgspec.DecodeError: the value is not JSON, or not an event of this schema version.
    """
    record: dict[str, Any] = msgspec.json.decode(value, type=dict[str, Any])
    if record.get("schema_version") != SCHEMA_VERSION:
        raise msgspec.ValidationError(f"schema_version {record.get('schema_version')} is not known")
    kind = _BY_TAG.get(record.get("event_type", ""))
    if kind is None:
        raise msgspec.ValidationError(f"event_type {record.get('event_type')!r} is not known")
    fields = {name: item for name, item in record.items() if name not in _ENVELOPE_ONLY}
    fields["origin"] = {name: fields.pop(name, None) for name in Origin.__struct_fields__}
    return msgspec.convert(fields, kind, strict=True)


def split_raw(value: bytes) -> tuple[dict[str, Any], bytes]:
    """Return a raw record's envelope and the frame as it was received.

    Raises:
        msgspec.DecodeError: the value is no raw record.
    """
    head, mark, payload = value.partition(PAYLOAD_MARK)
    if not mark:
        raise msgspec.ValidationError("a raw record has a payload")
    return msgspec.json.decode(head + b"}", type=dict[str, Any]), payload[:-1]
