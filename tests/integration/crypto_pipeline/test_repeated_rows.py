"""A trade that two collectors send stands once, also where both rows come in one batch."""

import pytest
from msgspec.structs import replace

from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from shared.market.events import Trade
from tests.integration.crypto_pipeline.conftest import Lake
from tests.integration.crypto_pipeline.test_profile_parts import ORIGIN, trade

pytestmark = [pytest.mark.kafka, pytest.mark.spark]

OTHER = replace(ORIGIN, connection="other")


def again(one: Trade, later_us: int) -> Trade:
    """Return a trade as another collector received it, so much later (earlier if negative)."""
    return replace(one, origin=OTHER, received_ns=one.received_ns + later_us * 1000)


def test_the_row_that_was_received_first_is_kept_and_no_other(lake: Lake) -> None:
    steps = ("bronze_trades", "silver_trades", "gold_ohlcv")
    first, second, third = (trade(number, number * 1000, "1") for number in (1, 2, 3))
    lake.publish([first, second, again(first, 5), again(second, -5)])
    lake.tick(*steps)
    lake.publish([third, again(third, -5), again(first, -9), trade(4, 4000, "1")])
    lake.tick(*steps)
    # As many rows as ids from the first to the last.
    fifth = trade(5, 5000, "1")
    lake.publish([fifth, again(fifth, 5), trade(7, 7000, "1")])
    lake.tick(*steps)
    kept = {"1": "other", "2": "other", "3": "other", "4": "t", "5": "t", "7": "t"}
    by_spark = [(row.trade_id, row.connection) for row in lake.read("silver_trades").collect()]
    assert sorted(by_spark) == sorted(kept.items())
    rows = hudi_utils.read_small(lake.lakehouse.lake, TABLES["silver_trades"])
    assert sorted((row["trade_id"], row["connection"]) for row in rows) == sorted(kept.items())
    (day,) = lake.read("gold_ohlcv").where("interval = '1d'").collect()
    assert (day.trade_count, day.volume) == (6, 6)
