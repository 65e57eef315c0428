"""Past days from an archive through the whole path: of 2019, and with kills in between."""

import gzip
import json
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey
from pyarrow import feather

from crypto_pipeline.definitions import defs
from shared.market.topics import Feed
from tests.integration.conftest import (
    CAPTURES,
    REPO,
    until,
)
from tests.integration.crypto_pipeline.conftest import Lake, write_days

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.timeout(900)]

ARCHIVES = CAPTURES.parent / "archives"
OLD_TRADES = ARCHIVES / "freqtrade_XRP_OLD-trades.json.gz"
FIRST_ID, LAST_ID, COUNT = 13_519_807, 13_532_283, 12_477
DAYS = AssetKey("archive_days")
STEPS = ("archive_days", "bronze_trades", "silver_trades", "gold_ohlcv")
needs_archives = pytest.mark.skipif(
    not ARCHIVES.is_dir(), reason="the archive files in ../shared are not on this machine"
)


def old_rows() -> list[dict[str, Any]]:
    """Return the aggregate trades of XRPETH of October 2019, as the venue told them."""
    with gzip.open(OLD_TRADES) as file:
        return [item["info"] for item in json.load(file)]


@needs_archives
def test_three_days_of_2019_become_the_candles_of_their_time(lake: Lake, archive: Path) -> None:
    rows = old_rows()
    first, *_, last = write_days(archive, rows)
    days = {"first_day": first, "last_day": last, "symbols": ["XRPETH"], "channels": ["aggTrade"]}
    done = defs.resolve_job_def("backfill").execute_in_process(
        run_config={"ops": {"archive_days": {"config": days}}},
        asset_selection=[AssetKey(name) for name in STEPS],
    )
    assert done.success
    (check,) = [item for item in done.get_asset_check_evaluations() if item.asset_key == DAYS]
    assert check.passed
    (told,) = done.asset_materializations_for_node("archive_days")
    assert (told.metadata["brought"].value, told.metadata["rows"].value) == (3, COUNT)
    assert f"| {last} | spot | XRPETH | aggTrade | brought |" in told.metadata["table"].value
    silver = {row.trade_sequence: row for row in lake.read("silver_trades").collect()}
    assert sorted(silver) == list(range(FIRST_ID, LAST_ID + 1))
    for row in rows:
        held = silver[row["a"]]
        assert (held.price, held.quantity) == (Decimal(row["p"]), Decimal(row["q"]))
        assert (held.side == "sell", held.source) == (row["m"], "binance_archive")
        assert held.trade_time.timestamp() == row["T"] / 1000
    for interval, count in (("1m", 2469), ("5m", 706)):
        truth = feather.read_table(ARCHIVES / f"freqtrade_XRP_ETH-{interval}.feather").to_pylist()
        gold = {
            row.window_start.timestamp(): row
            for row in lake.read("gold_ohlcv").where(f"interval = '{interval}'").collect()
        }
        assert len(truth) == len(gold) == count
        for candle in truth:
            own = gold[candle["date"].timestamp()]
            for name in ("open", "high", "low", "close"):
                assert float(own[name]) == candle[name], (candle["date"], name)
            assert float(own["volume"]) == pytest.approx(candle["volume"], rel=1e-6)


def published(lake: Lake) -> int:
    """Return how many trades Kafka holds."""
    held = lake.lakehouse.watermarks(Feed.TRADES).end
    return sum(end for partitions in held.values() for end in partitions.values())


def test_a_backfill_that_is_killed_goes_on_and_silver_holds_each_row_once(
    lake: Lake, archive: Path
) -> None:
    per_day = 60_000
    rows = [
        {"a": n, "p": "1.5", "q": "2", "f": n, "l": n, "m": True, "M": True}
        | {"T": 1_570_752_000_000 + n // per_day * 86_400_000 + n % per_day}
        for n in range(3 * per_day)
    ]
    first, *_, last = write_days(archive, rows)
    program = [sys.executable, "-m", "streaming.cli", "backfill", "--json", "--symbol", "XRPETH"]
    program += ["--channel", "aggTrade", "--from", first, "--to", last]
    # In the midst of the first day, of the second, and of the second again.
    for least in (per_day // 3, 2 * per_day, 3 * per_day):
        with subprocess.Popen(program, cwd=REPO, stdout=subprocess.PIPE) as process:
            until(lambda least=least: published(lake) >= least, 60, f"{least} records in Kafka")
            process.kill()
        assert process.returncode == -signal.SIGKILL, "killed, not finished"
    done = subprocess.run(program, cwd=REPO, check=True, capture_output=True)
    states = [day["state"] for day in json.loads(done.stdout)]
    assert states[0] == "known", "the first day was done before the second kill"
    assert states[2] == "brought"
    assert published(lake) > 3 * per_day
    lake.tick("bronze_trades", "silver_trades")
    silver = [row.trade_sequence for row in lake.read("silver_trades").collect()]
    assert sorted(silver) == list(range(3 * per_day))
