"""`quality_gaps`: each range of ids that did not come live, from discovery to its end."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from dagster import MaterializeResult

from crypto_pipeline.assets.describe import Stopwatch, idle
from crypto_pipeline.assets.known_days import COMPLETENESS, KnownDays, Place
from crypto_pipeline.assets.ledger_step import commit, progress
from crypto_pipeline.ledger.days import LIVE, judged
from crypto_pipeline.ledger.gaps import Cause, GapRow, Mark, changed_rows
from crypto_pipeline.ledger.held import ids_of
from crypto_pipeline.ledger.rows import Row, Stream, gap_of, gap_row, stream_of
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from shared.market.instruments import Exchange
from shared.market.numbering import Numbering, is_fetchable, numbering
from shared.market.topics import CONTROL_SYMBOL, Feed, topic_name

GAPS = TABLES["quality_gaps"]
_LETTERS = TABLES["quality_dead_letters"]
_FEEDS = {
    Numbering.TRADES: Feed.TRADES,
    Numbering.UPDATES: Feed.DEPTH,
    Numbering.CANDLES: Feed.KLINES,
}
_LETTER_COLUMNS = (
    "kafka_topic",
    "kafka_partition",
    "kafka_offset",
    "last_offset",
    "symbol",
    "reason",
)


def follow_gaps(lakehouse: LakehouseResource) -> MaterializeResult[None]:
    """Bring `quality_gaps` up to `quality_completeness`."""
    watch = Stopwatch()
    lake = lakehouse.lake
    last, covered = progress(lakehouse, GAPS)
    until = covered.completions.get(COMPLETENESS.name)
    if until is None or covered == last:
        return idle(watch)
    after = last.completions.get(COMPLETENESS.name, "")
    pairs = hudi_utils.partitions_since(lake, COMPLETENESS, after, until)
    known = KnownDays(lake)
    places = _numbered(known, pairs)
    rows = _changed(lake, known, places, lakehouse.clock.now_ns() // 1000)
    return commit(lakehouse, GAPS, rows, covered, watch)


def _numbered(known: KnownDays, pairs: set[tuple[str, str]]) -> list[Place]:
    """Read what stands in these partitions and beside them; returns the days that have ids."""
    known.load_partitions(pairs)
    places = sorted(
        (stream, date)
        for stream, rows in known.rows.items()
        for date, row in rows.items()
        if row["first_id"] is not None
    )
    known.load_around(places)
    return places


def _changed(lake: str, known: KnownDays, places: list[Place], now_us: int) -> Iterator[Row]:
    symbols = {stream.symbol for stream, _ in places}
    present: dict[Place, list[GapRow]] = {}
    for row in hudi_utils.read_small(lake, GAPS, symbols, {date for _, date in places}):
        present.setdefault((stream_of(row), row["date"]), []).append(gap_of(row))
    letters = _Letters(lake, symbols)
    for stream, group in groupby(places, key=lambda place: place[0]):
        days = known.days(stream)
        fetchable = is_fetchable(stream.exchange, stream.market, stream.channel)
        for _, date in group:
            day = days[date]
            gaps = judged(day, days, is_fetchable=fetchable).gaps
            rows = present.get((stream, date), [])
            if not gaps and not rows:
                continue
            explained = {row.first_id for row in rows if row.cause != Cause.UNSEEN}
            is_clear = all(gap.first_id in explained for gap in gaps)
            near = (days[item] for item in (day.before, date, day.after) if item)
            live = ids_of(item for one in near for item in one.held.get(LIVE, ()))
            marks = [] if is_clear else letters.of(stream)
            for found in changed_rows(gaps, rows, live, marks, now_us):
                yield gap_row(stream, date, found)


class _Letters:
    """What Kafka's offsets brought no row for; read when first asked for."""

    def __init__(self, lake: str, symbols: Iterable[str]) -> None:
        self._lake = lake
        self._symbols = {*symbols, CONTROL_SYMBOL}
        self._rows: list[Row] | None = None

    def of(self, stream: Stream) -> list[Mark]:
        """Return what may concern a stream: letters of its topic, its symbol's or nobody's."""
        if self._rows is None:
            self._rows = hudi_utils.read_small(
                self._lake, _LETTERS, self._symbols, columns=_LETTER_COLUMNS
            )
        kind = numbering(*stream[:2], stream.channel)
        topic = topic_name(Exchange(stream.exchange), _FEEDS[kind]) if kind else ""
        return [
            Mark(
                row["kafka_partition"],
                row["kafka_offset"],
                row["last_offset"],
                Cause.EXPIRED if "expired in Kafka" in row["reason"] else Cause.REFUSED,
                row["reason"],
            )
            for row in self._rows
            if row["kafka_topic"] == topic and row["symbol"] in {stream.symbol, CONTROL_SYMBOL}
        ]
