"""The rebuild job: silver and gold of chosen symbol-days anew from bronze, and what that changed.

Each table goes through the transform that a tick uses, fed with the whole symbol-day instead of what is
new, in the order of a tick. Only rows that differ are written, under the checkpoint that the table has:
a second run writes nothing, and the next tick carries a change on to whatever lies beyond the day.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import msgspec
from dagster import (
    Config,
    MetadataValue,
    OpDefinition,
    OpExecutionContext,
    graph,
    in_process_executor,
    op,
)
from pyarrow import fs
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.assets.describe import POOL, Stopwatch
from crypto_pipeline.assets.gold_assets import GOLD
from crypto_pipeline.assets.increments import Build, Increment, Partitions, nothing
from crypto_pipeline.assets.silver_assets import SILVER
from crypto_pipeline.errors import NothingToRebuildError
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES, Layer, TableSpec
from crypto_pipeline.transforms import rebuilt
from crypto_pipeline.utils import hudi_utils
from shared.lake.timeline import instant_at

_NOWHERE = Partitions(frozenset(), frozenset())


class SymbolDays(Config):
    """What is rebuilt: every one of these days of every one of these symbols."""

    symbols: list[str] = Field(description="Canonical symbols, for example BTCUSDT")
    dates: list[str] = Field(description="UTC days, YYYY-MM-DD")


@dataclass(frozen=True)
class Changes:
    """What a rebuild of one table's day found; `missing` rows stand but do not follow from bronze."""

    new: int = 0
    changed: int = 0
    missing: int = 0


@dataclass(frozen=True)
class WholeDay(Increment):
    """An increment that holds all source rows of one day of some symbols; `until` is the present."""

    parts: Partitions = _NOWHERE

    @property
    def rows(self) -> DataFrame:
        """All source rows of the day."""
        return self.partitions.within(self._source())

    @property
    def partitions(self) -> Partitions:
        """The symbols and the day."""
        return self.parts

    @property
    def row_order(self) -> int:
        """That of a tick which covers what the sources hold: with a greater one, later facts would lose."""
        lake = self.lakehouse.lake
        completions = (
            hudi_utils.latest_completion(lake, part.source) for part in (self, *self.others)
        )
        return sum(int(completed) for completed in completions if completed is not None)

    def table(self, name: str) -> DataFrame | None:
        """Return a whole table; none of silver's, which bronze alone has to speak for."""
        return None if TABLES[name].layer is Layer.SILVER else super().table(name)

    def before(self, span: timedelta) -> DataFrame | None:
        """Return the source rows that were received in a span before the day began."""
        (day,) = self.parts.dates
        eve = date.fromisoformat(day) - timedelta(days=1)
        begin = datetime.fromisoformat(day).replace(tzinfo=UTC) - span
        since = int(begin.timestamp()) * 1_000_000_000
        there = Partitions(self.parts.symbols, frozenset({eve.isoformat()}))
        return there.within(self._source()).where(F.col("received_ns") >= since)

    def _source(self) -> DataFrame:
        return hudi_utils.read(self.lakehouse.spark, self.source, self.lakehouse.lake)


def rebuild_day(
    lakehouse: LakehouseResource, spec: TableSpec, build: Build, symbols: list[str], day: str
) -> Changes | None:
    """Rebuild one day of one table; None where the table or its first source does not exist yet."""
    lake = lakehouse.lake
    checkpoint = hudi_utils.last_checkpoint(lake, spec)
    if checkpoint is None or not hudi_utils.commits(lake, TABLES[spec.sources[0]]):
        return None
    parts = Partitions(frozenset(symbols), frozenset({day}))
    now = instant_at(datetime.now(UTC))
    source, *others = (
        WholeDay(lakehouse, TABLES[name], None, now, (), parts)
        for name in spec.sources
        if hudi_utils.commits(lake, TABLES[name])
    )
    increment = WholeDay(lakehouse, source.source, None, now, tuple(others), parts)
    known = parts.within(hudi_utils.read(lakehouse.spark, spec, lake))
    built = build(increment)
    rows = nothing(lakehouse.spark, spec) if built is None else parts.within(built)
    changes = rebuilt.differing(rows, known, spec)
    counts = {
        row[rebuilt.CHANGE]: row["count"]
        for row in changes.groupBy(rebuilt.CHANGE).count().collect()
    }
    # Most of gold returns what is to be written and not all that stands, so only silver can tell.
    gone = rebuilt.missing(rows, known, spec).count() if spec.layer is Layer.SILVER else 0
    if counts:
        hudi_utils.write(
            changes.drop(rebuilt.CHANGE), spec, lake, msgspec.Raw(checkpoint), increment.notes
        )
    return Changes(counts.get(rebuilt.NEW, 0), counts.get(rebuilt.CHANGED, 0), int(gone))


