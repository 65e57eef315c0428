"""Bronze rows to silver rows: one row per fact, by the venue's own identity.

Where a fact comes twice, `row_order` decides: archive over REST over WebSocket, and within one source
the first received, but of archive files, which the venue replaces, the last; a closed candle over an open
one, a later open one over an earlier. What the winner does not know is taken from the others (`merged`).
"""

from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.schemas import BEST_QUOTE, BODY, ENVELOPE, MARK_PRICE, VOLUME
from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import contracts
from shared.market.topics import Feed

# Microseconds since the epoch stay below this until the year 5138.
_RANK = 100_000_000_000_000_000
# Of a bronze table that holds several kinds of event, the one that a silver table is made of.
_EVENT_TYPES = {"silver_quotes": BEST_QUOTE, "silver_marks": MARK_PRICE}
_FEEDS = {"silver_trades": Feed.TRADES, "silver_klines": Feed.KLINES}
# How a row came, not what it says.
_RECEIPT = {"received_ns", "source", "connection", "epoch", "row_order"}


def _source_rank() -> Column:
    source = F.col("source")
    return F.when(source.endswith("_archive"), 3).when(source.endswith("_rest"), 2).otherwise(1)


def _by_receipt() -> Column:
    received_us = (F.col("received_ns") / 1000).cast("bigint")
    age = F.when(F.col("source").endswith("_archive"), received_us).otherwise(-received_us)
    return (_source_rank() * F.lit(_RANK) + age).cast("bigint")


def _columns(table: str) -> list[str]:
    return [column.name for column in TABLES[table].columns]


def trades(bronze: DataFrame) -> DataFrame:
    """`bronze_trades` to `silver_trades`; the notional is exact, also where contracts are traded."""
    price, told = F.col("price"), F.col("quantity")
    columns = {
        "trade_sequence": F.col("trade_id").cast("bigint"),
        "quantity": contracts.base_quantity(price, told),
        "quote_quantity": contracts.notional(price, told),
        "contracts": F.when(contracts.is_in_contracts(), told),
        "row_order": _by_receipt(),
    }
    return bronze.withColumns(columns).select(_columns("silver_trades"))


def klines(bronze: DataFrame) -> DataFrame:
    """`bronze_klines` to `silver_klines`.

    Of contracts the venue tells their number as volume, and in place of the quote volume the base volume.
    """
    told_us = F.coalesce(F.unix_micros("event_time"), (F.col("received_ns") / 1000).cast("bigint"))
    state = F.col("is_closed").cast("bigint") * F.lit(10 * _RANK)
    order = (state + _source_rank() * F.lit(_RANK) + told_us).cast("bigint")
    columns, is_in_contracts = {"row_order": order}, contracts.is_in_contracts()
    for side in ("", "taker_buy_"):
        base, quote = F.col(f"{side}volume"), F.col(f"{side}quote_volume")
        columns[f"{side}volume"] = F.when(is_in_contracts, quote.cast(VOLUME)).otherwise(base)
        columns[f"{side}quote_volume"] = F.when(is_in_contracts, contracts.usd(base)).otherwise(
            quote
        )
    return bronze.withColumns(columns).select(_columns("silver_klines"))


def quotes(bronze: DataFrame) -> DataFrame:
    """`bronze_quotes` to `silver_quotes`; dated by our receipt where the venue sends no time."""
    return _as_received(bronze, "silver_quotes")


def marks(bronze: DataFrame) -> DataFrame:
    """`bronze_quotes` to `silver_marks`."""
    return _as_received(bronze, "silver_marks")


def own(bronze: DataFrame, table: str) -> DataFrame:
    """Return the rows of a bronze table that a silver table is made of."""
    kind = _EVENT_TYPES.get(table)
    return bronze if kind is None else bronze.where(F.col("event_type") == kind)


def _as_received(bronze: DataFrame, table: str) -> DataFrame:
    return own(bronze, table).withColumn("row_order", _by_receipt()).select(_columns(table))


def merged(rows: DataFrame, known: DataFrame | None, table: str) -> DataFrame:
    """Return one row per fact: the winner's, with what it does not know from the other forms.

    A row that says nothing new of what is known is left out, so that an archive which confirms a day
    has nothing of it computed again.

    Args:
        rows: new rows of a silver table.
        known: its rows in the same partitions, None while there are none.
        table: `silver_trades` or `silver_klines`.
    """
    spec, names = TABLES[table], _columns(table)
    fields = (*ENVELOPE, *BODY[_FEEDS[table]])
    optional = [field.name for field in fields if not field.is_always_there and field.name in names]
    said = [name for name in names if name not in _RECEIPT]
    identity = [*spec.key, "date"]
    forms = rows.withColumn("is_new", F.lit(True))
    if known is not None:
        wanted = known.join(rows.select(identity), identity, "left_semi")
        forms = forms.unionByName(wanted.withColumn("is_new", F.lit(False)))
    order, is_known = F.col("row_order"), ~F.col("is_new")
    facts = forms.groupBy(identity).agg(
        F.max_by(F.struct(names), order).alias("winner"),
        *(F.max_by(name, F.when(F.col(name).isNotNull(), order)).alias(name) for name in optional),
        F.max("is_new").alias("is_new"),
        F.max_by(F.struct(said), F.when(is_known, order)).alias("known"),
    )
    whole = facts.select(
        "known",
        "is_new",
        *((name if name in optional else F.col("winner")[name].alias(name)) for name in names),
    )
    changes = (~F.col(name).eqNullSafe(F.col("known")[name]) for name in said)
    is_news = F.col("known").isNull() | reduce(or_, changes)
    return whole.where(F.col("is_new") & is_news).select(names)
