"""Days of 2019 from an archive through the whole path, and how archived rows meet live ones."""

import gzip
import json
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import feather

from tests.conftest import free_port
from tests.integration.conftest import (
    CAPTURES,
    REPO,
    Venue,
    clean_environment,
    mock_exchange,
)
from tests.integration.crypto_pipeline.conftest import Lake

pytestmark = [pytest.mark.kafka, pytest.mark.spark]

ARCHIVES = CAPTURES.parent / "archives"
OLD_TRADES = ARCHIVES / "freqtrade_XRP_OLD-trades.json.gz"
FIRST_ID, LAST_ID, COUNT = 13_519_807, 13_532_283, 12_477
STEPS = ("bronze_trades", "silver_trades", "gold_ohlcv")
needs_archives = pytest.mark.skipif(
    not ARCHIVES.is_dir(), reason="the archive files in ../shared are not on this machine"
)


def old_rows() -> list[dict[str, Any]]:
    """Return the aggregate trades of XRPETH of October 2019, as the venue told them."""
    with gzip.open(OLD_TRADES) as file:
        return [item["info"] for item in json.load(file)]


def write_days(folder: Path, rows: list[dict[str, Any]]) -> list[str]:
    """Write the rows as the venue's day files; returns the days."""
    days: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        day = datetime.fromtimestamp(row["T"] / 1000, UTC).date().isoformat()
        days[day].append(
            ",".join(str(row[key]) for key in ("a", "p", "q", "f", "l", "T", "m", "M"))
        )
    place = folder / "data" / "spot" / "daily" / "aggTrades" / "XRPETH"
    place.mkdir(parents=True, exist_ok=True)
    for day, lines in days.items():
        (place / f"XRPETH-aggTrades-{day}.csv").write_text("\n".join(lines) + "\n")
    return sorted(days)


def backfill(
    lake: Lake, venue: Venue, folder: Path, first: str, last: str, *options: str
) -> tuple[int, list[dict[str, Any]]]:
    """Run the command as a user does; returns its exit code and what it says of each day."""
    command = [sys.executable, "-m", "streaming.cli", "backfill", "--from", first, "--to", last]
    command += ["--symbol", "XRPETH", "--channel", "aggTrade", "--json", *options]
    settings = {
        "CRYPTO_PATHS__DATA_DIR": str(folder),
        "CRYPTO_PATHS__SYMBOLS_FILE": str(lake.lakehouse.settings.paths.symbols_file),
        "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": lake.bootstrap,
    }
    done = subprocess.run(
        command,
        env=clean_environment() | venue.environment | settings,
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@needs_archives
def test_three_days_of_2019_become_the_candles_of_their_time(lake: Lake, tmp_path: Path) -> None:
    rows = old_rows()
    first, *_, last = write_days(tmp_path / "archive-files", rows)
    arguments = ("simulate", "--symbols", "", "--archive", str(tmp_path / "archive-files"))
    with mock_exchange(free_port(), tmp_path / "mock.log", *arguments) as venue:
        code, days = backfill(lake, venue, tmp_path, first, last)
    assert code == 0
    assert [day["state"] for day in days] == ["brought"] * 3
    assert sum(day["content"]["rows"] for day in days) == COUNT
    assert (days[0]["content"]["first_id"], days[-1]["content"]["last_id"]) == (FIRST_ID, LAST_ID)
    assert sum(day["content"]["missing"] + day["missing_before"] for day in days) == 0
    lake.tick(*STEPS)
    silver = {row.trade_sequence: row for row in lake.read("silver_trades").collect()}
    assert sorted(silver) == list(range(FIRST_ID, LAST_ID + 1))
    for row in rows:
        held = silver[row["a"]]
        assert (f"{held.price:f}", f"{held.quantity:f}") == (row["p"], row["q"])
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
