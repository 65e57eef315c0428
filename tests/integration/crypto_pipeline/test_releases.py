"""A release on real tables: read by its name after cleaning, until it is dropped."""

from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from crypto_lake import query, releases
from crypto_lake.errors import TooEarlyError
from crypto_lake.tables import Lake as Reader
from crypto_pipeline import releases as module
from crypto_pipeline.errors import ReleaseError
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.utils import hudi_utils, table_services
from shared.lake.timeline import moment
from tests.integration.crypto_pipeline.test_hudi_utils import APPEND, UPSERT, Rows, lake, rows
from tests.integration.crypto_pipeline.test_table_services import CLOSED, short

__all__ = ["lake", "rows", "short"]
pytestmark = [pytest.mark.spark]


@pytest.fixture
def lakehouse(lake, spark_server, monkeypatch) -> LakehouseResource:
    """A lakehouse whose tables are the two of these tests."""
    monkeypatch.setenv("CRYPTO_PATHS__LAKE_ROOT", lake)
    monkeypatch.setenv("CRYPTO_SPARK__REMOTE", spark_server)
    tables = {spec.name: spec for spec in (APPEND, UPSERT)}
    monkeypatch.setattr(module, "TABLES", tables)
    return LakehouseResource()


def test_a_release_is_read_by_its_name_after_cleaning_and_let_go_when_dropped(
    spark, rows: Rows, lake, lakehouse, short
):
    both = (APPEND, UPSERT)
    for spec in both:
        for number in range(3):
            hudi_utils.write(rows(0, 10, order=number), spec, lake, {"n": number})
    module.keep(lakehouse, "paper-1")
    with pytest.raises(ReleaseError, match="there is a release paper-1"):
        module.keep(lakehouse, "paper-1")
    for number in range(3, 10):
        for spec in both:
            hudi_utils.write(rows(0, 10, order=number), spec, lake, {"n": number})
            list(table_services.maintain(spark, lake, spec, CLOSED))
    found = releases.find(lake, "paper-1")
    assert found is not None
    sql = "select count(*) as n, max(row_order) as newest from {}"
    past, now = Reader(lake, found), Reader(lake)
    for spec, held, holds in ((APPEND, 30, 100), (UPSERT, 10, 10)):
        assert query.run(past, sql.format(spec.name)).to_pylist() == [{"n": held, "newest": 2}]
        assert query.run(now, sql.format(spec.name)).to_pylist() == [{"n": holds, "newest": 9}]
        assert hudi_utils.read(spark, spec, lake).count() == holds
        assert hudi_utils.last_checkpoint(lake, spec) == b'{"n":9}'
    module.drop(lakehouse, "paper-1")
    assert releases.find(lake, "paper-1") is None
    with pytest.raises(ReleaseError, match="There are: none"):
        module.drop(lakehouse, "paper-1")
    for spec in both:
        state = table_services.state_of(lake, spec)
        assert state is not None
        assert state.savepoints == ()
        list(table_services.maintain(spark, lake, spec, CLOSED))
    early = moment(found.tables[UPSERT.name])
    with pytest.raises(TooEarlyError):
        query.run(Reader(lake, early), f"from {UPSERT.name}")


def test_a_release_is_read_after_its_tables_have_got_another_schema(
    spark, rows: Rows, lake, lakehouse
):
    for spec in (APPEND, UPSERT):
        for number in range(3):
            hudi_utils.write(rows(number, 10, order=number), spec, lake, {"n": number})
    module.keep(lakehouse, "before")
    for spec in (APPEND, UPSERT):
        wider = rows(0, 12, order=3).withColumns(
            {"extra": F.when(F.col("id") >= "", "x"), "price": F.col("price").cast("decimal(20,8)")}
        )
        hudi_utils.write(wider, spec, lake, {"n": 3})
    past = Reader(lake, releases.find(lake, "before"))
    sql = "select count(*) as n, max(row_order) as newest, sum(price) as s from {}"
    eighth = Decimal("0.125")
    for spec, held, total in ((APPEND, 27, 134), (UPSERT, 10, 45)):
        found = query.run(past, sql.format(spec.name)).to_pylist()
        assert found == [{"n": held, "newest": 2, "s": total * eighth}]
