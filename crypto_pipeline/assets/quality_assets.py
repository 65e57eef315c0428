"""The assets of the completeness ledger."""

from crypto_pipeline.assets.completeness_assets import take_stock
from crypto_pipeline.assets.describe import table_asset
from crypto_pipeline.assets.gaps_assets import follow_gaps
from crypto_pipeline.tables import TABLES

QUALITY = {"quality_completeness": take_stock, "quality_gaps": follow_gaps}
QUALITY_ASSETS = [table_asset(TABLES[name], body) for name, body in QUALITY.items()]
