"""Ranges of ids that a lake lacks, fetched and published as the collector's own healer does.

Each range ends in a status, `healed` or `unhealable`, on `stream-status`; what the exchange has goes to
the topics where it would have come live, with its source: REST, or the archive where REST has it no more.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog

from shared.clock import Clock
from shared.market.events import Source
from shared.market.instruments import Exchange, Market
from shared.market.topics import topic_specs
from shared.settings import Settings
from streaming.archive import Archive
from streaming.archive_healing import ArchiveHealer
from streaming.backfill import Backfill
from streaming.binance_websocket import rest_address
from streaming.day_journal import Journal, sole_user
from streaming.errors import ArchiveBusyError, DeliveryError
from streaming.healing import Healer
from streaming.holes import Hole
from streaming.instrumentation import HealingStats
from streaming.kafka_producer import EventProducer, producer_of
from streaming.rest import RestPool

_LOOK_S = 0.1
# A healer holds so many holes at once, and half of that leaves room for those it makes of one.
_AT_ONCE = 5_000


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
    producer = producer_of(settings, clock)
    await producer.check(spec.name for spec in topic_specs(Exchange.BINANCE))
    work = _Work(settings, clock, producer, list(holes), on_progress)
    reports = asyncio.create_task(producer.run())
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await work.settle()
    finally:
        await work.close()
        reports.cancel()
        undelivered = await producer.close(settings.streaming.shutdown_budget_s)
    if producer.failure is not None:
        raise producer.failure
    if undelivered:
        raise DeliveryError("Kafka", f"{undelivered} records at the end")
    return work.stats


class _Work:
    """A healer for each REST address, one for the archive, and what waits for them."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        producer: EventProducer,
        holes: list[Hole],
        on_progress: Callable[[HealingStats], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._producer = producer
        self._on_progress = on_progress
        self._of_rest = [hole for hole in holes if not hole.days]
        self._waiting = sum(hole.ids for hole in self._of_rest)
        self._healers: dict[str, tuple[RestPool, Healer, asyncio.Task[None]]] = {}
        self._archive = Archive(settings.binance.archive_url, settings.archive_dir)
        journal = Journal(settings.archive_dir)
        backfill = Backfill(self._archive, producer, journal, clock)
        of_archive = [hole for hole in holes if hole.days]
        self._from_archive = ArchiveHealer(backfill, producer, clock, of_archive)

    @property
    def stats(self) -> HealingStats:
        """How it stands."""
        healers = [healer for _, healer, _ in self._healers.values()]
        archive = self._from_archive
        return HealingStats(
            missing=self._waiting
            + archive.missing
            + sum(item.missing + item.left for item in healers),
            healed=archive.healed + sum(item.healed for item in healers),
            unhealable=archive.unhealable + sum(item.unhealable for item in healers),
        )

    async def settle(self) -> None:
        """Return when every range has its outcome, or must wait for its file in the archive."""
        archive = asyncio.create_task(self._ask_archive())
        try:
            await self._ask_rest()
            await archive
        finally:
            archive.cancel()
            await asyncio.wait([archive])
        self._on_progress(self.stats)

    async def _ask_archive(self) -> None:
        if not self._from_archive.missing:
            return
        try:
            with sole_user(self._settings.archive_dir):
                await self._from_archive.run()
        except ArchiveBusyError as error:
            structlog.get_logger().warning("healing postponed", reason=str(error))

    async def _ask_rest(self) -> None:
        """Settle what REST has; a few thousand holes are in hand at once."""
        for start in range(0, len(self._of_rest), _AT_ONCE):
            for hole in self._of_rest[start : start + _AT_ONCE]:
                healer = self._healer(hole.subscription.instrument.market)
                healer.add(hole.origin(Source.BINANCE_REST), hole.first_id, hole.last_id)
                self._waiting -= hole.ids
            while any(healer.missing for _, healer, _ in self._healers.values()):
                self._on_progress(self.stats)
                for _, _, task in self._healers.values():
                    if task.done():
                        task.result()
                await asyncio.sleep(_LOOK_S)

    async def close(self) -> None:
        """End the healers, which tell what they have not told yet, and hang up."""
        for rest, _, task in self._healers.values():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await rest.close()
        await self._archive.close()

    def _healer(self, market: Market) -> Healer:
        url, limits = rest_address(self._settings.binance, market)
        if url not in self._healers:
            rest = RestPool(url, limits, self._clock)
            healer = Healer(rest, self._producer, self._clock)
            task = asyncio.create_task(healer.run(), name=f"healer {url}")
            self._healers[url] = rest, healer, task
        return self._healers[url][1]
