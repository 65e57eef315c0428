"""Candles and profile grow by new trades where these only add, and are what all trades at once make."""

from collections.abc import Callable

import msgspec
import pytest
from msgspec.structs import replace

from crypto_pipeline.assets.additions import only_adds
from crypto_pipeline.assets.gold_assets import GOLD
from crypto_pipeline.assets.increments import Increment, SourceCheckpoint
from crypto_pipeline.rebuild import rebuild_day
from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from shared.market.events import Source
from tests.integration.crypto_pipeline.conftest import Lake
from tests.integration.crypto_pipeline.test_profile_parts import (
    ORIGIN,
    TABLES_MADE,
    facts,
    trade,
)

pytestmark = [pytest.mark.kafka, pytest.mark.spark]

SECOND_US = 1_000_000
TRADES = ("bronze_trades", "silver_trades")


def grows(of: Lake, name: str) -> bool:
    """Tell whether a table may grow by what silver holds beyond its checkpoint."""
    lake, source = of.lakehouse.lake, TABLES["silver_trades"]
    text = hudi_utils.last_checkpoint(lake, TABLES[name])
    until = hudi_utils.latest_completion(lake, source)
    assert text is not None
    assert until is not None
    covered = msgspec.json.decode(text, type=SourceCheckpoint)
    return only_adds(Increment(of.lakehouse, source, covered.until, until), name)


def test_tables_grow_by_new_trades_to_what_all_trades_make(
    lake: Lake, beside: Callable[[str], Lake]
) -> None:
    lake.publish(trade(number, number * SECOND_US // 4, "1") for number in range(500))
    lake.tick(*TRADES, *TABLES_MADE)

    # The last second goes on: at one moment with its last trade, and with one from before its first.
    last = 499 * SECOND_US // 4
    lake.publish(
        [trade(500, last, "2"), trade(501, last - SECOND_US // 2, "3"), trade(502, last - 1, "4")]
    )
    lake.tick(*TRADES)
    assert all(grows(lake, name) for name in TABLES_MADE)
    # A rebuilt day counts what its checkpoint does not cover: to grow would count it twice.
    for name in TABLES_MADE:
        assert rebuild_day(lake.lakehouse, TABLES[name], GOLD[name], ["BTCUSDT"], "2024-08-08")
    assert not any(grows(lake, name) for name in TABLES_MADE)
    lake.tick(*TABLES_MADE)

    # Two commits at once, one in the minute before; then a trade that is known, with a new one.
    lake.publish([trade(503, last - 70 * SECOND_US, "5")])
    lake.tick(*TRADES)
    lake.publish([trade(504, last + 3600 * SECOND_US, "6")])
    lake.tick(*TRADES)
    assert all(grows(lake, name) for name in TABLES_MADE)
    lake.tick(*TABLES_MADE)
    lake.publish([trade(503, last - 70 * SECOND_US, "5"), trade(505, last, "7")])
    lake.tick(*TRADES)
    assert not any(grows(lake, name) for name in TABLES_MADE)
    lake.tick(*TABLES_MADE)

    again = beside("again")
    again.tick(*TABLES_MADE)
    for name in TABLES_MADE:
        assert facts(lake, name) == facts(again, name)

    # A correction that moves a trade out of its second; then one more in that minute.
    alone = trade(506, 7200 * SECOND_US, "8")
    rest = replace(ORIGIN, source=Source.BINANCE_REST)
    for more in (alone, replace(alone, origin=rest, trade_time=alone.trade_time - 500)):
        lake.publish([more])
        lake.tick(*TRADES, *TABLES_MADE)
    lake.publish([trade(507, 7230 * SECOND_US, "9")])
    lake.tick(*TRADES)
    assert not any(grows(lake, name) for name in TABLES_MADE)
    lake.tick(*TABLES_MADE)
    (day,) = lake.read("gold_ohlcv").where("interval = '1d'").collect()
    assert day.trade_count == 508
