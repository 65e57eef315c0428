"""What Dagster loads: assets, checks, the jobs and what starts them. Needs no network, JVM or settings."""

from dagster import Definitions

from crypto_pipeline.alarms import runs_failed, staleness_sensor
from crypto_pipeline.assets.archive_assets import ARCHIVE_ASSETS
from crypto_pipeline.assets.bronze_assets import BRONZE_ASSETS
from crypto_pipeline.assets.gold_assets import GOLD_ASSETS
from crypto_pipeline.assets.healing_assets import HEALING_ASSETS
from crypto_pipeline.assets.quality_assets import QUALITY_ASSETS
from crypto_pipeline.assets.reconciliation_assets import RECONCILIATION_ASSETS
from crypto_pipeline.assets.silver_assets import SILVER_ASSETS
from crypto_pipeline.automation import (
    backfill,
    every_20_minutes,
    every_hour,
    heal,
    heal_open_gaps,
    lake_tick,
    next_tick,
    reconcile,
)
from crypto_pipeline.checks import CHECKS
from crypto_pipeline.maintenance import lake_maintenance
from crypto_pipeline.old_runs import forget_runs
from crypto_pipeline.rebuild import lake_rebuild
from crypto_pipeline.releases import lake_release
from crypto_pipeline.resources import LakehouseResource

TICK_ASSETS = [*BRONZE_ASSETS, *SILVER_ASSETS, *GOLD_ASSETS, *QUALITY_ASSETS]
defs = Definitions(
    assets=[*TICK_ASSETS, *HEALING_ASSETS, *ARCHIVE_ASSETS, *RECONCILIATION_ASSETS],
    asset_checks=CHECKS,
    jobs=[
        lake_tick,
        heal,
        backfill,
        reconcile,
        lake_maintenance,
        lake_rebuild,
        lake_release,
        forget_runs,
    ],
    schedules=[every_20_minutes, every_hour],
    sensors=[
        next_tick,
        heal_open_gaps,
        runs_failed,
        staleness_sensor(item.key for item in TICK_ASSETS),
    ],
    resources={"lakehouse": LakehouseResource()},
)
