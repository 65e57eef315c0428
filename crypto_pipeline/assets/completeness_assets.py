"""`quality_completeness`: which ids of each stream and day are held.

Spark reduces the new bronze rows to islands, a few rows; the rest is arithmetic on ranges here, so a tick
costs what is new and not what the day holds.
"""

from collections.abc import Iterable

from dagster import MaterializeResult
from pyspark.sql import DataFrame

from crypto_pipeline.assets.calendar_report import described
from crypto_pipeline.assets.describe import Stopwatch, idle
from crypto_pipeline.assets.known_days import COMPLETENESS, KnownDays
from crypto_pipeline.assets.ledger_step import commit, progress
from crypto_pipeline.ledger.days import Island, Told, judged, renewed
from crypto_pipeline.ledger.held import Edge, Held
from crypto_pipeline.ledger.rows import Row, Stream, day_row, stream_of
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES, bronze_table
from crypto_pipeline.transforms import islands
from crypto_pipeline.utils import hudi_utils
from shared.market.numbering import is_fetchable
from shared.market.topics import Feed

_COUNTED = {
    bronze_table(feed): feed for feed in (Feed.TRADES, Feed.DEPTH, Feed.KLINES, Feed.QUOTES)
}
_STATUS = bronze_table(Feed.STREAM_STATUS)
_Islands = dict[Stream, dict[str, list[Island]]]
_News = dict[Stream, dict[str, list[Told]]]


def take_stock(lakehouse: LakehouseResource) -> MaterializeResult[None]:
    """Bring `quality_completeness` up to what bronze holds."""
    watch = Stopwatch()
    last, covered = progress(lakehouse, COMPLETENESS)
    new = {
        name: hudi_utils.read_since(
            lakehouse.spark, TABLES[name], lakehouse.lake, last.completions.get(name), until
        )
        for name, until in covered.completions.items()
        if until != last.completions.get(name)
    }
    if not new:
        return idle(watch)
    known = KnownDays(lakehouse.lake)
    found = _islands({_COUNTED[name]: rows for name, rows in new.items() if name in _COUNTED})
    known.load((stream, date) for stream, days in found.items() for date in days)
    news = islands.told(new[_STATUS]).collect() if _STATUS in new else []
    told = _placed((row.asDict() for row in news), found, known)
    streams = sorted({*found, *told})
    known.load_around(
        (stream, date)
        for stream in streams
        for date in {*found.get(stream, {}), *told.get(stream, {})}
    )
    rows = [
        row
        for stream in streams
        for row in _changed_days(stream, known, found.get(stream, {}), told.get(stream, {}))
    ]
    return commit(lakehouse, COMPLETENESS, rows, covered, watch, lambda: described(lakehouse, rows))


def _islands(new: dict[Feed, DataFrame]) -> _Islands:
    found: _Islands = {}
    for row in islands.islands(new).collect() if new else []:
        held = None
        if row["first_id"] is not None:
            start, end = Edge(*row["start"]), Edge(*row["end"])
            held = Held(row["first_id"], row["last_id"], start, end)
        island = Island(
            row["source"], held, row["ids"], row["messages"], row["first_us"], row["last_us"]
        )
        stream = stream_of(row.asDict())
        found.setdefault(stream, {}).setdefault(row["date"], []).append(island)
    return found


def _placed(news: Iterable[Row], found: _Islands, known: KnownDays) -> _News:
    """Return statuses by the day that holds the id before theirs.

    What lies before everything that is held is dropped: nothing is expected there.
    """
    placed: _News = {}
    for row in news:
        stream = stream_of(row)
        told = Told(row["state"], row["first_id"], row["last_id"], row["reason"])
        date = _date_before(told.first_id, stream, found, known)
        if date is not None:
            placed.setdefault(stream, {}).setdefault(date, []).append(told)
    return placed


def _date_before(number: int, stream: Stream, found: _Islands, known: KnownDays) -> str | None:
    """Return the last day with an id below a number, looked for in the whole table where need be."""
    new = [
        (item.held.first_id, date)
        for date, items in found.get(stream, {}).items()
        for item in items
        if item.held is not None
    ]

    def latest() -> str | None:
        rows = known.rows.get(stream, {}).items()
        firsts = new + [(row["first_id"], date) for date, row in rows if row["held"]]
        return max((item for item in firsts if item[0] < number), default=(0, None))[1]

    date = latest()
    row = known.rows.get(stream, {}).get(date or "")
    after = row["day_after"] if row else None
    if date is None or (after is not None and after not in known.rows[stream]):
        known.load_all(stream.symbol)
        date = latest()
    return date


def _changed_days(
    stream: Stream, known: KnownDays, new: dict[str, list[Island]], told: dict[str, list[Told]]
) -> list[Row]:
    days, concerned = renewed(known.days(stream), new, told)
    fetchable = is_fetchable(stream.exchange, stream.market, stream.channel)
    before = known.rows.get(stream, {})
    rows = (
        day_row(stream, date, days[date], judged(days[date], days, is_fetchable=fetchable))
        for date in concerned
    )
    return [row for row in rows if row != before.get(row["date"])]
