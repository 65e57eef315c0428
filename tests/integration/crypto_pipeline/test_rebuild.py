"""The rebuild job on real tables: what was wrong or lacking follows from bronze again, the rest stays."""

import msgspec
import pytest
from pyspark.sql import functions as F

from crypto_lake import verify
from crypto_lake.tables import Lake as Reader
from crypto_pipeline.assets.increments import SourceCheckpoint, nothing
from crypto_pipeline.rebuild import lake_rebuild
from crypto_pipeline.tables import TABLES
from crypto_pipeline.utils import hudi_utils
from shared.market.instruments import Market
from tests.integration.conftest import needs_captures
from tests.integration.crypto_pipeline.conftest import Lake, recorded_events
from tests.integration.crypto_pipeline.test_gold import mark_prices

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.slow, needs_captures]
UM_BTC = "nkaz001-hftbacktest_usdm_btcusdt_20240808.jsonl.gz"
BRONZE = ("bronze_trades", "bronze_depth", "bronze_quotes")
RIGHT = ("silver_book", "silver_marks", "gold_book_metrics", "gold_funding_basis")
ABOVE = ("silver_trades", "gold_ohlcv", "gold_volatility", *RIGHT)


def rebuild(lake: Lake) -> dict[str, int]:
    """Run the job for the recorded day; returns the rows written per table, of those with any."""
    config = {"symbols": ["BTCUSDT"], "dates": ["2024-08-08"]}
    result = lake_rebuild.execute_in_process(
        run_config={"ops": {"symbol_days": {"config": config}}},
        resources={"lakehouse": lake.lakehouse},
    )
    assert result.success
    written = {}
    for event in result.all_events:
        if event.is_successful_output and "rows written" in event.step_output_data.metadata:
            name = event.step_key.removeprefix("rebuild_")
            written[name] = event.step_output_data.metadata["rows written"].value
    assert set(ABOVE) <= set(written)
    return {name: rows for name, rows in written.items() if rows}


def skip_first_rows(lake: Lake, name: str) -> None:
    """Let a silver table believe that it has read all that bronze holds."""
    spec = TABLES[name]
    root = lake.lakehouse.lake
    until = hudi_utils.latest_completion(root, TABLES[spec.sources[0]])
    assert until is not None
    covered = SourceCheckpoint(spec.sources[0], until)
    hudi_utils.write(nothing(lake.lakehouse, spec), spec, root, covered)


@pytest.mark.timeout(1500)
def test_a_symbol_day_follows_from_bronze_again_and_a_second_run_writes_nothing(lake: Lake):
    events = recorded_events(Market.UM, UM_BTC)[:4000]
    lake.publish(events[:1000])
    lake.tick(*BRONZE)
    skip_first_rows(lake, "silver_trades")
    lake.publish([*events[1000:], *mark_prices()])
    lake.tick(*BRONZE, *ABOVE)
    lacking = lake.read("bronze_trades").count() - lake.read("silver_trades").count()
    assert lacking > 0
    root = lake.lakehouse.lake
    trades = TABLES["silver_trades"]
    wrong = (
        lake.read("silver_trades")
        .limit(1)
        .withColumn("price", (F.col("price") + 1).cast("decimal(17,8)"))
        .withColumn("row_order", F.col("row_order") + 1)
    )
    checkpoint = SourceCheckpoint("bronze_trades", "0")
    hudi_utils.write(wrong, trades, root, checkpoint)
    written = rebuild(lake)
    assert written["silver_trades"] == lacking + 1
    assert written["gold_ohlcv"] > 0
    assert set(RIGHT).isdisjoint(written)
    assert hudi_utils.last_checkpoint(root, trades) == msgspec.json.encode(checkpoint)
    reader = Reader(root)
    for check in verify.checks():
        verdict = verify.verify(reader, check)
        assert verdict is None or verdict.wrong == 0 or "missing" in check.name, check.name
    assert rebuild(lake) == {}
