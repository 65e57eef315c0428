"""The bytes of a spilled record: a head that can be trusted by itself, then the body it describes.

| field         | bytes | holds                                              |
|---------------|-------|----------------------------------------------------|
| length        | 4     | bytes of the body                                  |
| body check    | 4     | CRC-32 of the body                                 |
| head check    | 4     | CRC-32 of the two fields above                     |
| body          |       | length of topic and key (2 each), topic, key, value |

All numbers are little-endian. The head has a check of its own because a damaged length would
otherwise look like a record that was cut off, and all that follows it would be taken for missing.
"""

import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

_HEAD = struct.Struct("<II")
_CHECK = struct.Struct("<I")
_NAMES = struct.Struct("<HH")
_BODY_AT = _HEAD.size + _CHECK.size


class Record(NamedTuple):
    """One Kafka record, in the order that producing it wants."""

    topic: str
    value: bytes
    key: bytes


class Decoded(NamedTuple):
    """What a piece of a segment holds.

    `used` is where the first byte stands that belongs to no whole record; `is_damaged` says that
    the record there fails its check, otherwise it only is not complete.
    """

    records: list[Record]
    used: int
    is_damaged: bool


def encode(record: Record) -> bytes:
    """Return a record's bytes."""
    topic = record.topic.encode()
    names = _NAMES.pack(len(topic), len(record.key))
    body = b"".join((names, topic, record.key, record.value))
    head = _HEAD.pack(len(body), zlib.crc32(body))
    return b"".join((head, _CHECK.pack(zlib.crc32(head)), body))


def encode_all(records: Iterable[Record]) -> bytes:
    """Return the bytes of records in a row."""
    return b"".join(map(encode, records))


def decode(data: bytes, most: int) -> Decoded:
    """Return at most `most` records from the start of `data`."""
    records: list[Record] = []
    at = 0
    while len(records) < most and len(data) - at >= _BODY_AT:
        length, check = _HEAD.unpack_from(data, at)
        (head_check,) = _CHECK.unpack_from(data, at + _HEAD.size)
        if zlib.crc32(data[at : at + _HEAD.size]) != head_check or length < _NAMES.size:
            return Decoded(records, at, is_damaged=True)
        end = at + _BODY_AT + length
        if end > len(data):
            break
        body = data[at + _BODY_AT : end]
        if zlib.crc32(body) != check:
            return Decoded(records, at, is_damaged=True)
        records.append(_record(body))
        at = end
    return Decoded(records, at, is_damaged=False)


def _record(body: bytes) -> Record:
    topic_length, key_length = _NAMES.unpack_from(body)
    key_at = _NAMES.size + topic_length
    value_at = key_at + key_length
    return Record(body[_NAMES.size : key_at].decode(), body[value_at:], body[key_at:value_at])
