"""Asset checks: keys once, rows in balance from Kafka to silver, candles like the venue's, no refusals."""

from collections import Counter
from collections.abc import Collection
from functools import reduce
from operator import or_

import msgspec
from dagster import AssetCheckSeverity, MetadataValue
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.assets.healing_assets import open_gaps
from crypto_pipeline.check_runs import Finding, Look, Scope, check
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import BRONZE_FEEDS, TABLES, Layer, TableSpec, bronze_table
from crypto_pipeline.transforms import contracts, silver
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
_BASE = {"volume", "taker_buy_volume"}


def touched(
    lakehouse: LakehouseResource, name: str, pairs: Collection[tuple[str, str]]
) -> DataFrame:
    """Return the rows of a table in some partitions, (symbol, date)."""
    wanted = [f"{symbol}/{date}" for symbol, date in pairs]
    rows = hudi_utils.read(lakehouse.spark, TABLES[name], lakehouse.lake)
    return rows.where(
        F.col("symbol").isin([symbol for symbol, _ in pairs])
        & F.col("date").isin([date for _, date in pairs])
        & F.concat_ws("/", "symbol", "date").isin(wanted)
    )


def repeated_keys(rows: DataFrame, spec: TableSpec) -> DataFrame:
    """Return each key that stands more than once, with how often."""
    return rows.groupBy(*spec.key).count().where(F.col("count") > 1)


