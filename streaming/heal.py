"""Ranges of ids that a lake lacks, fetched over REST and published as the collector's own healer does.

Each range ends in a status, `healed` or `unhealable`, on `stream-status`; what the exchange has goes to
the topics where it would have come live, with its source.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from shared.clock import Clock
from shared.errors import ConfigurationError
from shared.market.events import Origin, Source
from shared.market.instruments import Exchange, Market
from shared.market.topics import topic_specs
from shared.settings import Settings
from shared.symbol_manager import SymbolBook
from streaming.binance_websocket import rest_address
from streaming.errors import DeliveryError
from streaming.healing import Healer
from streaming.instrumentation import HealingStats
from streaming.kafka_producer import EventProducer
from streaming.rest import RestPool

_CONNECTION = "heal"
_LOOK_S = 0.1
# A healer holds so many holes at once, and half of that leaves room for those it makes of one.
_AT_ONCE = 5_000


class MissingRange(msgspec.Struct, frozen=True):
    """A line of input: ids that are missing, both ends included."""

    exchange: Exchange
    market: Market
    symbol: str
    channel: str
    first_id: int
    last_id: int


@dataclass(frozen=True)
class Hole:
    """A range, and where its events would come from."""

    origin: Origin
    first_id: int
    last_id: int


def read_holes(lines: Iterable[str], name: str, symbols: SymbolBook) -> list[Hole]:
    """Read ranges, one JSON object a line; empty lines are passed over.

    Args:
        lines: `{"exchange", "market", "symbol", "channel", "first_id", "last_id"}` each.
        name: what a message calls the input.
        symbols: tells what the exchange calls a symbol.

    Raises:
        ConfigurationError: naming the line that is no range, or is of a symbol that is not listed.
    """
    listed = {
        (item.exchange, item.market, item.symbol): item.venue_symbol
        for item in symbols.instruments()
    }
    return [
        _hole(line, f"{name}, line {number}", listed)
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def _hole(line: str, where: str, listed: Mapping[tuple[Exchange, Market, str], str]) -> Hole:
    try:
        found = msgspec.json.decode(line, type=MissingRange)
    except msgspec.DecodeError as error:
        remedy = "Give a JSON object of exchange, market, symbol, channel, first_id, last_id."
        raise ConfigurationError(where, str(error), remedy) from error
    if not 0 <= found.first_id <= found.last_id:
        problem = f"first_id {found.first_id}, last_id {found.last_id}"
        raise ConfigurationError(where, problem, "Give the lower id first, 0 at least.")
    venue_symbol = listed.get((found.exchange, found.market, found.symbol))
    if venue_symbol is None:
        problem = f"{found.exchange} {found.market} {found.symbol} is not in the symbols file"
        raise ConfigurationError(where, problem, "List it, disabled if need be.")
    origin = Origin(
        exchange=found.exchange,
        market=found.market,
        symbol=found.symbol,
        venue_symbol=venue_symbol,
        channel=found.channel,
        source=Source.BINANCE_REST,
        connection=_CONNECTION,
        epoch=0,
    )
    return Hole(origin, found.first_id, found.last_id)


async def heal(
    settings: Settings,
    clock: Clock,
    holes: Iterable[Hole],
    within_s: float,
    on_progress: Callable[[HealingStats], None],
) -> HealingStats:
    """Fetch and publish what is missing; returns ids healed, unhealable, and still missing.

    Args:
        settings: the exchange's addresses, the broker, the version that records carry.
        clock: our time.
        holes: what is missing.
        within_s: when to give up on what is not settled by then, in seconds.
        on_progress: told how it stands, now and then.

    Raises:
        BrokerError: Kafka does not answer.
        DeliveryError: a record could not be delivered.
    """
    producer = _producer(settings, clock)
    await producer.check(spec.name for spec in topic_specs(Exchange.BINANCE))
    work = _Work(settings, clock, producer, on_progress)
    reports = asyncio.create_task(producer.run())
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await work.settle(list(holes))
    finally:
        await work.close()
        reports.cancel()
        undelivered = await producer.close(settings.streaming.shutdown_budget_s)
    if producer.failure is not None:
        raise producer.failure
    if undelivered:
        raise DeliveryError("Kafka", f"{undelivered} records at the end")
    return work.stats


def _producer(settings: Settings, clock: Clock) -> EventProducer:
    streaming = settings.streaming
    return EventProducer(
        settings.kafka,
        streaming.pipeline_version,
        clock,
        streaming.high_water_frames,
        streaming.low_water_frames,
    )


class _Work:
    """A healer for each REST address, and what waits for them."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        producer: EventProducer,
        on_progress: Callable[[HealingStats], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._producer = producer
        self._on_progress = on_progress
        self._waiting = 0
        self._healers: dict[str, tuple[RestPool, Healer, asyncio.Task[None]]] = {}

    @property
    def stats(self) -> HealingStats:
        """How it stands."""
        healers = [healer for _, healer, _ in self._healers.values()]
        return HealingStats(
            missing=self._waiting + sum(healer.missing for healer in healers),
            healed=sum(healer.healed for healer in healers),
            unhealable=sum(healer.unhealable for healer in healers),
        )

    async def settle(self, holes: list[Hole]) -> None:
        """Return when every range has its outcome; a few thousand are in hand at once."""
        self._waiting = sum(hole.last_id - hole.first_id + 1 for hole in holes)
        for start in range(0, len(holes), _AT_ONCE):
            for hole in holes[start : start + _AT_ONCE]:
                self._healer(hole.origin.market).add(hole.origin, hole.first_id, hole.last_id)
                self._waiting -= hole.last_id - hole.first_id + 1
            while self.stats.missing > self._waiting:
                self._on_progress(self.stats)
                for _, _, task in self._healers.values():
                    if task.done():
                        task.result()
                await asyncio.sleep(_LOOK_S)
        self._on_progress(self.stats)

    async def close(self) -> None:
        """End the healers, which tell what they have not told yet, and hang up."""
        for rest, _, task in self._healers.values():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await rest.close()

    def _healer(self, market: Market) -> Healer:
        url, limits = rest_address(self._settings.binance, market)
        if url not in self._healers:
            rest = RestPool(url, limits, self._clock)
            healer = Healer(rest, self._producer, self._clock)
            task = asyncio.create_task(healer.run(), name=f"healer {url}")
            self._healers[url] = rest, healer, task
        return self._healers[url][1]
