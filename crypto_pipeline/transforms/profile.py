"""Volume by price: bins of minutes up to UTC days, the point of control, the value area. Pure.

Minutes are binned from fills, quarters of an hour from these, and hours, sessions and days from quarters: a
tick looks at few fills only.

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

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.gold_tables import DAY, HOUR, MINUTE, QUARTER, THIRDS
from crypto_pipeline.schemas import NOTIONAL, PRICE, VOLUME
from crypto_pipeline.transforms.fills import QUARTER_S
from crypto_pipeline.transforms.gold_rows import KEY, finished, schema
from crypto_pipeline.transforms.windows import MINUTE_S, window_start, with_windows

VALUE_SHARE = Fraction(7, 10)
_BINS_PER_PRICE = 2000
_WIDTHS = [Decimal(step).scaleb(power) for power in range(-8, 6) for step in (1, 2, 5)]
_THIRD_HOURS = 8
_THIRD = "third"
_LONGER = {HOUR: 3600, _THIRD: _THIRD_HOURS * 3600, DAY: 86_400}
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


def minute_bins(counted: DataFrame, minutes: DataFrame) -> DataFrame:
    """Return the bins of some minutes.

    Args:
        counted: all fills in these minutes, see `fills.counted`; more do no harm.
        minutes: see `windows.touched_minutes`.
    """
    # Far fewer prices than fills: only these are asked for their bin.
    minute = window_start(F.col("trade_time"), MINUTE_S)
    by_price = (
        counted.select("*", minute.alias("minute"))
        .join(F.broadcast(minutes), [*KEY, "minute"], "left_semi")
        .groupBy(*KEY, F.col("minute").alias("window_start"), "price")
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
    places = by_price.select(
        "*",
        F.lit(MINUTE).alias("session"),
        low.alias("price_low"),
        (low + width).cast(PRICE).alias("price_high"),
    )
    return places.groupBy(*_PLACE).agg(*_summed())


def grown(new: DataFrame, known: DataFrame, minutes: DataFrame) -> DataFrame:
    """Return the bins of some minutes, known ones with what new fills add.

    Args:
        new: see `minute_bins`; of fills that no known bin counts.
        known: rows of `gold_volume_profile`.
        minutes: see `windows.touched_minutes`.
    """
    told = minutes.select(*KEY, F.col("minute").alias("window_start"))
    before = known.where(F.col("session") == MINUTE).join(F.broadcast(told), _WINDOW, "left_semi")
    return new.unionByName(before.select(_BINS)).groupBy(*_PLACE).agg(*_summed())


def volume_profile(
    new: DataFrame, minutes: DataFrame, known: DataFrame | None, row_order: int
) -> DataFrame:
    """Return `gold_volume_profile` of the touched minutes, and of all longer windows that they lie in.

    A known bin that corrections have left without a fill comes again with zeros.

    Args:
        new: the bins of the touched minutes, see `minute_bins`.
        minutes: see `windows.touched_minutes`.
        known: rows of `gold_volume_profile` of the same days, None while there are none.
        row_order: greater than that of any row written before.
    """
    told = minutes.select(
        *KEY, F.lit(MINUTE).alias("session"), F.col("minute").alias("window_start")
    )
    quarters, in_quarters = _composed(_all(new, told, known, MINUTE), told, {QUARTER: QUARTER_S})
    longer, in_longer = _composed(_all(in_quarters, quarters, known, QUARTER), quarters, _LONGER)
    bins = new.unionByName(in_quarters).unionByName(in_longer)
    if known is not None:
        zeros = (F.lit(0).cast(kind).alias(name) for name, kind in _SUMS.items())
        windows = told.unionByName(quarters).unionByName(longer)
        before = known.join(F.broadcast(windows), _GROUP, "left_semi")
        bins = bins.unionByName(before.select(*_PLACE, *zeros))
    rows = bins.groupBy(*KEY, F.to_date("window_start")).applyInPandas(
        _mark, schema(_TABLE, _BINS + _MARKS)
    )
    return finished(rows, _TABLE, row_order)


def is_made_of_minutes(known: DataFrame) -> bool:
    """Tell whether each known day has as many fills in its minutes as in all.

    It has not where an older version has written of it.
    """
    counts = (
        F.sum(F.when(F.col("session") == name, F.col("trade_count"))).alias(name)
        for name in (MINUTE, DAY)
    )
    days = known.groupBy(*KEY, "date").agg(*counts)
    return days.where(~F.col(MINUTE).eqNullSafe(F.col(DAY))).isEmpty()


def _all(new: DataFrame, told: DataFrame, known: DataFrame | None, session: str) -> DataFrame:
    """Return the bins of all windows of a session, those that are told from `new`, the others from `known`."""
    if known is None:
        return new
    others = known.where(F.col("session") == session)
    others = others.join(F.broadcast(told), _WINDOW, "left_anti")
    return new.unionByName(others.select(_BINS))


def _composed(
    parts: DataFrame, touched: DataFrame, lengths: dict[str, int]
) -> tuple[DataFrame, DataFrame]:
    """Return the longer windows that touched ones lie in, and their bins from those of shorter windows."""
    windows = _in_sessions(touched, lengths, KEY)
    bins = _in_sessions(parts, lengths, [*KEY, "price_low", "price_high", *_SUMS])
    lying_in = bins.join(F.broadcast(windows), _GROUP, "left_semi")
    return windows, lying_in.groupBy(*_PLACE).agg(*_summed())


def _in_sessions(rows: DataFrame, lengths: dict[str, int], kept: Sequence[str]) -> DataFrame:
    """Repeat rows for each longer window that theirs lies in: `session`, `window_start`, and what is kept."""
    repeated = with_windows(rows, "window_start", lengths, kept)
    thirds = F.array(*(F.lit(name) for name in THIRDS))
    number = F.floor(F.hour("window_start") / _THIRD_HOURS).cast("int")
    is_third = F.col("interval") == _THIRD
    session = F.when(is_third, F.get(thirds, number)).otherwise(F.col("interval"))
    return repeated.select(*kept, session.alias("session"), "window_start")


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


def _mark(day: pd.DataFrame) -> pd.DataFrame:
    """Return the bins of a day's windows, the emptied ones with zeros, and which of them are marked."""
    window = ["session", "window_start"]
    order = [*window, "price_low"]
    by_price = day.sort_values([*order, "trade_count"], ignore_index=True)
    bins = by_price.drop_duplicates(order, keep="last", ignore_index=True)
    is_control, is_inside = np.zeros(len(bins), bool), np.zeros(len(bins), bool)
    filled = bins.index[bins["trade_count"] > 0].to_numpy()
    volumes = bins["volume"].to_numpy()
    for within in bins.loc[filled].groupby(window, sort=False).indices.values():
        places = filled[within]
        peak, low, high = value_area(volumes[places])
        is_control[places[peak]] = True
        is_inside[places[low : high + 1]] = True
    return bins.assign(is_point_of_control=is_control, in_value_area=is_inside)
