"""Asset checks: keys once, rows in balance from Kafka to silver, candles like the venue's, no refusals.

Each looks at the partitions that the last commit touched, so its cost does not grow with the lake, and
repeats its last verdict without a Spark job while the table has no newer commit.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from dagster import (
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetKey,
    DagsterEventType,
    MetadataValue,
    asset_check,
)
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.assets.healing_assets import open_gaps
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import BRONZE_FEEDS, TABLES, Layer, TableSpec, bronze_table
from crypto_pipeline.utils import hudi_utils
from crypto_pipeline.utils.kafka_utils import BronzeCheckpoint

_SHOWN = 5
_CANDLE = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trade_count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)


@dataclass(frozen=True)
class Finding:
    """What a check found: the rows that are wrong, none when all is well, and what to show."""

    wrong: int
    text: str
    metadata: dict[str, Any]


Look = Callable[[LakehouseResource, hudi_utils.Commit], Finding]


def touched(
    lakehouse: LakehouseResource, name: str, commit: hudi_utils.Commit, of: str
) -> DataFrame:
    """Return the rows of table `name` in the partitions that a commit of table `of` wrote."""
    lake = lakehouse.lake
    pairs = hudi_utils.partitions_of(lake, TABLES[of], commit)
    wanted = [f"{symbol}/{date}" for symbol, date in pairs]
    rows = hudi_utils.read(lakehouse.spark, TABLES[name], lake)
    return rows.where(
        F.col("symbol").isin([symbol for symbol, _ in pairs])
        & F.col("date").isin([date for _, date in pairs])
        & F.concat_ws("/", "symbol", "date").isin(wanted)
    )


def repeated_keys(rows: DataFrame, spec: TableSpec) -> DataFrame:
    """Return each key that stands more than once, with how often."""
    return rows.groupBy(*spec.key).count().where(F.col("count") > 1)


def different_candles(gold: DataFrame, klines: DataFrame) -> DataFrame:
    """Return 1m candles that differ from the venue's closed ones.

    Only minutes whose fills reach from the venue's first id to its last are compared: the first
    minute after a start holds a part of its fills, which is no mistake.
    """
    ours = gold.where(F.col("interval") == "1m").alias("g")
    theirs = klines.where(F.col("is_closed") & (F.col("interval") == "1m")).alias("k")
    same = [
        F.col(f"g.{name}") == F.col(f"k.{name}")
        for name in ("exchange", "market", "symbol", "first_trade_id", "last_trade_id")
    ]
    joined = ours.join(theirs, [*same, F.col("g.window_start") == F.col("k.open_time")])
    differs = F.lit(False)
    for name in _CANDLE:
        differs = differs | ~F.col(f"g.{name}").eqNullSafe(F.col(f"k.{name}"))
    return joined.where(differs).select("g.exchange", "g.market", "g.symbol", "g.window_start")


def _rows_found(wrong: DataFrame, text: str) -> Finding:
    examples = [str(row.asDict()) for row in wrong.limit(_SHOWN + 1).collect()]
    count = len(examples) if len(examples) <= _SHOWN else int(wrong.count())
    shown = "\n".join(f"- {example}" for example in examples[:_SHOWN])
    return Finding(count, text, {"examples": MetadataValue.md(shown or "none")})


def _unique(spec: TableSpec) -> Look:
    def look(lakehouse: LakehouseResource, commit: hudi_utils.Commit) -> Finding:
        rows = touched(lakehouse, spec.name, commit, spec.name)
        return _rows_found(repeated_keys(rows, spec), "keys that stand more than once")

    return look


def _kafka_balance(spec: TableSpec) -> Look:
    def look(lakehouse: LakehouseResource, commit: hudi_utils.Commit) -> Finding:
        text = hudi_utils.checkpoint_of(lakehouse.lake, spec, commit)
        covered = msgspec.json.decode(text or b"{}", type=BronzeCheckpoint)
        rows = hudi_utils.rows_of(lakehouse.lake, spec, commit)
        refused = covered.span - rows
        lost = sum(item.end - item.start for item in covered.lost)
        letters = _letters_in(lakehouse, covered) if refused else 0
        figures = {"offsets": covered.span, "rows": rows, "dead letters": letters, "lost": lost}
        return Finding(abs(refused - letters) + lost, "offsets without a row or letter", figures)

    return look


def _letters_in(lakehouse: LakehouseResource, covered: BronzeCheckpoint) -> int:
    letters = hudi_utils.read(lakehouse.spark, TABLES["quality_dead_letters"], lakehouse.lake)
    is_in = F.lit(False)
    for topic, partitions in covered.end.items():
        for partition, end in partitions.items():
            start = covered.start[topic][partition]
            is_in = is_in | (
                (F.col("kafka_topic") == topic)
                & (F.col("kafka_partition") == partition)
                & F.col("kafka_offset").between(start, end - 1)
                & (F.col("kafka_offset") == F.col("last_offset"))
            )
    return int(letters.where(is_in).count())


def _silver_balance(spec: TableSpec) -> Look:
    """As many rows as there are distinct keys in bronze, over the partitions last touched."""

    def look(lakehouse: LakehouseResource, commit: hudi_utils.Commit) -> Finding:
        source = spec.sources[0]
        keys = int(
            touched(lakehouse, source, commit, spec.name).select(*spec.key).distinct().count()
        )
        rows = int(touched(lakehouse, spec.name, commit, spec.name).count())
        text = "difference between distinct keys in bronze and rows in silver"
        return Finding(abs(keys - rows), text, {"bronze keys": keys, "silver rows": rows})

    return look


def _venue_candles(lakehouse: LakehouseResource, commit: hudi_utils.Commit) -> Finding:
    if not hudi_utils.commits(lakehouse.lake, TABLES["silver_klines"]):
        return Finding(0, "the venue's candles are not collected", {})
    gold = touched(lakehouse, "gold_ohlcv", commit, "gold_ohlcv")
    klines = touched(lakehouse, "silver_klines", commit, "gold_ohlcv")
    return _rows_found(different_candles(gold, klines), "minutes that differ from the venue's")


def _recent_letters(lakehouse: LakehouseResource, _commit: hudi_utils.Commit) -> Finding:
    letters = hudi_utils.read(lakehouse.spark, TABLES["quality_dead_letters"], lakehouse.lake)
    day_ago = F.current_timestamp() - F.expr("interval 24 hours")
    recent = letters.where(F.col("kafka_timestamp") >= day_ago)
    return _rows_found(
        recent.select("kafka_topic", "kafka_partition", "kafka_offset", "reason"),
        "refused records and lost ranges of the last 24 hours",
    )


def _small_unique(spec: TableSpec) -> Look:
    """Look without Spark, for tables with few rows."""

    def look(lakehouse: LakehouseResource, commit: hudi_utils.Commit) -> Finding:
        pairs = hudi_utils.partitions_of(lakehouse.lake, spec, commit)
        symbols, dates = {symbol for symbol, _ in pairs}, {date for _, date in pairs}
        rows = hudi_utils.read_small(lakehouse.lake, spec, symbols, dates)
        times = Counter(tuple(row[name] for name in spec.key) for row in rows)
        twice = [key for key, count in times.items() if count > 1]
        shown = "\n".join(f"- {key}" for key in twice[:_SHOWN])
        examples = {"examples": MetadataValue.md(shown or "none")}
        return Finding(len(twice), "keys that stand more than once", examples)

    return look


def _open_gaps(lakehouse: LakehouseResource, _commit: hudi_utils.Commit) -> Finding:
    rows = sorted(open_gaps(lakehouse), key=lambda row: row["found_at"])
    shown = "\n".join(
        f"| {row['market']} | {row['symbol']} | {row['channel']} | {row['date']} |"
        f" {row['first_id']} | {row['missing']} | {row['cause']} |"
        for row in rows[:_SHOWN]
    )
    head = "| market | symbol | channel | date | from id | missing | cause |\n|-|-|-|-|-|-|-|\n"
    figures = {
        "ids": sum(row["missing"] for row in rows),
        "oldest": MetadataValue.md(head + shown if rows else "none"),
    }
    return Finding(len(rows), "gaps are open", figures)


def _check(
    name: str,
    spec: TableSpec,
    text: str,
    look: Look,
    after: str | None = None,
    severity: AssetCheckSeverity = AssetCheckSeverity.ERROR,
) -> AssetChecksDefinition:
    """Return a check that runs once its table, and the table `after`, are filled."""
    key = AssetCheckKey(AssetKey(spec.name), name)
    deps = [AssetKey(after)] if after else []

    @asset_check(asset=key.asset_key, name=name, description=text, additional_deps=deps)
    def run(context: AssetCheckExecutionContext, lakehouse: LakehouseResource) -> AssetCheckResult:
        commit = hudi_utils.newest_write(lakehouse.lake, spec)
        if commit is None:
            return AssetCheckResult(passed=True, metadata={"state": "no rows yet"})
        last = _last_verdict(context, key, commit)
        if last is not None:
            return last
        finding = look(lakehouse, commit)
        return AssetCheckResult(
            passed=finding.wrong == 0,
            severity=severity,
            description=f"{finding.wrong} {finding.text}",
            metadata={"commit": commit.requested, **finding.metadata},
        )

    return run


def _last_verdict(
    context: AssetCheckExecutionContext, key: AssetCheckKey, commit: hudi_utils.Commit
) -> AssetCheckResult | None:
    history = context.instance.event_log_storage.get_asset_check_execution_history(key, limit=2)
    for record in history:
        event = record.event.dagster_event if record.event else None
        if event is None or event.event_type is not DagsterEventType.ASSET_CHECK_EVALUATION:
            continue
        said = event.asset_check_evaluation_data
        at = said.metadata.get("commit")
        if at is not None and at.value == commit.requested:
            metadata = {"commit": commit.requested, "state": "no commit since the last verdict"}
            return AssetCheckResult(
                passed=said.passed,
                severity=said.severity,
                description=said.description,
                metadata=metadata,
            )
    return None


_UPSERTED = [spec for spec in TABLES.values() if spec.layer in {Layer.SILVER, Layer.GOLD}]
CHECKS = [
    *(
        _check("keys_once", spec, f"No {', '.join(spec.key)} stands twice", _unique(spec))
        for spec in _UPSERTED
    ),
    *(
        _check(
            "kafka_balance",
            spec,
            "Every offset is a row or a dead letter",
            _kafka_balance(spec),
            after="quality_dead_letters",
        )
        for spec in (TABLES[bronze_table(feed)] for feed in BRONZE_FEEDS)
    ),
    *(
        _check(
            "bronze_balance",
            TABLES[name],
            "A row for each key in bronze",
            _silver_balance(TABLES[name]),
        )
        for name in ("silver_trades", "silver_klines", "silver_quotes")
    ),
    _check(
        "venue_candles",
        TABLES["gold_ohlcv"],
        "Whole minutes equal the venue's closed 1m candles on every field",
        _venue_candles,
        after="silver_klines",
    ),
    *(
        _check("keys_once", spec, f"No {', '.join(spec.key)} stands twice", _small_unique(spec))
        for spec in (TABLES["quality_completeness"], TABLES["quality_gaps"])
    ),
    _check(
        "no_open_gap",
        TABLES["quality_gaps"],
        "Every id that did not come live was found, or cannot be",
        _open_gaps,
        severity=AssetCheckSeverity.WARN,
    ),
    _check(
        "nothing_refused",
        TABLES["quality_dead_letters"],
        "No record was refused and no offset lost in the last 24 hours",
        _recent_letters,
    ),
]
