"""Rows computed anew beside those that stand: what differs, and with which order it replaces them."""

from functools import reduce
from operator import and_

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from crypto_pipeline.specs import SEQUENCE, TableSpec

CHANGE = "change"
NEW, CHANGED = "new", "changed"
_KNOWN_ORDER = "known_order"


def differing(rebuilt: DataFrame, known: DataFrame, spec: TableSpec) -> DataFrame:
    """Return each key's rebuilt row that does not stand in `known`, with `change`: new or changed.

    Of several rebuilt forms of a key the greatest order wins; forms that tie there are all as good,
    so none of them is a change if one of them stands. Orders themselves are not compared, and a row
    that replaces one takes at least its order, or it would lose against it.
    """
    key = list(spec.key)
    greatest = F.max(SEQUENCE.name).over(Window.partitionBy(*key))
    best = (
        rebuilt.withColumn("best", greatest)
        .where(F.col("best") == F.col(SEQUENCE.name))
        .drop("best")
    )
    names = [column.name for column in spec.columns if column != SEQUENCE]
    is_same = reduce(and_, (F.col(f"r.{name}").eqNullSafe(F.col(f"k.{name}")) for name in names))
    standing = best.alias("r").join(known.alias("k"), is_same, "left_semi").select(key).distinct()
    orders = known.select(*key, F.col(SEQUENCE.name).alias(_KNOWN_ORDER))
    different = best.join(standing, key, "left_anti").dropDuplicates(key).join(orders, key, "left")
    order = F.greatest(SEQUENCE.name, _KNOWN_ORDER)
    change = F.when(F.col(_KNOWN_ORDER).isNull(), NEW).otherwise(CHANGED)
    marked = different.withColumns({SEQUENCE.name: order, CHANGE: change})
    return marked.select(*(column.name for column in spec.columns), CHANGE)


def missing(rebuilt: DataFrame, known: DataFrame, spec: TableSpec) -> DataFrame:
    """Return the rows of `known` whose key was not rebuilt: nothing in the source speaks for them."""
    return known.join(rebuilt.select(*spec.key), list(spec.key), "left_anti")
