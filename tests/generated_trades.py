"""Trades of five instruments as whole numbers: every form in which fills come to the lake.

Prices and quantities are in units of 10^-8, times in µs. A row has `is_counted`: whether gold must count it.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

START_US = 1_723_075_200_000_000  # 2024-08-08, midnight
DAYS = 3
_MINUTE_US = 60_000_000
_KINDS = ["MARKET", "INSURANCE_FUND", "ADL", "NA"]


@dataclass(frozen=True)
class Kind:
    """An instrument, where its price starts and by what it moves, and the channels it comes through."""

    market: str
    symbol: str
    price: int
    tick: int
    lot: int
    channels: str


KINDS = (
    Kind("spot", "BTCUSDT", 6_000_000_000_000, 150_000_000, 1_000, "trade"),
    Kind("um", "BTCUSDT", 6_010_000_000_000, 10_000_000, 100_000, "trade"),
    Kind("um", "ETHUSDT", 250_100_000_000, 1_000_000, 100_000, "both"),
    Kind("spot", "ETHUSDT", 250_000_000_000, 7_000_000, 10_000, "both"),
    Kind("spot", "SHIBUSDT", 3_900, 1, 100_000_000, "aggTrade"),
)


def generate(count: int, seed: int = 1) -> pl.DataFrame:
    """Return about so many rows, in no order."""
    parts = [
        _of(kind, count // len(KINDS), np.random.default_rng([seed, number]))
        for number, kind in enumerate(KINDS)
    ]
    return pl.concat(parts).sample(fraction=1.0, shuffle=True, seed=seed)


def _of(kind: Kind, count: int, random: np.random.Generator) -> pl.DataFrame:
    fills = _fills(kind, count, random)
    is_of_book = pl.col("execution_type").fill_null("MARKET") == "MARKET"
    singles = fills.with_columns(
        pl.lit("trade").alias("channel"),
        pl.lit(None, pl.Int64).alias("first_id"),
        pl.lit(None, pl.Int64).alias("last_id"),
        pl.lit(1, pl.Int64).alias("fill_count"),
        (is_of_book & (pl.col("quantity") > 0)).alias("is_counted"),
    )
    aggregates = (
        singles.filter("is_counted")
        .group_by("order", maintain_order=True)
        .agg(
            pl.col("time", "price", "is_buy", "is_counted").first(),
            pl.col("quantity").sum(),
            pl.lit(None, pl.String).alias("execution_type"),
            pl.col("id").first().alias("first_id"),
            pl.col("id").last().alias("last_id"),
        )
        .with_columns(
            pl.col("order").alias("id"),
            pl.lit("aggTrade").alias("channel"),
            (pl.col("last_id") - pl.col("first_id") + 1).alias("fill_count"),
        )
        .select(singles.columns)
    )
    match kind.channels:
        case "both":
            rows = _both(singles, aggregates, random)
        case "aggTrade":
            rows = aggregates
        case _:
            rows = singles
    return rows.with_columns(
        pl.lit(kind.market).alias("market"), pl.lit(kind.symbol).alias("symbol")
    )


def _both(
    singles: pl.DataFrame, aggregates: pl.DataFrame, random: np.random.Generator
) -> pl.DataFrame:
    """Subscribe to the single fills half-way; from then on both channels lose what they lose.

    Of an order that is held as an aggregate, either all fills are held singly, or the aggregate counts.
    """
    orders = int(singles["order"].max()) + 1
    # Of a fifth of the orders some fills are lost, the first, the last or others; of some orders all.
    kept_share = random.choice([0.0, 0.5, 1.0], orders, p=[0.1, 0.2, 0.7])
    is_told = random.random(orders) < 0.9
    kept_share[: orders // 2], is_told[: orders // 2] = 0.0, True
    held = singles.filter(random.random(len(singles)) < kept_share[singles["order"]])
    wanted = singles.filter("is_counted").group_by("order").agg(pl.len().alias("wanted"))
    whole = (
        held.filter("is_counted").group_by("order").agg(pl.len()).join(wanted, "order")
        .filter(pl.col("len") == pl.col("wanted"))["order"]
    )  # fmt: skip
    told = aggregates.filter(pl.Series(is_told)[aggregates["order"]])
    is_whole = pl.col("order").is_in(whole.implode())
    is_told_too = pl.col("order").is_in(told["order"].implode())
    return pl.concat(
        [
            told.with_columns(~is_whole.alias("is_counted")),
            held.with_columns(pl.col("is_counted") & (is_whole | ~is_told_too)),
        ]
    )


def _fills(kind: Kind, count: int, random: np.random.Generator) -> pl.DataFrame:
    """Fills in the order of their ids; those of one order share time, price and side."""
    order = np.cumsum(random.random(count) < 0.4)
    walk = kind.price + kind.tick * np.cumsum(random.integers(-1, 2, order[-1] + 1))
    quantity = kind.lot * random.integers(1, 100_000, count)
    types = random.choice(4, count, p=[0.97, 0.01, 0.01, 0.01])
    quantity[types == 3] = 0
    is_futures = kind.market == "um"
    return pl.DataFrame(
        {
            "order": order,
            "time": _times(int(order[-1]) + 1, random)[order],
            "price": np.maximum(walk, kind.price // 10)[order],
            "quantity": quantity if is_futures else np.maximum(quantity, kind.lot),
            "is_buy": (random.random(order[-1] + 1) < 0.5)[order],
            "execution_type": np.array(_KINDS)[types] if is_futures else [None] * count,
            "id": 1_000_000 + np.arange(count),
        },
        schema_overrides={"execution_type": pl.String},
    )


def _times(count: int, random: np.random.Generator) -> np.ndarray:
    """Times to the millisecond, many alike; a tenth of the minutes is quiet, others are busy."""
    weights = random.lognormal(0, 1, DAYS * 1440) * (random.random(DAYS * 1440) < 0.9)
    minutes = random.choice(DAYS * 1440, count, p=weights / weights.sum())
    return np.sort(START_US + minutes * _MINUTE_US + random.integers(0, 60_000, count) * 1000)
