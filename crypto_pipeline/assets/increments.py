"""The step that silver and gold share: what is new upstream, transformed, into one commit."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from dagster import MaterializeResult
from pyspark.sql import DataFrame

from crypto_pipeline.assets.describe import Stopwatch, idle, written
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES, TableSpec
from crypto_pipeline.utils import hudi_utils

_INSTANT = "%Y%m%d%H%M%S%f"


class SourceCheckpoint(msgspec.Struct, frozen=True):
    """Completion time of the last source commit that a table's commit covers."""

    source: str
    until: str


@dataclass(frozen=True)
class Increment:
    """Source rows completed after `after` (None: from the beginning) up to `until`."""

    lakehouse: LakehouseResource
    source: TableSpec
    after: str | None
    until: str

    @property
    def rows(self) -> DataFrame:
        """The new source rows."""
        return self._since(self.after)

    @property
    def row_order(self) -> int:
        """A number that grows from commit to commit: the source's completion time."""
        return int(self.until)

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

    def _since(self, after: str | None) -> DataFrame:
        lakehouse = self.lakehouse
        return hudi_utils.read_since(
            lakehouse.spark, self.source, lakehouse.lake, after, self.until
        )


Build = Callable[[Increment], DataFrame]


def advance(lakehouse: LakehouseResource, spec: TableSpec, build: Build) -> MaterializeResult[None]:
    """Bring a table up to its source's newest commit; an idle source costs no Spark job."""
    watch = Stopwatch()
    source = TABLES[spec.sources[0]]
    until = hudi_utils.latest_completion(lakehouse.lake, source)
    text = hudi_utils.last_checkpoint(lakehouse.lake, spec)
    last = msgspec.json.decode(text, type=SourceCheckpoint).until if text else None
    if until is None or until == last:
        return idle(watch)
    rows = build(Increment(lakehouse, source, last, until))
    checkpoint = SourceCheckpoint(source.name, until)
    report = hudi_utils.write(rows, spec, lakehouse.lake, checkpoint)
    return written(lakehouse.lake, spec, report, watch, {"source commit": until})
