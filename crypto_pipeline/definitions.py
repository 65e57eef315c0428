"""What Dagster loads: assets, checks, the job and its schedule. Needs no network, JVM or settings."""

from dagster import Definitions

from crypto_pipeline.alarms import run_failed, staleness_sensor
from crypto_pipeline.assets.bronze_assets import BRONZE_ASSETS
from crypto_pipeline.assets.gold_assets import GOLD_ASSETS
from crypto_pipeline.assets.healing_assets import HEALING_ASSETS
from crypto_pipeline.assets.quality_assets import QUALITY_ASSETS
from crypto_pipeline.assets.silver_assets import SILVER_ASSETS
from crypto_pipeline.automation import every_minute, heal, heal_open_gaps, lake_tick
from crypto_pipeline.checks import CHECKS
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES

defs = Definitions(
    assets=[*BRONZE_ASSETS, *SILVER_ASSETS, *GOLD_ASSETS, *QUALITY_ASSETS, *HEALING_ASSETS],
    asset_checks=CHECKS,
    jobs=[lake_tick, heal],
    schedules=[every_minute],
    sensors=[heal_open_gaps, run_failed, staleness_sensor(TABLES)],
    resources={"lakehouse": LakehouseResource()},
)
