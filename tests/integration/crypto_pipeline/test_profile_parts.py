"""Gold brought up to date minute by minute is what all trades at once make of it."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from shared.market.events import AggregateTrade, Origin, Source, Trade
from shared.market.instruments import Exchange, Market
from tests.integration.crypto_pipeline.conftest import Lake, bought

pytestmark = [pytest.mark.kafka, pytest.mark.spark]

HOUR_US = 3_600_000_000
MIDNIGHT_US = 1_723_075_200_000_000  # 2024-08-08
ORIGIN = Origin(
    Exchange.BINANCE,
    Market.SPOT,
    "BTCUSDT",
    "BTCUSDT",
    "trade",
    Source.BINANCE_WEBSOCKET,
    "t",
    1,
)
TABLES_MADE = "gold_ohlcv", "gold_volume_profile"


def trade(number: int, at_us: int, quantity: str) -> Trade:
    return bought(ORIGIN, number, MIDNIGHT_US + at_us, str(60_000 + number), quantity)


def aggregate(number: int, at_us: int, quantity: str, first: int, last: int) -> AggregateTrade:
    one = trade(first, at_us, quantity)
    fields = {
        name: getattr(one, name) for name in one.__struct_fields__ if name != "execution_type"
    }
    return AggregateTrade(
        **fields | {"origin": replace(ORIGIN, channel="aggTrade"), "trade_id": str(number)},
        first_trade_id=str(first),
        last_trade_id=str(last),
    )


def facts(of: Lake, name: str) -> set[tuple[object, ...]]:
    """Return a table's rows without their order, and without bins that say they were emptied."""
    columns = [column.name for column in TABLES[name].columns if column.name != "row_order"]
    rows = of.read(name).where("trade_count > 0").select(columns).collect()
    return {tuple(row) for row in rows}


def write_without_minutes(of: Lake, folder: Path) -> None:
    """Begin a lake with this one's profile as it was written before profiles had minutes."""
    spec = TABLES["gold_volume_profile"]
    rows = of.read(spec.name).where("session <> 'minute'")
    checkpoint = hudi_utils.last_checkpoint(of.lakehouse.lake, spec)
    assert checkpoint is not None
    hudi_utils.write(rows, spec, str(folder / "lake"), msgspec.Raw(checkpoint))


def test_minutes_make_the_days_that_all_trades_at_once_make(
    lake: Lake, beside: Callable[[str], Lake], tmp_path: Path
) -> None:
    steps = ("bronze_trades", "silver_trades", *TABLES_MADE)
    border, another, late = 14 * HOUR_US, 12 * HOUR_US, 3 * HOUR_US
    moved = trade(200, another, "5")
    lake.publish(
        [
            trade(50, border - HOUR_US // 2, "1"),
            aggregate(10, border - 50_000, "3", 100, 101),
            moved,
            trade(201, another + 100_000, "4"),
            trade(300, 15 * HOUR_US, "1"),
        ]
    )
    lake.tick(*steps)
    lake.publish([trade(100, border - 50_000, "1")])
    lake.tick(*steps)
    write_without_minutes(lake, tmp_path / "old")
    archive = replace(ORIGIN, source=Source.BINANCE_ARCHIVE)
    earlier = replace(moved, origin=archive, trade_time=moved.trade_time - 500)
    lake.publish([trade(101, border + 20_000, "2"), trade(20, late, "7"), earlier])
    lake.tick(*steps)
    others = {}
    for name in ("old", "again"):
        others[name] = beside(name)
        others[name].tick(*TABLES_MADE)
    at_once = facts(others["again"], "gold_volume_profile")
    assert len({row[3] for row in at_once}) == 6, "minutes, quarters, hours, two thirds and the day"
    assert facts(lake, "gold_volume_profile") == at_once
    assert facts(others["old"], "gold_volume_profile") == at_once
    assert facts(lake, "gold_ohlcv") == facts(others["again"], "gold_ohlcv")
    (day,) = lake.read("gold_ohlcv").where("interval = '1d'").collect()
    assert day.volume == 1 + 1 + 2 + 5 + 4 + 1 + 7
