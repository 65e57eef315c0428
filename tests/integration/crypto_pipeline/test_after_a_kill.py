"""What a killed tick left between two tables, the next one brings on, though Kafka has nothing new for it."""

import os
import subprocess
import sys

import pytest

from tests.conftest import clean_environment
from tests.integration.crypto_pipeline.conftest import Lake
from tests.integration.crypto_pipeline.test_profile_parts import trade

pytestmark = [pytest.mark.kafka, pytest.mark.spark]

TICK = """
import sys
from dagster import AssetKey
from crypto_pipeline.automation import JOB
from crypto_pipeline.definitions import defs

tables = [AssetKey(name) for name in sys.argv[1:]]
defs.resolve_job_def(JOB).execute_in_process(asset_selection=tables)
"""


def test_a_process_that_finds_nothing_in_kafka_fills_silver(lake: Lake) -> None:
    lake.publish([trade(number, number * 1000, "1") for number in (1, 2, 3)])
    lake.tick("bronze_trades")
    settings = {name: text for name, text in os.environ.items() if name.startswith("CRYPTO_")}
    subprocess.run(
        [sys.executable, "-c", TICK, "bronze_trades", "silver_trades"],
        env=clean_environment() | settings,
        check=True,
        capture_output=True,
    )
    kept = lake.read("silver_trades").sort("trade_id").collect()
    assert [row.trade_id for row in kept] == ["1", "2", "3"]
