"""Past days from the venue's archive into Kafka, one after the other, resumable.

A day is done when Kafka has acknowledged its last record; then it is written to the journal and its file
is deleted. A run that is killed begins the day it was at anew: its keys are the venue's, so silver holds
each row once. A day that cannot be brought in keeps none of the others from it.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import date, timedelta

import msgspec

from shared.clock import Clock
from shared.market.id_ranges import IdRanges
from shared.market.instruments import Exchange, Subscription
from shared.market.topics import topic_specs
from shared.settings import Settings
from streaming.archive import Archive, pieces
from streaming.day_journal import DayReport, DayState, Journal, sole_user
from streaming.errors import ArchiveError, ArchiveFault
from streaming.exchanges.binance_archive import (
    ArchiveDay,
    DaySummary,
    UnknownColumnsError,
    archive_origin,
    file_path,
)
from streaming.kafka_producer import EventProducer, producer_of


class Backfill:
    """Brings days in and says what became of each.

    Args:
        archive: where files come from.
        producer: where events go; started and closed by the caller.
        journal: of the days that are done.
        clock: our time, for `received_ns`.
        checks_again: whether days that are done are brought in again where the venue has replaced
            their file.
        on_rows: told how many rows were published.
    """

    def __init__(
        self,
        archive: Archive,
        producer: EventProducer,
        journal: Journal,
        clock: Clock,
        checks_again: bool = False,
        on_rows: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._archive = archive
        self._producer = producer
        self._journal = journal
        self._clock = clock
        self._checks_again = checks_again
        self._on_rows = on_rows

    async def bring(self, subscription: Subscription, day: date) -> DayReport:
        """Bring one day of one channel in.

        Raises:
            DeliveryError: Kafka did not take a record; the day is not done.
        """
        known = self._journal.get(subscription.instrument, subscription.channel, day)
        if known is not None and not self._checks_again:
            return msgspec.structs.replace(known, state=DayState.KNOWN)
        report, _ = await self._fetch(subscription, day, known.sha256 if known else "")
        if known is not None and report.state is DayState.KNOWN:
            return msgspec.structs.replace(known, state=DayState.KNOWN)
        return report

    async def why_absent(self, subscription: Subscription, day: date) -> str | None:
        """Return why the archive cannot give a day's file now, None if it tells the checksum of one."""
        try:
            await self._archive.checksum(
                file_path(subscription.instrument, subscription.channel, day)
            )
        except ArchiveError as error:
            return error.reason
        return None

    async def bring_anew(self, subscription: Subscription, day: date) -> tuple[DayReport, IdRanges]:
        """Bring a day in whatever is known of it; also returns the ids whose events were published.

        Raises:
            DeliveryError: Kafka did not take a record; the day is not done.
        """
        return await self._fetch(subscription, day, "")

    async def _fetch(
        self, subscription: Subscription, day: date, known_digest: str
    ) -> tuple[DayReport, IdRanges]:
        instrument, channel = subscription.instrument, subscription.channel
        report = DayReport(
            market=instrument.market,
            symbol=instrument.symbol,
            channel=channel,
            day=day,
            state=DayState.BROUGHT,
        )
        path = file_path(instrument, channel, day)
        try:
            digest = await self._archive.checksum(path)
            if digest == known_digest:
                return msgspec.structs.replace(report, state=DayState.KNOWN), IdRanges()
            return await self._publish(subscription, report, path, digest)
        except ArchiveError as error:
            state = DayState(error.fault)
            return msgspec.structs.replace(report, state=state, reason=error.reason), IdRanges()

    async def _publish(
        self, subscription: Subscription, report: DayReport, path: str, digest: str
    ) -> tuple[DayReport, IdRanges]:
        began_ns = self._clock.now_ns()
        file, digest = await self._archive.fetch(path, digest)
        origin = archive_origin(subscription.instrument, subscription.channel)
        day = ArchiveDay(origin, report.day, self._clock.now_ns())
        try:
            for piece in pieces(file, path):
                await self._send(day, piece)
            self._producer.publish(day.finish())
        except UnknownColumnsError as error:
            raise ArchiveError(path, ArchiveFault.UNREADABLE, str(error)) from error
        await self._producer.acknowledged()
        content = day.summary
        done = msgspec.structs.replace(
            report,
            sha256=digest,
            seconds=round((self._clock.now_ns() - began_ns) / 1e9, 3),
            missing_before=self._missing_before(subscription, report.day, content),
            content=content,
        )
        self._journal.add(done)
        file.unlink()
        return done, day.published

    async def _send(self, day: ArchiveDay, piece: bytes) -> None:
        events = day.feed(piece)
        self._producer.publish(events)
        self._on_rows(len(events))
        if self._producer.is_full:
            await self._producer.drained()
        else:
            await asyncio.sleep(0)
        if self._producer.failure is not None:
            raise self._producer.failure

    def _missing_before(self, subscription: Subscription, day: date, content: DaySummary) -> int:
        """Return how many ids lie between the day before and this one."""
        before = self._journal.get(
            subscription.instrument, subscription.channel, day - timedelta(days=1)
        )
        last = before.content.last_id if before is not None and before.content else None
        if content.missing is None or last is None or content.first_id is None:
            return 0
        # One aggregate may stand in both.
        return max(0, content.first_id - last - 1)


async def bring_days(
    settings: Settings,
    clock: Clock,
    subscriptions: Iterable[Subscription],
    days: Iterable[date],
    checks_again: bool,
    on_day: Callable[[DayReport], None],
    on_rows: Callable[[int], None],
) -> None:
    """Bring in days of channels, oldest day first, and tell what became of each.

    Raises:
        ArchiveBusyError: another backfill is at work.
        BrokerError: Kafka does not answer.
        ConfigurationError: a topic is missing, or the data folder cannot be used.
        DeliveryError: a record could not be delivered.
    """
    streaming = settings.streaming
    with sole_user(settings.archive_dir):
        producer = producer_of(settings, clock)
        await producer.check(spec.name for spec in topic_specs(Exchange.BINANCE))
        archive = Archive(settings.binance.archive_url, settings.archive_dir)
        journal = Journal(settings.archive_dir)
        work = Backfill(archive, producer, journal, clock, checks_again, on_rows)
        try:
            for day in days:
                for subscription in subscriptions:
                    on_day(await work.bring(subscription, day))
        finally:
            await archive.close()
            await producer.close(streaming.shutdown_budget_s)
