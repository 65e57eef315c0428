"""A closed day as it came live, against the archive's rows of it."""

import pytest
from dagster import AssetCheckSeverity, materialize

from crypto_pipeline.assets.reconciliation_assets import RECONCILIATION_ASSETS
from shared.market.events import Source
from tests.integration.crypto_pipeline.conftest import Lake
from tests.integration.crypto_pipeline.test_late_rows import ARCHIVE, LIVE, REST, candle, trade

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.timeout(900)]

DAY = "2019-10-11"


def reconciled(lake: Lake) -> tuple[dict[str, dict], object]:
    """Run the asset for the day; returns its rows by channel, and the check's verdict."""
    done = materialize(
        RECONCILIATION_ASSETS, partition_key=DAY, resources={"lakehouse": lake.lakehouse}
    )
    assert done.success
    (verdict,) = done.get_asset_check_evaluations()
    assert verdict.severity is AssetCheckSeverity.WARN
    rows = lake.read("quality_reconciliation").where(f"date = '{DAY}'").collect()
    return {row.channel: row.asDict() for row in rows}, verdict


def publish(lake: Lake, source: Source, numbers: range, price: str = "1.5") -> None:
    lake.publish(trade(source, number, price) for number in numbers)


def test_what_is_missing_extra_and_different_is_told_id_by_id(lake: Lake) -> None:
    publish(lake, LIVE, range(30))
    publish(lake, REST, range(30, 32))
    publish(lake, LIVE, range(50, 52))
    publish(lake, LIVE, range(40, 42), "1.7")
    lake.publish([candle(LIVE, "2", True), candle(LIVE, "9", False, 2)])
    lake.tick("bronze_trades", "bronze_klines")
    days, verdict = reconciled(lake)
    assert not verdict.passed, "there is nothing to compare with yet"
    assert {channel: row["state"] for channel, row in days.items()} == {
        "aggTrade": "only live",
        "kline_1m": "only live",
    }
    assert days["aggTrade"]["extra"] is None

    publish(lake, ARCHIVE, range(42))
    lake.publish([candle(ARCHIVE, "2", True, 3)])
    lake.tick("bronze_trades", "bronze_klines")
    days, verdict = reconciled(lake)
    assert not verdict.passed
    assert verdict.description == "1 of 2 compared channels differ from the archive"
    trades = days["aggTrade"]
    counts = {
        name: trades[name]
        for name in ("live_rows", "archive_rows", "missing", "extra", "different", "state")
    }
    assert counts == {
        "live_rows": 36,
        "archive_rows": 42,
        "missing": 8,
        "extra": 2,
        "different": 2,
        "state": "different",
    }
    assert (trades["first_missing"], trades["last_missing"]) == ("32", "39")
    assert (trades["first_extra"], trades["last_extra"]) == ("50", "51")
    assert trades["differences"] == ("price 2, first 40: live 1.70000000, archive 1.50000000")
    assert days["kline_1m"]["state"] == "equal"

    # The venue replaces its file: the last version of a row is the one that counts.
    lake.publish(trade(ARCHIVE, number, "1.7", received_ns=9) for number in range(40, 42))
    lake.tick("bronze_trades")
    days, _ = reconciled(lake)
    assert (days["aggTrade"]["different"], days["aggTrade"]["differences"]) == (0, None)


def test_a_day_of_the_archive_alone_and_a_day_of_nothing(lake: Lake) -> None:
    publish(lake, ARCHIVE, range(3))
    lake.tick("bronze_trades")
    days, verdict = reconciled(lake)
    assert not verdict.passed
    assert (days["aggTrade"]["state"], days["aggTrade"]["missing"]) == ("only archive", None)
    done = materialize(
        RECONCILIATION_ASSETS, partition_key="2019-10-12", resources={"lakehouse": lake.lakehouse}
    )
    (nothing,) = done.get_asset_check_evaluations()
    assert not nothing.passed
    assert lake.read("quality_reconciliation").count() == 1
