"""Missing ranges that only the archive still has: their days come in whole, and each range's end is told."""

from collections.abc import Iterable
from datetime import date

import structlog

from shared.clock import Clock
from shared.market.events import Source, StreamState
from shared.market.id_ranges import IdRanges
from shared.market.instruments import Subscription
from streaming.backfill import Backfill
from streaming.healing import Told, publish_outcome
from streaming.holes import Hole
from streaming.sink import PatientPublisher

_ABSENT = "no good row in the archive's files of its days"


class ArchiveHealer:
    """Brings the days of holes in, each once, whatever is known of them already.

    A range ends when the files of all its days have come. While one of them is not there its range is
    left for another time, and the other days are not brought in for it.

    Args:
        backfill: brings a day in.
        publisher: takes the statuses.
        clock: our time.
        holes: ranges with their days.
    """

    def __init__(
        self, backfill: Backfill, publisher: PatientPublisher, clock: Clock, holes: Iterable[Hole]
    ) -> None:
        self._backfill = backfill
        self._publisher = publisher
        self._clock = clock
        self._holes = list(holes)
        self.missing = sum(hole.ids for hole in self._holes)
        self.healed = 0
        self.unhealable = 0

    async def run(self) -> None:
        """Settle every hole that can be.

        Raises:
            DeliveryError: Kafka did not take a record.
        """
        for subscription in sorted({hole.subscription for hole in self._holes}):
            holes = await self._with_files(subscription)
            files: dict[date, IdRanges] = {}
            for day in sorted({day for hole in holes for day in hole.days}):
                await self._bring(subscription, day, files)
            for hole in holes:
                if files.keys() >= set(hole.days):
                    self._settle(hole, [files[day] for day in hole.days])

    async def _with_files(self, subscription: Subscription) -> list[Hole]:
        """Return a subscription's holes of whose days the archive has all files."""
        holes = [hole for hole in self._holes if hole.subscription == subscription]
        absent = set()
        for day in sorted({day for hole in holes for day in hole.days}):
            reason = await self._backfill.why_absent(subscription, day)
            if reason is not None:
                absent.add(day)
                _postponed(subscription, day, reason)
        return [hole for hole in holes if not absent & set(hole.days)]

    async def _bring(
        self, subscription: Subscription, day: date, files: dict[date, IdRanges]
    ) -> None:
        report, ids = await self._backfill.bring_anew(subscription, day)
        if report.state.is_done:
            files[day] = ids
        else:
            _postponed(subscription, day, report.reason)

    def _settle(self, hole: Hole, files: list[IdRanges]) -> None:
        for told in outcomes(hole, files):
            count = told.last_id - told.first_id + 1
            self.missing -= count
            if told.state is StreamState.HEALED:
                self.healed += count
            else:
                self.unhealable += count
            origin = hole.origin(Source.BINANCE_ARCHIVE)
            publish_outcome(self._publisher, self._clock, origin, told)


def outcomes(hole: Hole, files: Iterable[IdRanges]) -> list[Told]:
    """Return what the ids of a hole's files say of it, lowest first.

    Of one that is not enclosed ids above the last one of the files stay in question: the file of a later
    day may have them.
    """
    held, lost = IdRanges(), IdRanges()
    for first, last in (pair for ids in files for pair in ids):
        held.add(first, last)
        lost.add(min(first, hole.first_id), last)
    if hole.is_enclosed:
        lost.add(hole.first_id, hole.last_id)
    found = held.within(hole.first_id, hole.last_id)
    for first, last in found:
        lost.remove(first, last)
    told = [Told(StreamState.HEALED, "", first, last) for first, last in found]
    told += [
        Told(StreamState.UNHEALABLE, _ABSENT, first, last)
        for first, last in lost.within(hole.first_id, hole.last_id)
    ]
    return sorted(told, key=lambda item: item.first_id)


def _postponed(subscription: Subscription, day: date, reason: str) -> None:
    structlog.get_logger().warning(
        "healing postponed",
        symbol=subscription.instrument.symbol,
        channel=subscription.channel,
        day=day.isoformat(),
        reason=reason,
    )
