"""A table goes on when a column is added or a type widened; every reader sees old and new rows."""

from dataclasses import replace
from decimal import Decimal

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_lake.tables import Lake as Reader
from crypto_pipeline.schemas import Column
from crypto_pipeline.tables import TableSpec
from crypto_pipeline.utils import hudi_utils, table_services
from crypto_pipeline.utils.hudi_options import compaction
from tests.integration.crypto_pipeline.test_hudi_utils import UPSERT, Rows, lake, rows
from tests.integration.crypto_pipeline.test_table_services import BOTH, CLOSED, short

__all__ = ["lake", "rows", "short"]
pytestmark = [pytest.mark.spark]
HUGE = Decimal("12345678901.5")


def versions(spec: TableSpec) -> tuple[TableSpec, TableSpec]:
    """Return a table as one version knows it, and as the next one does."""
    others = [column for column in spec.columns if column.name != "price"]
    first = (*others, Column("price", "decimal(17,8)"), Column("count", "int"))
    then = (
        Column("extra", "string"),
        *others,
        Column("price", "decimal(20,8)"),
        Column("count", "bigint"),
    )
    return replace(spec, columns=first), replace(spec, columns=then)


def evolved(old: DataFrame) -> DataFrame:
    """Return rows of the next version: a column more, a wider number, a wider price."""
    return old.withColumns(
        {
            # Nullable, as an added column must be: every older row is null in it.
            "extra": F.when(F.col("id") != "-", F.concat(F.lit("x"), F.col("id"))),
            "count": F.col("id").cast("bigint") + 2**40,
            "price": F.lit(HUGE).cast("decimal(20,8)"),
        }
    )


@BOTH
def test_an_added_column_and_wider_types_are_read_beside_old_rows_and_after_upkeep(
    spark, rows: Rows, lake, spec, short
):
    first, then = versions(spec)
    old = rows(0, 10).withColumn("count", F.col("id").cast("int"))
    hudi_utils.write(old, first, lake, {"n": 0})
    until = hudi_utils.commits(lake, spec)[0].completed
    for unchanged in (
        hudi_utils.read(spark, then, lake),
        hudi_utils.read_marked(spark, then, lake, None),
        hudi_utils.read_since(spark, then, lake, None, until),
    ):
        assert [row.extra for row in unchanged.collect()] == [None] * 10, "no such column yet"
    assert [row["extra"] for row in hudi_utils.read_small(lake, then)] == [None] * 10
    for number in range(1, 5):
        new = evolved(rows(number * 10 - 1, number * 10 + 9, order=number))
        hudi_utils.write(new, then, lake, {"n": number})
        if number in {1, 4}:
            by_spark = hudi_utils.read(spark, then, lake).collect()
            found = Reader(lake).read(spec.name).to_pylist()
            keys = ("id", "row_order", "extra", "count", "price")
            told = [sorted(tuple(map(str, map(row.__getitem__, keys))) for row in found)]
            told.append(sorted(tuple(str(row[key]) for key in keys) for row in by_spark))
            assert told[0] == told[1]
            untouched = next(row for row in found if (row["id"], row["row_order"]) == ("3", 0))
            assert (untouched["extra"], untouched["count"]) == (None, 3)
            assert untouched["price"] == Decimal("0.375")
            touched = next(row for row in found if (row["id"], row["row_order"]) == ("9", 1))
            assert (touched["extra"], touched["count"]) == ("x9", 9 + 2**40)
            assert touched["price"] == HUGE
        list(table_services.maintain(spark, lake, spec, CLOSED))
    since = hudi_utils.commits(lake, spec)[-1].completed
    newest = hudi_utils.commits(lake, spec)[0].completed
    assert hudi_utils.read_since(spark, then, lake, since, newest).count() > 0


def test_logs_of_the_schema_before_are_compacted_so_that_every_reader_goes_on(
    spark, rows: Rows, lake
):
    first, then = versions(UPSERT)

    def actions() -> list[str]:
        return [commit.action for commit in hudi_utils.commits(lake, UPSERT)]

    for number in range(3):
        old = rows(number, 10, order=number).withColumn("count", F.col("id").cast("int"))
        hudi_utils.write(old, first, lake, {"n": number})
    assert actions() == ["deltacommit"] * 3, "a schema that stays asks for nothing"
    assert not hudi_utils.has_other_schema(lake, first)
    assert hudi_utils.has_other_schema(lake, then)
    spark.sql(compaction(f"{lake}/{UPSERT.name}", "schedule")).collect()
    more = rows(2, 10, order=2).withColumn("count", F.col("id").cast("int"))
    hudi_utils.write(more, first, lake, {"n": 2})
    hudi_utils.write(evolved(rows(8, 12, order=3)), then, lake, {"n": 3})
    assert actions()[:3] == ["deltacommit", "commit", "commit"], (
        "a killed run's plan, then the rest"
    )
    hudi_utils.write(evolved(rows(11, 14, order=4)), then, lake, {"n": 4})
    assert actions().count("commit") == 2
    by_spark = {row.id: row.asDict() for row in hudi_utils.read(spark, then, lake).collect()}
    found = {row["id"]: row for row in Reader(lake).read("t_upsert").to_pylist()}
    assert found.keys() == by_spark.keys() == {str(number) for number in range(14)}
    for name in ("row_order", "extra", "count", "price"):
        assert all(found[key][name] == by_spark[key][name] for key in found)
    orders = [*range(3), *[2] * 5, *[3] * 3, *[4] * 3]
    assert [found[str(number)]["row_order"] for number in range(14)] == orders
    assert [found[key]["extra"] for key in ("7", "8", "13")] == [None, "x8", "x13"]
    assert (found["7"]["price"], found["8"]["price"]) == (Decimal("0.875"), HUGE)
