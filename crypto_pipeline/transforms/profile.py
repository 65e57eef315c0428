"""Volume by price: bins of quarters, hours, sessions and UTC days, the point of control, the value area. Pure.

Quarters of an hour are binned from fills and all else from these, so a tick looks at few fills only.

A bin's width is the greatest of 1, 2 or 5 times a power of ten that is at most 1/2000 of the price. It
follows from the price alone, so a bin never moves when more trades come, and bins of two widths never
overlap: where the width changes, the price is a multiple of both.

The value area grows from the bin with the greatest volume (of equals the lowest) by its greater
neighbour (of equals the upper) until it holds 70 % of the window's volume. Prices without a fill have no
bin and are passed over.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.gold_tables import DAY, HOUR, QUARTER, THIRDS
from crypto_pipeline.schemas import NOTIONAL, PRICE, VOLUME
from crypto_pipeline.transforms.gold import (
    KEY,
    QUARTER_S,
    finished,
    schema,
    window_start,
    with_windows,
)

VALUE_SHARE = Fraction(7, 10)
_BINS_PER_PRICE = 2000
_WIDTHS = [Decimal(step).scaleb(power) for power in range(-8, 6) for step in (1, 2, 5)]
_THIRD_HOURS = 8
_LONGER = {HOUR: 3600, "third": _THIRD_HOURS * 3600, DAY: 86_400}
_TABLE = "gold_volume_profile"
_MARKS = ["is_point_of_control", "in_value_area"]
_GROUP = [*KEY, "session", "window_start"]
_PLACE = [*_GROUP, "price_low", "price_high"]
_SUMS = {
    "volume": VOLUME,
    "quote_volume": NOTIONAL,
    "buy_volume": VOLUME,
    "sell_volume": VOLUME,
    "trade_count": "bigint",
}
_BINS = [*_PLACE, *_SUMS]
_WINDOW = [*KEY, "window_start"]


def value_area(volumes: Sequence[Decimal]) -> tuple[int, int, int]:
    """Return the positions of the point of control and of the value area's lowest and highest bin.

    Args:
        volumes: of the bins by rising price, at least one.
    """
    exact = [Fraction(volume) for volume in volumes]
    wanted = sum(exact) * VALUE_SHARE
    peak = low = high = exact.index(max(exact))
    inside = exact[peak]
    while inside < wanted:
        below = exact[low - 1] if low else Fraction(-1)
        above = exact[high + 1] if high + 1 < len(exact) else Fraction(-1)
        if above >= below:
            high += 1
        else:
            low -= 1
        inside += max(above, below)
    return peak, low, high


def quarter_bins(counted: DataFrame, quarters: DataFrame) -> DataFrame:
    """Return the bins of some quarters of an hour.

    Args:
        counted: all fills in these quarters, see `gold.fills`; more do no harm.
        quarters: see `gold.touched_quarters`.
    """
    # Far fewer prices than fills: only these are asked for their bin.
    by_price = (
        counted.withColumn("window_start", window_start(F.col("trade_time"), QUARTER_S))
        .join(F.broadcast(quarters), _WINDOW, "left_semi")
        .groupBy(*_WINDOW, "price")
        .agg(
            F.sum("quantity").alias("volume"),
            F.sum("quote_quantity").alias("quote_volume"),
            _of_side("buy").alias("buy_volume"),
            _of_side("sell").alias("sell_volume"),
            F.sum("fill_count").alias("trade_count"),
        )
    )
    width = _width(F.col("price"))
    low = (F.col("price") - F.col("price") % width).cast(PRICE)
    places = {
        "session": F.lit(QUARTER),
        "price_low": low,
        "price_high": (low + width).cast(PRICE),
    }
    return by_price.withColumns(places).groupBy(*_PLACE).agg(*_summed())


def volume_profile(
    new: DataFrame, quarters: DataFrame, known: DataFrame | None, row_order: int
) -> DataFrame:
    """Return `gold_volume_profile` of the touched quarters, and of the hours, sessions and days that they lie in.

    A known bin that corrections have left without a fill comes again with zeros.

    Args:
        new: the bins of the touched quarters, see `quarter_bins`.
        quarters: see `gold.touched_quarters`.
        known: rows of `gold_volume_profile` of the same days, None while there are none.
        row_order: greater than that of any row written before.
    """
    all_quarters = new
    if known is not None:
        others = known.where(F.col("session") == QUARTER)
        others = others.join(F.broadcast(quarters), _WINDOW, "left_anti")
        all_quarters = new.unionByName(others.select(_BINS))
    windows = _in_sessions(quarters).distinct()
    longer = _in_sessions(all_quarters).groupBy(*_PLACE).agg(*_summed())
    bins = new.unionByName(longer.join(F.broadcast(windows), _GROUP, "left_semi"))
    if known is not None:
        zeros = (F.lit(0).cast(kind).alias(name) for name, kind in _SUMS.items())
        told = quarters.withColumn("session", F.lit(QUARTER)).unionByName(windows)
        before = known.join(F.broadcast(told), _GROUP, "left_semi")
        bins = bins.unionByName(before.select(*_PLACE, *zeros))
    rows = bins.groupBy(*_GROUP).applyInPandas(_mark, schema(_TABLE, _BINS + _MARKS))
    return finished(rows, _TABLE, row_order)


def _in_sessions(rows: DataFrame) -> DataFrame:
    """Repeat rows of quarters for the hour, third and day that each lies in: `session`, `window_start`."""
    repeated = with_windows(rows, "window_start", _LONGER)
    thirds = F.array(*(F.lit(name) for name in THIRDS))
    number = F.floor(F.hour("window") / _THIRD_HOURS).cast("int")
    named = F.col("interval").isin(HOUR, DAY)
    session = F.when(named, F.col("interval")).otherwise(F.get(thirds, number))
    places = {"session": session, "window_start": F.col("window")}
    return repeated.withColumns(places).drop("interval", "window")


def _width(price: Column) -> Column:
    widths = F.array(*(F.lit(width).cast(PRICE) for width in _WIDTHS))
    fitting = F.filter(
        widths, lambda width: (width * F.lit(_BINS_PER_PRICE)).cast("decimal(28,8)") <= price
    )
    return F.coalesce(F.array_max(fitting), F.lit(_WIDTHS[0]).cast(PRICE))


def _summed() -> list[Column]:
    return [F.sum(name).cast(kind).alias(name) for name, kind in _SUMS.items()]


def _of_side(side: str) -> Column:
    return F.sum(F.when(F.col("side") == side, F.col("quantity")).otherwise(F.lit(0)))


def _mark(group: pd.DataFrame) -> pd.DataFrame:
    """Return a window's bins, the emptied ones with zeros, and which of them are marked."""
    by_price = group.sort_values(["price_low", "trade_count"], ignore_index=True)
    bins = by_price.drop_duplicates("price_low", keep="last", ignore_index=True)
    filled = bins.index[bins["trade_count"] > 0]
    bins["is_point_of_control"] = bins["in_value_area"] = False
    if len(filled):
        peak, low, high = value_area(bins["volume"][filled].tolist())
        bins.loc[filled[peak], "is_point_of_control"] = True
        bins.loc[filled[low : high + 1], "in_value_area"] = True
    return bins
