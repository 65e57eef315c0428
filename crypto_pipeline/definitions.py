"""What Dagster loads: assets, checks, the jobs and the schedule. Needs no network, JVM or settings."""

from dagster import Definitions

from crypto_pipeline.assets.archive_assets import ARCHIVE_ASSETS
from crypto_pipeline.assets.bronze_assets import BRONZE_ASSETS
from crypto_pipeline.assets.gold_assets import GOLD_ASSETS
from crypto_pipeline.assets.reconciliation_assets import RECONCILIATION_ASSETS
from crypto_pipeline.assets.silver_assets import SILVER_ASSETS
from crypto_pipeline.automation import backfill, every_minute, lake_tick, reconcile
from crypto_pipeline.checks import CHECKS
from crypto_pipeline.resources import LakehouseResource

defs = Definitions(
    assets=[
        *ARCHIVE_ASSETS,
        *BRONZE_ASSETS,
        *SILVER_ASSETS,
        *GOLD_ASSETS,
        *RECONCILIATION_ASSETS,
    ],
    asset_checks=CHECKS,
    jobs=[lake_tick, backfill, reconcile],
    schedules=[every_minute],
    resources={"lakehouse": LakehouseResource()},
)