def different_candles(gold: DataFrame, klines: DataFrame) -> DataFrame:
    """Return 1m candles that differ from the venue's closed ones; base volumes of contracts up to rounding.

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
    differs = reduce(or_, (_differs(name) for name in _CANDLE))
    return joined.where(differs).select("g.exchange", "g.market", "g.symbol", "g.window_start")


def _differs(name: str) -> Column:
    ours, theirs = F.col(f"g.{name}"), F.col(f"k.{name}")
    if name not in _BASE:
        return ~ours.eqNullSafe(theirs)
    # Of contracts the venue rounds the base volume of all fills at once, silver that of each.
    rounded = F.col("k.trade_count") * contracts.LAST_PLACE
    slack = F.when(contracts.is_in_contracts("g.market"), rounded).otherwise(0)
    return ~ours.eqNullSafe(theirs) & F.coalesce(F.abs(ours - theirs) > slack, F.lit(True))


def _rows_found(wrong: DataFrame, text: str) -> Finding:
    examples = [str(row.asDict()) for row in wrong.limit(_SHOWN + 1).collect()]
    count = len(examples) if len(examples) <= _SHOWN else int(wrong.count())
    shown = "\n".join(f"- {example}" for example in examples[:_SHOWN])
    return Finding(count, text, {"examples": MetadataValue.md(shown or "none")})


def _unique(spec: TableSpec) -> Look:
    def look(lakehouse: LakehouseResource, scope: Scope) -> Finding:
        rows = touched(lakehouse, spec.name, scope.pairs)
        return _rows_found(repeated_keys(rows, spec), "keys that stand more than once")

    return look


def _kafka_balance(spec: TableSpec) -> Look:
    """Every offset that the commits since the last look cover has a row or a letter."""

    def look(lakehouse: LakehouseResource, scope: Scope) -> Finding:
        figures: Counter[str] = Counter()
        wrong = 0
        for commit in scope.commits:
            text = hudi_utils.checkpoint_of(lakehouse.lake, spec, commit)
            covered = msgspec.json.decode(text or b"{}", type=BronzeCheckpoint)
            rows = hudi_utils.rows_of(lakehouse.lake, spec, commit)
            refused = covered.span - rows
            lost = sum(item.end - item.start for item in covered.lost)
            letters = _letters_in(lakehouse, covered) if refused else 0
            wrong += abs(refused - letters) + lost
            figures.update(
                {"offsets": covered.span, "rows": rows, "dead letters": letters, "lost": lost}
            )
        return Finding(wrong, "offsets without a row or letter", dict(figures))

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
    """As many rows as there are distinct keys in bronze, over the partitions lately touched."""

    def look(lakehouse: LakehouseResource, scope: Scope) -> Finding:
        told = silver.own(touched(lakehouse, spec.sources[0], scope.pairs), spec.name)
        keys = int(told.select(*spec.key).distinct().count())
        rows = int(touched(lakehouse, spec.name, scope.pairs).count())
        text = "difference between distinct keys in bronze and rows in silver"
        return Finding(abs(keys - rows), text, {"bronze keys": keys, "silver rows": rows})

    return look


def _venue_candles(lakehouse: LakehouseResource, scope: Scope) -> Finding:
    if not hudi_utils.commits(lakehouse.lake, TABLES["silver_klines"]):
        return Finding(0, "the venue's candles are not collected", {})
    gold = touched(lakehouse, "gold_ohlcv", scope.pairs)
    klines = touched(lakehouse, "silver_klines", scope.pairs)
    return _rows_found(different_candles(gold, klines), "minutes that differ from the venue's")


def _recent_letters(lakehouse: LakehouseResource, _scope: Scope) -> Finding:
    letters = hudi_utils.read(lakehouse.spark, TABLES["quality_dead_letters"], lakehouse.lake)
    day_ago = F.current_timestamp() - F.expr("interval 24 hours")
    recent = letters.where(F.col("kafka_timestamp") >= day_ago)
    return _rows_found(
        recent.select("kafka_topic", "kafka_partition", "kafka_offset", "reason"),
        "refused records and lost ranges of the last 24 hours",
    )


def _small_unique(spec: TableSpec) -> Look:
    """Look without Spark, for tables with few rows."""

    def look(lakehouse: LakehouseResource, scope: Scope) -> Finding:
        symbols = {symbol for symbol, _ in scope.pairs}
        dates = {date for _, date in scope.pairs}
        rows = hudi_utils.read_small(lakehouse.lake, spec, symbols, dates)
        times = Counter(tuple(row[name] for name in spec.key) for row in rows)
        twice = [key for key, count in times.items() if count > 1]
        shown = "\n".join(f"- {key}" for key in twice[:_SHOWN])
        examples = {"examples": MetadataValue.md(shown or "none")}
        return Finding(len(twice), "keys that stand more than once", examples)

    return look


def _open_gaps(lakehouse: LakehouseResource, _scope: Scope) -> Finding:
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


_UPSERTED = [spec for spec in TABLES.values() if spec.layer in {Layer.SILVER, Layer.GOLD}]
CHECKS = [
    *(
        check(
            "keys_once", spec, f"No {', '.join(spec.key)} stands twice", _unique(spec), is_scan=True
        )
        for spec in _UPSERTED
    ),
    *(
        check(
            "kafka_balance",
            spec,
            "Every offset is a row or a dead letter",
            _kafka_balance(spec),
            after="quality_dead_letters",
        )
        for spec in (TABLES[bronze_table(feed)] for feed in BRONZE_FEEDS)
    ),
    *(
        check(
            "bronze_balance",
            TABLES[name],
            "A row for each key in bronze",
            _silver_balance(TABLES[name]),
            is_scan=True,
        )
        for name in ("silver_trades", "silver_klines", "silver_quotes", "silver_marks")
    ),
    check(
        "venue_candles",
        TABLES["gold_ohlcv"],
        "Whole minutes equal the venue's closed 1m candles on every field; contracts' base up to rounding",
        _venue_candles,
        after="silver_klines",
        is_scan=True,
    ),
    *(
        check("keys_once", spec, f"No {', '.join(spec.key)} stands twice", _small_unique(spec))
        for spec in (TABLES["quality_completeness"], TABLES["quality_gaps"])
    ),
    check(
        "no_open_gap",
        TABLES["quality_gaps"],
        "Every id that did not come live was found, or cannot be",
        _open_gaps,
        severity=AssetCheckSeverity.WARN,
    ),
    check(
        "nothing_refused",
        TABLES["quality_dead_letters"],
        "No record was refused and no offset lost in the last 24 hours",
        _recent_letters,
    ),
]
