"""Gold: pairs of a table and what recomputes the rows that new source rows touch."""

from functools import partial, reduce
from operator import or_

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.assets.describe import table_asset
from crypto_pipeline.assets.increments import Build, Increment, advance
from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import (
    correlation,
    daily,
    episodes,
    gold,
    indicators,
    liquidity,
    profile,
    series,
    spikes,
    volatility,
)


def _ohlcv(increment: Increment) -> DataFrame:
    new = increment.rows
    silver = increment.around("silver_trades")
    return gold.ohlcv(
        new if silver is None else silver,
        gold.touched_minutes(new),
        increment.around("gold_ohlcv"),
        increment.row_order,
    )


def _volume_profile(increment: Increment) -> DataFrame:
    trades = increment.around("silver_trades")
    rows = profile.volume_profile(increment.rows if trades is None else trades, increment.row_order)
    return gold.only_changed(rows, increment.around("gold_volume_profile"))


def _candles(increment: Increment, *intervals: str, of_all: bool = False) -> DataFrame:
    """Return candles of the touched symbols (or of all) from a day before the new ones to a day after."""
    new = increment.rows
    table = increment.table("gold_ohlcv")
    parts = increment.partitions
    if table is None:
        return series.marked(new, new, intervals)
    near = table.where(F.col("date").isin(parts.near(1))) if of_all else parts.within(table, 1)
    return series.marked(near, new, intervals)


def _volume_spikes(increment: Increment) -> DataFrame:
    candles = _candles(increment, "1m", "5m", "15m", "1h")
    known = increment.around("gold_volume_spikes", 1)
    return spikes.volume_spikes(candles, known, increment.row_order)


def _indicators(increment: Increment) -> DataFrame:
    reach = indicators.REACH_DAYS
    known = increment.around("gold_indicators", max(reach.values()))
    if known is not None:
        is_near = (
            (F.col("interval") == name) & F.col("date").isin(increment.partitions.near(days))
            for name, days in reach.items()
        )
        known = known.where(reduce(or_, is_near))
    return indicators.indicators(increment.rows, known, increment.row_order)


def _spread_episodes(increment: Increment) -> DataFrame:
    new = increment.rows
    metrics = increment.around("gold_book_metrics", 1)
    known = increment.around("gold_spread_episodes", 1)
    return episodes.spread_episodes(
        new, new if metrics is None else metrics, known, increment.row_order
    )


def _daily_summary(increment: Increment) -> DataFrame:
    candles = increment.around("gold_ohlcv")
    rows = daily.daily_summary(
        increment.rows if candles is None else candles,
        increment.around("gold_book_metrics"),
        increment.around("gold_volume_spikes"),
        increment.row_order,
    )
    return gold.only_changed(rows, increment.around("gold_daily_summary"))


GOLD: dict[str, Build] = {
    "gold_ohlcv": _ohlcv,
    "gold_book_metrics": lambda new: liquidity.book_metrics(new.rows, new.row_order),
    "gold_liquidity": lambda new: liquidity.liquidity(new.rows, new.row_order),
    "gold_spread_episodes": _spread_episodes,
    "gold_volume_profile": _volume_profile,
    "gold_volatility": lambda new: volatility.volatility(_candles(new, "1m"), new.row_order),
    "gold_volume_spikes": _volume_spikes,
    "gold_indicators": _indicators,
    "gold_correlation": lambda new: correlation.correlation(
        _candles(new, "1m", of_all=True), new.row_order
    ),
    "gold_daily_summary": _daily_summary,
}
GOLD_ASSETS = [
    table_asset(TABLES[name], partial(advance, spec=TABLES[name], build=build))
    for name, build in GOLD.items()
]
