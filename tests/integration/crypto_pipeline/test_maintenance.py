"""The maintenance job on a filled lake: every reader sees the same rows before, during and after."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hudi import HudiTableBuilder

import crypto_lake
from crypto_lake.tables import Lake as Reader
from crypto_pipeline.maintenance import lake_maintenance
from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import table_services
from shared.lake import upkeep
from shared.market.instruments import Market
from tests.integration.conftest import needs_captures
from tests.integration.crypto_pipeline.conftest import Lake, recorded_events

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.slow]
UM_BTC = "nkaz001-hftbacktest_usdm_btcusdt_20240808.jsonl.gz"


def plain(value: Any) -> Any:
    """Return a value as every engine's Python form of it looks."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return tuple(plain(item) for item in value.values())
    return value


def digest(rows: list[dict[str, Any]], columns: list[str]) -> tuple[int, str]:
    """Return the number of rows and a hash of all their values, whatever their order."""
    told = sorted(repr([plain(row[name]) for name in columns]) for row in rows)
    return len(told), hashlib.sha256("\n".join(told).encode()).hexdigest()


def by_hudi_rs(lake: Lake, name: str) -> tuple[int, str]:
    table = HudiTableBuilder.from_base_uri(f"{lake.lakehouse.lake}/{name}").build()
    rows = [row for batch in table.read() for row in batch.to_pylist()]
    return digest(rows, [column.name for column in TABLES[name].columns])


def by_every_engine(lake: Lake, folder: Path) -> dict[str, tuple[int, str]]:
    """Return each table's digest, after Spark, hudi-rs and DuckDB agreed on it."""
    found = {}
    for name in Reader(lake.lakehouse.lake).names:
        columns = [column.name for column in TABLES[name].columns]
        spark = digest([row.asDict(recursive=True) for row in lake.read(name).collect()], columns)
        duck = crypto_lake.sql(f"from {name}", folder).to_pylist()
        assert spark == by_hudi_rs(lake, name) == digest(duck, columns), name
        found[name] = spark
    return found


@needs_captures
@pytest.mark.timeout(1500)
def test_all_engines_read_the_same_rows_before_during_and_after(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, value in {"RETAINED": 1, "ACTIVE": 2, "CLOSED_FILES": 1}.items():
        monkeypatch.setattr(upkeep, name, value)
    events = recorded_events(Market.UM, UM_BTC)[:4500]
    for start in (0, 1500):
        lake.publish(events[start : start + 1500])
        lake.tick()
    before = by_every_engine(lake, tmp_path)
    assert len(before) > 12
    during = 0
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(
            lake_maintenance.execute_in_process, resources={"lakehouse": lake.lakehouse}
        )
        while not job.done():
            for name in ("bronze_trades", "silver_trades", "gold_ohlcv"):
                assert by_hudi_rs(lake, name) == before[name], "while it is maintained"
            during += 1
        assert job.result().success
    assert during > 3
    assert by_every_engine(lake, tmp_path) == before
    today = upkeep.first_open_day(datetime.now(UTC))
    for name in before:
        state = table_services.state_of(lake.lakehouse.lake, TABLES[name])
        assert state is not None
        steps = upkeep.plan(state, today).steps
        assert steps == [], name
        assert set(state.base_files.values()) <= {1}, name
    lake.publish(events[3000:])
    lake.tick()
    after = by_every_engine(lake, tmp_path)
    assert after["bronze_trades"][0] > before["bronze_trades"][0]
    trades = crypto_lake.sql(
        "select (select sum(trade_count) from gold_ohlcv where \"interval\" = '1d')::bigint as counted,"
        " count(*) as held from silver_trades where execution_type = 'MARKET'",
        tmp_path,
    ).to_pylist()[0]
    assert trades["counted"] == trades["held"] > 0
