"""The step that silver and gold share: what is new upstream, transformed, into one commit."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, Self

import msgspec
from dagster import MaterializeResult
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crypto_pipeline.assets.describe import Stopwatch, idle, written
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES, TableSpec
from crypto_pipeline.utils import hudi_utils

# That an increment says nothing is not written down at once: a commit costs more than a few looks.
_LOOKED_AT_AGAIN = 20
_INSTANT = "%Y%m%d%H%M%S%f"


class SourceCheckpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """Completion time of the last source commit that a table's commit covers, and of its other sources."""

    source: str
    until: str
    others: dict[str, str] = {}


@dataclass(frozen=True)
class Partitions:
    """The symbols and days that an increment touches; files are pruned by them."""

    symbols: frozenset[str]
    dates: frozenset[str]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Self:
        """Return the least that holds these (symbol, date)."""
        listed = list(pairs)
        return cls(frozenset(symbol for symbol, _ in listed), frozenset(day for _, day in listed))

    def near(self, reach_days: int) -> list[str]:
        """Return these days and as many before and after."""
        days = [date.fromisoformat(text) for text in self.dates]
        reach = range(-reach_days, reach_days + 1)
        return sorted(
            {(day + timedelta(days=number)).isoformat() for day in days for number in reach}
        )

    def within(self, table: DataFrame, reach_days: int = 0) -> DataFrame:
        """Return a table's rows of these symbols, on these days and as many before and after."""
        is_near = F.col("date").isin(self.near(reach_days))
        return table.where(F.col("symbol").isin(sorted(self.symbols)) & is_near)


@dataclass(frozen=True)
class Increment:
    """Source rows completed after `after` (None: from the beginning) up to `until`."""

    lakehouse: LakehouseResource
    source: TableSpec
    after: str | None
    until: str
    others: tuple["Increment", ...] = ()
    notes: dict[str, Any] = field(default_factory=dict, kw_only=True)
    """What the commit is to carry beside its checkpoint; `Build` may add to it."""
    write: dict[str, bool] = field(default_factory=dict, kw_only=True)
    """What `hudi_utils.write` may know of the rows; `Build` may add to it."""

    @property
    def rows(self) -> DataFrame:
        """The new source rows."""
        return self._since(self.after)

    @property
    def row_order(self) -> int:
        """A number that grows from commit to commit: the sources' completion times, added."""
        return int(self.until) + sum(int(other.until) for other in self.others)

    @property
    def unread_commits(self) -> float:
        """How many commits it covers of the source with the most; from the beginning on, endlessly many."""
        if self.after is None:
            return math.inf
        known = hudi_utils.commits(self.lakehouse.lake, self.source)
        own = sum(self.after < commit.completed <= self.until for commit in known)
        return max(own, *(other.unread_commits for other in self.others), 0)

    @cached_property
    def partitions(self) -> Partitions:
        """The partitions of the new rows of all sources; from the timeline alone where it reaches."""
        pairs = {pair for part in (self, *self.others) for pair in part.pairs()}
        return Partitions.of(pairs)

    @property
    def everything(self) -> DataFrame:
        """All rows of the source, with `is_new`: whether this increment brings them."""
        lakehouse = self.lakehouse
        return hudi_utils.read_marked(lakehouse.spark, self.source, lakehouse.lake, self.after)

    def whole(self, reach_days: int = 0) -> DataFrame:
        """Return the source's rows, old and new, in and around the new rows' partitions."""
        return self.partitions.within(self.everything, reach_days)

    def around(
        self, name: str, reach_days: int = 0, parts: Partitions | None = None
    ) -> DataFrame | None:
        """Return a table's rows in and around the new rows' partitions, or others; None without a table."""
        table = self.table(name)
        return None if table is None else (parts or self.partitions).within(table, reach_days)

    def shared(self, name: str, build: Callable[[], DataFrame]) -> DataFrame:
        """Return what `build` makes of this increment, once for all tables that are as far behind."""
        return self.lakehouse.shared(name, f"{self.after}_{self.until}", build)

    def before(self, span: timedelta) -> DataFrame | None:
        """Return the source rows of the commits that completed in a span before this increment."""
        if self.after is None:
            return None
        # Hudi writes milliseconds; %f reads them as a fraction of a second.
        start = datetime.strptime(self.after, _INSTANT) - span  # noqa: DTZ007 - only ever subtracted
        begin = start.strftime(_INSTANT)[:17]
        lakehouse = self.lakehouse
        return hudi_utils.read_since(
            lakehouse.spark, self.source, lakehouse.lake, begin, self.after
        )

    def table(self, name: str) -> DataFrame | None:
        """Return a whole table, None while it does not exist."""
        spec = TABLES[name]
        if not hudi_utils.commits(self.lakehouse.lake, spec):
            return None
        return hudi_utils.read(self.lakehouse.spark, spec, self.lakehouse.lake)

    def pairs(self) -> set[tuple[str, str]]:
        """Return (symbol, date) of the new rows of the first source."""
        lake, source = self.lakehouse.lake, self.source
        known = hudi_utils.commits(lake, source)
        if self.after is None or known[-1].completed > self.after:
            rows = self.rows.select("symbol", "date").distinct().collect()
            return {(row["symbol"], row["date"]) for row in rows}
        return hudi_utils.partitions_of_news(lake, source, self.after, self.until)

    def _since(self, after: str | None) -> DataFrame:
        lakehouse = self.lakehouse
        return hudi_utils.read_since(
            lakehouse.spark, self.source, lakehouse.lake, after, self.until
        )


Build = Callable[[Increment], DataFrame | None]
"""Returns the rows that an increment calls for; None where it says nothing of the table."""


def advance(lakehouse: LakehouseResource, spec: TableSpec, build: Build) -> MaterializeResult[None]:
    """Bring a table up to its sources' newest commits; idle sources cost no Spark job."""
    watch = Stopwatch()
    text = hudi_utils.last_checkpoint(lakehouse.lake, spec)
    last = msgspec.json.decode(text, type=SourceCheckpoint) if text else None
    covered = _newest(lakehouse, spec)
    if covered is None or covered == last:
        return idle(watch)
    after = {} if last is None else {last.source: last.until, **last.others}
    others = tuple(
        Increment(lakehouse, TABLES[name], after.get(name), until)
        for name, until in covered.others.items()
    )
    source = TABLES[covered.source]
    increment = Increment(lakehouse, source, after.get(source.name), covered.until, others)
    # A transform may name one of Spark's functions before it reads, and without a session there are none.
    spark = lakehouse.spark
    rows = build(increment)
    if rows is None:
        if increment.unread_commits < _LOOKED_AT_AGAIN:
            return idle(watch)
        rows = nothing(spark, spec)
    report = hudi_utils.write(
        rows, spec, lakehouse.lake, covered, increment.notes, **increment.write
    )
    return written(lakehouse.lake, spec, report, watch, {"source commit": covered.until})


def nothing(spark: SparkSession, spec: TableSpec) -> DataFrame:
    """Return no rows of a table."""
    columns = ", ".join(f"`{column.name}` {column.type}" for column in spec.columns)
    return spark.createDataFrame([], columns)


def _newest(lakehouse: LakehouseResource, spec: TableSpec) -> SourceCheckpoint | None:
    """Return what the sources hold now, None while the first of them has no rows."""
    first, *rest = (
        (name, hudi_utils.latest_completion(lakehouse.lake, TABLES[name])) for name in spec.sources
    )
    if first[1] is None:
        return None
    return SourceCheckpoint(
        first[0], first[1], {name: until for name, until in rest if until is not None}
    )
