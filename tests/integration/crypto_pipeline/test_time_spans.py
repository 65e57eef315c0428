"""Gold reads the latest commits of trades instead of the day, and makes the same of them."""

from collections.abc import Callable

import pytest
from pyspark.sql import SparkSession

from crypto_pipeline.assets.increments import Increment
from crypto_pipeline.assets.time_spans import rows_about
from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import fills, windows
from crypto_pipeline.utils import hudi_utils
from tests.integration.crypto_pipeline.conftest import Lake
from tests.integration.crypto_pipeline.test_profile_parts import (
    TABLES_MADE,
    aggregate,
    facts,
    trade,
)

pytestmark = [pytest.mark.kafka, pytest.mark.spark]

MINUTE_US = 60_000_000
STEPS = ("bronze_trades", "silver_trades", *TABLES_MADE)


def read_last(of: Lake) -> set[str] | None:
    """Return the ids about those of the last tick, for candles that cannot grow by these; None for the whole day."""
    source = TABLES["silver_trades"]
    after, until = (
        item.completed for item in reversed(hudi_utils.commits(of.lakehouse.lake, source)[:2])
    )
    increment = Increment(of.lakehouse, source, after, until)
    rows = rows_about(increment, windows.MINUTE_S, fills.NEAR_S)
    return None if rows is None else {row.trade_id for row in rows.collect()}


def test_the_latest_commits_make_the_candles_that_the_whole_day_makes(
    lake: Lake, beside: Callable[[str], Lake], spark: SparkSession
) -> None:
    for minute in range(0, 50, 10):
        first = 10 * minute
        lake.publish(
            trade(first + number, minute * MINUTE_US + number * MINUTE_US // 20, "1")
            for number in range(40)
        )
        lake.tick(*STEPS)
        if minute == 20:
            hudi_utils.compact(spark, TABLES["silver_trades"], lake.lakehouse.lake)
    assert read_last(lake) == {str(400 + number) for number in range(40)}

    # A commit of ten minutes, of which the next one's windows need the last.
    lake.publish(
        trade(500 + number, 50 * MINUTE_US + number * MINUTE_US // 2, "1") for number in range(20)
    )
    lake.tick(*STEPS)
    lake.publish([trade(520, 60 * MINUTE_US, "1")])
    lake.tick(*STEPS)
    assert read_last(lake) == {"518", "519", "520"}

    # The other form of fills that are known, the minute begun before, and one from where no commit reaches.
    at_us = 41 * MINUTE_US - 50_000
    lake.publish([aggregate(7, at_us, "2", 419, 420), trade(450, at_us + 1, "1")])
    lake.tick(*STEPS)
    known = read_last(lake)
    assert known is not None
    assert {"7", "450", "400", "439"} <= known
    assert not {"0", "339"} & known
    lake.publish([trade(451, 30 * MINUTE_US + 1, "3")])
    lake.tick(*STEPS)
    known = read_last(lake)
    assert known is not None
    assert {"300", "451"} <= known
    assert "139" not in known
    lake.publish([trade(460, 5, "3")])
    lake.tick(*STEPS)
    assert read_last(lake) is None

    again = beside("again")
    again.tick(*TABLES_MADE)
    for name in TABLES_MADE:
        assert facts(lake, name) == facts(again, name)
