"""Bronze: each feed's Kafka range into its table, and what was refused into the dead letters."""

from functools import partial

import msgspec
from dagster import MaterializeResult, MetadataValue
from pyspark.sql import DataFrame

from crypto_pipeline.assets.archive_assets import NAME as ARCHIVE_DAYS
from crypto_pipeline.assets.describe import Stopwatch, idle, table_asset, written
from crypto_pipeline.assets.healing_assets import NAME as HEALING
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import BRONZE_FEEDS, TABLES, TableSpec, bronze_table
from crypto_pipeline.transforms import bronze
from crypto_pipeline.utils import hudi_utils
from crypto_pipeline.utils.kafka_utils import BronzeCheckpoint, LostRange, next_range, still_held
from crypto_pipeline.utils.spark_utils import read_kafka
from shared.market.topics import CONTROL_SYMBOL, Feed

DEAD_LETTERS = TABLES["quality_dead_letters"]
_NOTHING = BronzeCheckpoint({}, {})
# A look that finds no letter is not written down at once: a commit costs more than a few looks.
_LOOKED_AT_AGAIN = 20


class LettersCheckpoint(msgspec.Struct, frozen=True):
    """Bronze commits (completion time by table) and dead-letter offsets that are accounted for."""

    completions: dict[str, str]
    topic: BronzeCheckpoint


def ingest(lakehouse: LakehouseResource, feed: Feed) -> MaterializeResult[None]:
    """Bring one feed's next range into bronze, offsets in the same commit."""
    watch = Stopwatch()
    spec = TABLES[bronze_table(feed)]
    covered = _next(lakehouse, feed, hudi_utils.last_checkpoint(lakehouse.lake, spec))
    if covered.is_empty:
        return idle(watch)
    parsed = _parsed(lakehouse, feed, covered)
    rows = bronze.good(parsed, feed)
    report = hudi_utils.write(rows, spec, lakehouse.lake, covered)
    offsets = MetadataValue.json(
        msgspec.to_builtins({"from": covered.start, "to": covered.end}, str_keys=True)
    )
    more = {"offsets": offsets, "refused": covered.span - report.rows, "lost": len(covered.lost)}
    return written(lakehouse.lake, spec, report, watch, more)


def collect_dead_letters(lakehouse: LakehouseResource) -> MaterializeResult[None]:
    """Bring in what bronze commits refused or lost since the last look, and the collector's own.

    A bronze commit says which offsets it covers and how many rows it wrote, so what it refused can
    be read again while Kafka holds it: a kill between the two tables loses nothing. What has expired
    since is a letter without a payload.
    """
    watch = Stopwatch()
    lake = lakehouse.lake
    text = hudi_utils.last_checkpoint(lake, DEAD_LETTERS)
    last = (
        msgspec.json.decode(text, type=LettersCheckpoint)
        if text
        else LettersCheckpoint({}, _NOTHING)
    )
    completions = dict(last.completions)
    frames: list[DataFrame] = []
    most = 0
    for feed in BRONZE_FEEDS:
        spec = TABLES[bronze_table(feed)]
        new = _unread(lake, spec, last)
        most = max(most, len(new))
        for commit in reversed(new):
            frames += _letters_of(lakehouse, feed, commit)
            completions[spec.name] = commit.completed
    covered = _next(lakehouse, Feed.DEAD_LETTERS, msgspec.json.encode(last.topic) if text else None)
    if covered.span:
        frames.append(bronze.told(_parsed(lakehouse, Feed.DEAD_LETTERS, covered)))
    if not frames:
        if most < _LOOKED_AT_AGAIN:
            return idle(watch)
        frames = [_lost(lakehouse, [], "")]
    rows = frames[0]
    for frame in frames[1:]:
        rows = rows.unionByName(frame)
    checkpoint = LettersCheckpoint(completions, covered)
    report = hudi_utils.write(rows, DEAD_LETTERS, lake, checkpoint)
    return written(lake, DEAD_LETTERS, report, watch, {})


def unread_by_letters(lake: str, spec: TableSpec) -> int:
    """Return how many of a bronze table's newest writes the dead letters have not accounted for."""
    text = hudi_utils.last_checkpoint(lake, DEAD_LETTERS)
    last = msgspec.json.decode(text, type=LettersCheckpoint) if text else None
    return len(_unread(lake, spec, last))


def _unread(lake: str, spec: TableSpec, last: LettersCheckpoint | None) -> list[hudi_utils.Commit]:
    seen = last.completions.get(spec.name, "") if last else ""
    return [commit for commit in hudi_utils.commits(lake, spec) if commit.completed > seen]


def _next(lakehouse: LakehouseResource, feed: Feed, last: bytes | None) -> BronzeCheckpoint:
    done = msgspec.json.decode(last, type=BronzeCheckpoint).end if last else {}
    return next_range(done, lakehouse.watermarks(feed), lakehouse.max_records)


def _parsed(lakehouse: LakehouseResource, feed: Feed, covered: BronzeCheckpoint) -> DataFrame:
    records = read_kafka(lakehouse.spark, lakehouse.bootstrap, covered)
    return bronze.parse(records, feed, lakehouse.instruments)


def _letters_of(
    lakehouse: LakehouseResource, feed: Feed, commit: hudi_utils.Commit
) -> list[DataFrame]:
    spec = TABLES[bronze_table(feed)]
    text = hudi_utils.checkpoint_of(lakehouse.lake, spec, commit)
    if text is None:
        return []
    covered = msgspec.json.decode(text, type=BronzeCheckpoint)
    frames = []
    if covered.span > hudi_utils.rows_of(lakehouse.lake, spec, commit):
        held = still_held(covered, lakehouse.watermarks(feed))
        if held.span:
            frames.append(bronze.refused(_parsed(lakehouse, feed, held)))
        if held.lost:
            frames.append(_lost(lakehouse, held.lost, "what was refused of them was kept"))
    if covered.lost:
        frames.append(_lost(lakehouse, covered.lost, "they were read"))
    return frames


def _lost(lakehouse: LakehouseResource, ranges: list[LostRange], before: str) -> DataFrame:
    rows = [
        (
            item.topic,
            item.partition,
            item.start,
            item.end - 1,
            f"offsets {item.start} to {item.end - 1} expired in Kafka before {before}",
        )
        for item in ranges
    ]
    schema = (
        "kafka_topic string, kafka_partition int, kafka_offset bigint, last_offset bigint,"
        " reason string"
    )
    frame = lakehouse.spark.createDataFrame(rows, schema)
    return bronze.lost(frame, CONTROL_SYMBOL)


# What the archive has day files of.
_ARCHIVED = {Feed.TRADES, Feed.KLINES}
BRONZE_ASSETS = [
    *(
        table_asset(
            TABLES[bronze_table(feed)],
            partial(ingest, feed=feed),
            after=(HEALING, *((ARCHIVE_DAYS,) if feed in _ARCHIVED else ())),
        )
        for feed in BRONZE_FEEDS
    ),
    table_asset(DEAD_LETTERS, collect_dead_letters),
]
