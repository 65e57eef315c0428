"""Which Kafka offsets a commit covers: pure arithmetic.

Offsets are `{topic: {partition: offset}}`; an end is exclusive, as Kafka and Spark count.
"""

from dataclasses import dataclass

import msgspec

Offsets = dict[str, dict[int, int]]


class LostRange(msgspec.Struct, frozen=True):
    """Offsets `start` to `end` (exclusive) that the broker no longer holds."""

    topic: str
    partition: int
    start: int
    end: int


class BronzeCheckpoint(msgspec.Struct, frozen=True):
    """What one bronze commit covers: from `start` to `end`, and what was lost before `start`."""

    start: Offsets
    end: Offsets
    lost: list[LostRange] = []

    @property
    def span(self) -> int:
        """How many offsets lie between start and end."""
        return sum(
            end - self.start[topic][partition]
            for topic, partitions in self.end.items()
            for partition, end in partitions.items()
            if partition in self.start.get(topic, {})
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read and nothing to report."""
        return self.span == 0 and not self.lost


@dataclass(frozen=True)
class Watermarks:
    """What the broker holds: earliest offset and exclusive end per partition."""

    earliest: Offsets
    end: Offsets


def next_range(last: Offsets, broker: Watermarks, max_records: int) -> BronzeCheckpoint:
    """Return what to read after `last`, at most about `max_records`, oldest first per partition.

    A partition never read starts at its earliest offset. Committed offsets that the broker has
    expired become a lost range. A committed offset beyond the broker's end (a recreated topic)
    counts as expired too: reading starts at the earliest.
    """
    start: Offsets = {}
    lost: list[LostRange] = []
    for topic, partitions in broker.earliest.items():
        start[topic] = {}
        for partition, earliest in partitions.items():
            end = broker.end[topic][partition]
            committed = last.get(topic, {}).get(partition, earliest)
            if committed < earliest:
                lost.append(LostRange(topic, partition, committed, earliest))
            is_held = earliest <= committed <= end
            start[topic][partition] = committed if is_held else earliest
    waiting = sum(
        broker.end[topic][partition] - offset
        for topic, partitions in start.items()
        for partition, offset in partitions.items()
    )
    share = min(1.0, max_records / waiting) if waiting else 1.0
    end_of: Offsets = {}
    for topic, partitions in start.items():
        end_of[topic] = {}
        for partition, offset in partitions.items():
            held = broker.end[topic][partition] - offset
            end_of[topic][partition] = offset + (held if share >= 1 else int(held * share) + 1)
            end_of[topic][partition] = min(end_of[topic][partition], broker.end[topic][partition])
    # Topics that the broker lacks at the moment keep their place.
    for topic, partitions in last.items():
        if topic not in end_of:
            start[topic], end_of[topic] = dict(partitions), dict(partitions)
    return BronzeCheckpoint(start, end_of, lost)


def still_held(covered: BronzeCheckpoint, broker: Watermarks) -> BronzeCheckpoint:
    """Return what can be read again of a range that was read before; `lost` is what expired since.

    A topic or an end that the broker has no more (a recreated topic) counts as expired too.
    Partitions that came meanwhile are named with nothing to read, for Spark wants all of a topic.
    """
    start: Offsets = {}
    end: Offsets = {}
    lost: list[LostRange] = []
    for topic, partitions in broker.earliest.items():
        if topic in covered.end:
            start[topic], end[topic] = dict(partitions), dict(partitions)
    for topic, partitions in covered.end.items():
        for partition, until in partitions.items():
            first = covered.start[topic][partition]
            earliest = broker.earliest.get(topic, {}).get(partition, until)
            # Below the range's end, the broker's end tells of another topic of that name.
            is_same = until <= broker.end.get(topic, {}).get(partition, until)
            held = min(max(first, earliest), until) if is_same else until
            if held > first:
                lost.append(LostRange(topic, partition, first, held))
            if held < until:
                start[topic][partition], end[topic][partition] = held, until
    return BronzeCheckpoint(start, end, lost)


def spark_offsets(offsets: Offsets, topics: list[str]) -> str:
    """Return offsets in the JSON form of Spark's `startingOffsets` and `endingOffsets`."""
    wanted = {
        topic: {str(partition): offset for partition, offset in offsets[topic].items()}
        for topic in topics
    }
    return msgspec.json.encode(wanted).decode()
