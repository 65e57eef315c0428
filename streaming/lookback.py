"""Trades that fell between two lives of the collector, found among what Kafka holds.

A process that ends hears nothing until the next one is up, and one that is killed takes along what it
had in memory. The next one knows no ids, but Kafka does: once what was on disk has been delivered and
every stream has spoken, a hole among the latest ids is a loss, and is healed like any other.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from shared.market.codec import decode
from shared.market.events import AggregateTrade, Origin, Trade
from shared.market.id_ranges import IdRanges
from shared.market.instruments import Exchange, Market
from shared.market.numbering import is_fetchable
from shared.market.topics import Feed, topic_name
from shared.settings import KafkaSettings

# Records of a partition looked at that were there at the start: minutes to hours of trades. A stream
# that has none among them is not judged.
_RECORDS = 100_000
_BATCH = 1_000
_ANSWER_S = 10.0
_AGAIN_S = 1.0


class Hole(msgspec.Struct, frozen=True):
    """Ids of one stream that are not in Kafka though later ones are; both ends included."""

    origin: Origin
    first_id: int
    last_id: int


class TradesSeen:
    """The trade ids of each stream that can be fetched by id, whoever published them."""

    def __init__(self) -> None:
        self._streams: dict[tuple[Market, str, str], tuple[Origin, IdRanges]] = {}

    def take(self, value: bytes) -> None:
        """Note one record of the trades topic; what is no trade of ours is passed over."""
        try:
            event = decode(value)
        except msgspec.DecodeError:
            return
        origin = event.origin
        if isinstance(event, Trade | AggregateTrade) and is_fetchable(
            origin.exchange, origin.market, origin.channel
        ):
            key = (origin.market, origin.symbol, origin.channel)
            number = int(event.trade_id)
            self._streams.setdefault(key, (origin, IdRanges()))[1].add(number, number)

    def holes(self) -> Iterator[Hole]:
        """Yield what is missing between the ids seen."""
        for origin, ranges in self._streams.values():
            for (_, last), (first, _) in pairwise(ranges):
                yield Hole(origin, last + 1, first - 1)


class Lookback:
    """Reads the latest trades of one exchange's topic, in a thread of its own."""

    def __init__(self, kafka: KafkaSettings, exchange: Exchange) -> None:
        self._kafka = kafka
        self._topic = topic_name(exchange, Feed.TRADES)
        self._starts: dict[int, int] = {}
        self._log = structlog.get_logger()

    async def begin(self) -> None:
        """Note from where to read; waits until the broker answers."""
        while not self._starts:
            with suppress(KafkaException):
                self._starts = await asyncio.to_thread(self._find_starts)
                return
            await asyncio.sleep(_AGAIN_S)

    async def holes(self) -> list[Hole]:
        """Return what is missing from there to the present end; none if the broker fails."""
        try:
            found = await asyncio.to_thread(self._read)
        except KafkaException as error:
            self._log.warning("trades before the start were not looked at", reason=str(error))
            return []
        ids = sum(hole.last_id - hole.first_id + 1 for hole in found)
        self._log.info("looked at the trades before the start", holes=len(found), ids=ids)
        return found

    def _find_starts(self) -> dict[int, int]:
        consumer = self._consumer()
        try:
            found = consumer.list_topics(self._topic, timeout=_ANSWER_S).topics[self._topic]
            ends = {number: self._ends(consumer, number) for number in found.partitions}
        finally:
            consumer.close()
        return {number: max(low, high - _RECORDS) for number, (low, high) in ends.items()}

    def _read(self) -> list[Hole]:
        seen = TradesSeen()
        consumer = self._consumer()
        try:
            for number, start in self._starts.items():
                low, high = self._ends(consumer, number)
                place = max(low, start)
                consumer.assign([TopicPartition(self._topic, number, place)])
                while place < high:
                    batch = consumer.consume(_BATCH, timeout=_ANSWER_S)
                    if not batch:
                        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - librdkafka's name
                    for message in batch:
                        seen.take(message.value() or b"")
                        place = (message.offset() or 0) + 1
        finally:
            consumer.close()
        return list(seen.holes())

    def _ends(self, consumer: Consumer, number: int) -> tuple[int, int]:
        place = TopicPartition(self._topic, number)
        low, high = consumer.get_watermark_offsets(place, timeout=_ANSWER_S)
        return low, high

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._kafka.bootstrap_servers,
                "group.id": "crypto-stream-lookback",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
