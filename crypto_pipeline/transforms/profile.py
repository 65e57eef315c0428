"""Volume by price: bins of each UTC day and of its sessions, the point of control and the value area. Pure.

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

from crypto_pipeline.gold_tables import SESSIONS
from crypto_pipeline.schemas import NOTIONAL, PRICE, VOLUME
from crypto_pipeline.transforms.gold import KEY, finished, schema

VALUE_SHARE = Fraction(7, 10)
_BINS_PER_PRICE = 2000
_WIDTHS = [Decimal(step).scaleb(power) for power in range(-8, 6) for step in (1, 2, 5)]
_SESSION_HOURS = 8
_TABLE = "gold_volume_profile"
_MARKS = ["is_point_of_control", "in_value_area"]
_GROUP = [*KEY, "session", "window_start"]
_PLACE = [*_GROUP, "price_low", "price_high"]
_BINS = [*_PLACE, "volume", "quote_volume", "buy_volume", "sell_volume", "trade_count"]


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


def volume_profile(counted: DataFrame, known: DataFrame | None, row_order: int) -> DataFrame:
    """Return `gold_volume_profile` of the days of these fills.

    A known bin that corrections have left without a fill comes again with zeros.

    Args:
        counted: all fills of whole days, see `gold.fills`.
        known: rows of `gold_volume_profile` of the same days, None while there are none.
        row_order: greater than that of any row written before.
    """
    width = _width(F.col("price"))
    low = (F.col("price") - F.col("price") % width).cast(PRICE)
    day = F.date_trunc("day", "trade_time")
    third = F.floor(F.hour("trade_time") / _SESSION_HOURS)
    sessions = F.array(
        F.struct(F.lit(SESSIONS[0]).alias("session"), day.alias("start")),
        F.struct(
            F.element_at(
                F.array(*(F.lit(name) for name in SESSIONS[1:])), (third + 1).cast("int")
            ).alias("session"),
            F.timestamp_seconds(F.unix_seconds(day) + third * _SESSION_HOURS * 3600).alias("start"),
        ),
    )
    windows = (
        counted.withColumns({"price_low": low, "price_high": (low + width).cast(PRICE)})
        .withColumn("pair", F.explode(sessions))
        .withColumns({"session": F.col("pair.session"), "window_start": F.col("pair.start")})
    )
    bins = windows.groupBy(*_PLACE).agg(
        F.sum("quantity").cast(VOLUME).alias("volume"),
        F.sum("quote_quantity").cast(NOTIONAL).alias("quote_volume"),
        _of_side("buy").alias("buy_volume"),
        _of_side("sell").alias("sell_volume"),
        F.sum("fill_count").alias("trade_count"),
    )
    if known is not None:
        bins = bins.unionByName(known.select(*_PLACE, *_nothing()))
    rows = bins.groupBy(*_GROUP).applyInPandas(_mark, schema(_TABLE, _BINS + _MARKS))
    return finished(rows, _TABLE, row_order)


def _nothing() -> list[Column]:
    zeros = dict.fromkeys(["volume", "buy_volume", "sell_volume"], VOLUME)
    zeros |= {"quote_volume": NOTIONAL, "trade_count": "bigint"}
    return [F.lit(0).cast(kind).alias(name) for name, kind in zeros.items()]


def _width(price: Column) -> Column:
    widths = F.array(*(F.lit(width).cast(PRICE) for width in _WIDTHS))
    fitting = F.filter(
        widths, lambda width: (width * F.lit(_BINS_PER_PRICE)).cast("decimal(28,8)") <= price
    )
    return F.coalesce(F.array_max(fitting), F.lit(_WIDTHS[0]).cast(PRICE))


def _of_side(side: str) -> Column:
    return F.sum(F.when(F.col("side") == side, F.col("quantity")).otherwise(F.lit(0))).cast(VOLUME)


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
