"""What Dagster loads: assets, checks, the jobs and their schedules. Needs no network, JVM or settings."""

from dagster import Definitions

from crypto_pipeline.assets.bronze_assets import BRONZE_ASSETS
from crypto_pipeline.assets.gold_assets import GOLD_ASSETS
from crypto_pipeline.assets.silver_assets import SILVER_ASSETS
from crypto_pipeline.automation import every_20_minutes, every_minute, lake_tick
from crypto_pipeline.checks import CHECKS
from crypto_pipeline.maintenance import lake_maintenance
from crypto_pipeline.rebuild import lake_rebuild
from crypto_pipeline.releases import lake_release
from crypto_pipeline.resources import LakehouseResource

defs = Definitions(
    assets=[*BRONZE_ASSETS, *SILVER_ASSETS, *GOLD_ASSETS],
    asset_checks=CHECKS,
    jobs=[lake_tick, lake_maintenance, lake_rebuild, lake_release],
    schedules=[every_minute, every_20_minutes],
    resources={"lakehouse": LakehouseResource()},
)
