"""The traps of Hudi, each shown to be closed, on real tables."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import crypto_lake
from crypto_lake.errors import QueryError
from crypto_lake.tables import Lake as Reader
from crypto_pipeline.errors import CheckpointMissingError
from crypto_pipeline.schemas import LEVELS, Column
from crypto_pipeline.tables import Layer, TableSpec
from crypto_pipeline.utils import hudi_utils

pytestmark = [pytest.mark.spark]

COLUMNS = (
    Column("exchange", "string"),
    Column("market", "string"),
    Column("symbol", "string"),
    Column("id", "string"),
    Column("price", "decimal(17,8)"),
    Column("bids", LEVELS),
    Column("at", "timestamp"),
    Column("row_order", "bigint"),
    Column("date", "string"),
)
KEY = ("exchange", "market", "symbol", "id")
APPEND = TableSpec("t_append", Layer.BRONZE, "", (), KEY, COLUMNS)
UPSERT = TableSpec("t_upsert", Layer.SILVER, "", (), KEY, COLUMNS, "row_order")
Rows = Callable[..., DataFrame]


@pytest.fixture
def rows(spark: SparkSession) -> Rows:
    def make(start: int, end: int, order: int = 0, date: str = "2024-08-08") -> DataFrame:
        price = (F.col("id") / 8).cast("decimal(17,8)")
        level = F.struct(price.alias("price"), price.cast("decimal(20,8)").alias("quantity"))
        return spark.range(start, end).select(
            F.lit("binance").alias("exchange"),
            F.lit("spot").alias("market"),
            F.lit("BTCUSDT").alias("symbol"),
            F.col("id").cast("string").alias("id"),
            price.alias("price"),
            F.array(level, level).cast(LEVELS).alias("bids"),
            F.timestamp_micros(F.col("id") + 1).alias("at"),
            F.lit(order).cast("bigint").alias("row_order"),
            F.lit(date).alias("date"),
        )

    return make


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


@pytest.mark.parametrize("spec", [APPEND, UPSERT], ids=lambda spec: spec.name)
def test_a_commit_carries_rows_and_checkpoint_and_an_increment_is_read_once(
    spark, rows, lake, spec
):
    assert hudi_utils.last_checkpoint(lake, spec) is None
    assert hudi_utils.latest_completion(lake, spec) is None
    first = hudi_utils.write(rows(0, 10), spec, lake, {"n": 1})
    second = hudi_utils.write(rows(10, 15), spec, lake, {"n": 2})
    assert (first.rows, second.rows) == (10, 5)
    assert hudi_utils.last_checkpoint(lake, spec) == b'{"n":2}'
    until = hudi_utils.latest_completion(lake, spec)
    assert until == second.commit.completed
    since = hudi_utils.read_since(spark, spec, lake, first.commit.completed, until)
    assert sorted(int(row.id) for row in since.collect()) == list(range(10, 15))
    assert hudi_utils.read_since(spark, spec, lake, None, until).count() == 15
    assert hudi_utils.read_since(spark, spec, lake, until, until).count() == 0


@pytest.mark.parametrize("spec", [APPEND, UPSERT], ids=lambda spec: spec.name)
def test_no_rows_still_advance_the_checkpoint(spark, rows, lake, spec):
    hudi_utils.write(rows(0, 3), spec, lake, {"n": 1})
    report = hudi_utils.write(rows(0, 0), spec, lake, {"n": 2})
    assert report.rows == 0
    assert hudi_utils.last_checkpoint(lake, spec) == b'{"n":2}'
    assert hudi_utils.read(spark, spec, lake).count() == 3


@pytest.mark.parametrize("spec", [APPEND, UPSERT], ids=lambda spec: spec.name)
def test_a_symbol_in_chinese_has_its_partition_also_in_the_c_locale(spark, rows, lake, spec):
    symbol = "币安人生USDT"
    for start in (0, 10):
        hudi_utils.write(
            rows(start, start + 10).withColumn("symbol", F.lit(symbol)), spec, lake, {}
        )
    assert hudi_utils.read(spark, spec, lake).where(F.col("symbol") == symbol).count() == 20
    assert hudi_utils.dates_of(lake, spec, symbol) == ["2024-08-08"]
    assert Reader(lake).read(spec.name, symbols=[symbol]).num_rows == 20


def register(spark: SparkSession, spec: TableSpec, lake: str) -> None:
    spark.sql(f"drop table if exists {spec.name}")
    spark.sql(f"create table {spec.name} using hudi location '{lake}/{spec.name}'")


def test_clustering_and_clean_leave_checkpoint_rows_and_increments_as_they_were(spark, rows, lake):
    for number in range(4):
        report = hudi_utils.write(rows(number * 10, number * 10 + 10), APPEND, lake, {"n": number})
    until = report.commit.completed
    register(spark, APPEND, lake)
    spark.sql(
        f"call run_clustering(table => '{APPEND.name}', op => 'scheduleandexecute')"
    ).collect()
    spark.sql(f"call run_clean(table => '{APPEND.name}', retain_commits => 1)").collect()
    newest = hudi_utils.commits(lake, APPEND)[0]
    assert newest.action == "replacecommit", "clustering has happened"
    assert hudi_utils.checkpoint_of(lake, APPEND, newest) is None
    assert hudi_utils.last_checkpoint(lake, APPEND) == b'{"n":3}'
    assert hudi_utils.latest_completion(lake, APPEND) == until
    assert hudi_utils.read_since(spark, APPEND, lake, until, newest.completed).count() == 0
    assert hudi_utils.read(spark, APPEND, lake).count() == 40
    after = hudi_utils.write(rows(40, 45), APPEND, lake, {"n": 4})
    since = hudi_utils.read_since(spark, APPEND, lake, until, after.commit.completed)
    assert sorted(int(row.id) for row in since.collect()) == list(range(40, 45))
    assert hudi_utils.read(spark, APPEND, lake).select("id").distinct().count() == 45


def compact(spark: SparkSession, spec: TableSpec, lake: str) -> None:
    """Compact as maintenance does; a write never does it by itself."""
    actions = {commit.action for commit in hudi_utils.commits(lake, spec)}
    assert actions == {"deltacommit"}
    spark.sql(
        f"call run_compaction(path => '{lake}/{spec.name}', op => 'scheduleandexecute',"
        " options => 'hoodie.compact.inline.max.delta.commits=1')"
    ).collect()
    assert "commit" in {commit.action for commit in hudi_utils.commits(lake, spec)}


def test_compaction_leaves_checkpoint_and_rows_as_they_were(spark, rows, lake):
    for number in range(4):
        hudi_utils.write(rows(0, 5, order=number), UPSERT, lake, {"n": number})
    until = hudi_utils.latest_completion(lake, UPSERT)
    compact(spark, UPSERT, lake)
    newest = hudi_utils.commits(lake, UPSERT)[0]
    assert hudi_utils.checkpoint_of(lake, UPSERT, newest) is None
    assert hudi_utils.last_checkpoint(lake, UPSERT) == b'{"n":3}'
    assert hudi_utils.latest_completion(lake, UPSERT) == until
    assert until is not None
    assert hudi_utils.partitions_of_news(lake, UPSERT, until, newest.completed) == set()
    assert hudi_utils.writes_since_checkpoint(lake, UPSERT) == 2
    found = hudi_utils.read(spark, UPSERT, lake).collect()
    assert [(row.row_order) for row in found] == [3] * 5


def test_rows_are_marked_new_as_an_incremental_read_tells_them_before_and_after_compaction(
    spark, rows, lake
):
    def ids(frame: DataFrame) -> list[int]:
        return sorted(int(row.id) for row in frame.collect())

    last = hudi_utils.write(rows(0, 40), UPSERT, lake, {"n": 0}).commit.completed
    for number in range(1, 9):
        if number == 5:
            compact(spark, UPSERT, lake)
        written = hudi_utils.write(
            rows(number, number + 5, order=number), UPSERT, lake, {"n": number}
        )
        until = written.commit.completed
        marked = hudi_utils.read_marked(spark, UPSERT, lake, last)
        since = hudi_utils.read_since(spark, UPSERT, lake, last, until)
        assert ids(marked.where("is_new")) == ids(since) == list(range(number, number + 5))
        last = until
    assert ids(hudi_utils.read_marked(spark, UPSERT, lake, None).where("is_new")) == list(range(40))
    assert ids(hudi_utils.read_marked(spark, UPSERT, lake, last).where("is_new")) == []


def test_an_older_form_of_a_row_does_not_replace_a_newer_one(spark, rows, lake):
    hudi_utils.write(rows(0, 5, order=9), UPSERT, lake, {})
    hudi_utils.write(rows(0, 5, order=3), UPSERT, lake, {})
    assert {row.row_order for row in hudi_utils.read(spark, UPSERT, lake).collect()} == {9}


def test_a_table_with_rows_but_no_checkpoint_is_not_ingested_into(spark, rows, lake):
    options = hudi_utils.write_options(APPEND)
    rows(0, 3).write.format("hudi").options(**options).mode("append").save(f"{lake}/{APPEND.name}")
    with pytest.raises(CheckpointMissingError, match="t_append"):
        hudi_utils.last_checkpoint(lake, APPEND)


@pytest.mark.parametrize("spec", [APPEND, UPSERT], ids=lambda spec: spec.name)
def test_the_reader_without_a_jvm_sees_the_rows_that_spark_sees(spark, rows, lake, spec):
    for number in range(3):
        hudi_utils.write(rows(number * 3, number * 3 + 5, order=number), spec, lake, {})
    hudi_utils.write(rows(0, 5, order=9, date="2024-08-09"), spec, lake, {})
    expected = [row.asDict(recursive=True) for row in hudi_utils.read(spark, spec, lake).collect()]
    found = Reader(lake).read(spec.name).to_pylist()
    order = lambda row: (row["date"], int(row["id"]), row["row_order"])  # noqa: E731 - used twice below
    for row in (*expected, *found):
        row["at"] = row["at"].replace(tzinfo=None)
    assert sorted(found, key=order) == sorted(expected, key=order)
    one_day = Reader(lake).read(spec.name, symbols=["BTCUSDT"], dates=["2024-08-09"])
    assert one_day.num_rows == 5
    counted = crypto_lake.sql(
        f"select count(*) as n, sum(price) as s from {spec.name}", Path(lake).parent
    )
    assert counted["n"][0].as_py() == len(expected)
    assert counted["s"][0].as_py() == sum(row["price"] for row in expected)


@pytest.mark.parametrize("spec", [APPEND, UPSERT], ids=lambda spec: spec.name)
def test_a_query_opens_no_file_of_a_day_that_it_leaves_out(rows, lake, spec):
    for number in range(3):
        hudi_utils.write(rows(number * 3, number * 3 + 5, order=number), spec, lake, {})
    for number in range(2):
        hudi_utils.write(rows(0, 5, order=number, date="2024-08-09"), spec, lake, {})
    for file in Path(lake, spec.name, "symbol=BTCUSDT", "date=2024-08-08").iterdir():
        file.write_bytes(b"no Parquet, no log")
    for where in (
        "date = '2024-08-09'",
        "date in ('2024-08-09', '2024-08-10')",
        "date > '2024-08-08' and bids[1].price >= 0",
        """date = '2024-08-09' and "at" >= timestamptz '1970-01-01 00:00:00+00' and price >= 0""",
    ):
        found = crypto_lake.sql(f"select id from {spec.name} where {where}", Path(lake).parent)
        assert sorted(found["id"].to_pylist()) == sorted("01234" * (2 if spec is APPEND else 1))
    with pytest.raises(QueryError):
        crypto_lake.sql(f"select sum(price) from {spec.name}", Path(lake).parent)