def check(lake: str, wanted: SymbolDays) -> None:
    """Refuse what cannot be rebuilt, before anything is.

    Raises:
        NothingToRebuildError: a day that is none, or a symbol-day of which bronze holds nothing.
    """
    system, root = hudi_utils.opened(lake)
    bronze = [spec.name for spec in TABLES.values() if spec.layer is Layer.BRONZE]
    for day in wanted.dates:
        try:
            is_day = date.fromisoformat(day).isoformat() == day
        except ValueError:
            is_day = False
        if not is_day:
            raise NothingToRebuildError(f"dates: {day} is no day", "Write it as YYYY-MM-DD.")
        for symbol in wanted.symbols:
            folders = [f"{root}/{name}/symbol={symbol}/date={day}" for name in bronze]
            if all(item.type == fs.FileType.NotFound for item in system.get_file_info(folders)):
                raise NothingToRebuildError(
                    f"{symbol} {day}: bronze holds nothing of it",
                    "`crypto-lake tables` shows which days there are.",
                )
    if not wanted.symbols or not wanted.dates:
        raise NothingToRebuildError("symbols and dates: one is empty", "Name at least one of each.")


@op(description="Refuse what cannot be rebuilt")
def symbol_days(config: SymbolDays, lakehouse: LakehouseResource) -> dict[str, list[str]]:
    """Return the symbols and days to rebuild."""
    check(lakehouse.lake, config)
    return {"symbols": sorted(set(config.symbols)), "dates": sorted(set(config.dates))}


def _rebuild(spec: TableSpec, build: Build) -> OpDefinition:
    @op(name=f"rebuild_{spec.name}", pool=POOL, description=f"Rebuild days of {spec.name}")
    def run(
        context: OpExecutionContext, lakehouse: LakehouseResource, wanted: dict[str, list[str]]
    ) -> dict[str, list[str]]:
        watch = Stopwatch()
        lines, total = [], 0
        for day in wanted["dates"]:
            found = rebuild_day(lakehouse, spec, build, wanted["symbols"], day)
            if found is None:
                lines.append(f"| {day} | no rows yet | | |")
                continue
            context.log.info("%s %s: %s", spec.name, day, found)
            total += found.new + found.changed
            lines.append(f"| {day} | {found.new} | {found.changed} | {found.missing} |")
        head = ["| date | new | changed | not in bronze |", "|---|---|---|---|"]
        context.add_output_metadata(
            {
                "changes": MetadataValue.md("\n".join([*head, *lines])),
                "rows written": total,
                "seconds": watch.seconds,
            }
        )
        return wanted

    return run


_OPS = [_rebuild(TABLES[name], build) for name, build in {**SILVER, **GOLD}.items()]


@graph(description="Silver and gold of chosen symbol-days anew from bronze; writes what differs")
def rebuild() -> None:
    """Chain the tables in the order of a tick."""
    wanted = symbol_days()
    for each in _OPS:
        wanted = each(wanted)


lake_rebuild = rebuild.to_job(
    name="lake_rebuild",
    executor_def=in_process_executor,
    # Years of days take their time; config/dagster.yaml ends a tick much sooner.
    tags={"dagster/max_runtime": str(7 * 24 * 3600)},
)
