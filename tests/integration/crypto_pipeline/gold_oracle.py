"""Gold of generated trades by Spark, against Polars, NumPy and whole numbers.

`python -m tests.integration.crypto_pipeline.gold_oracle --trades 10000000` compares ten million at the Spark
of CRYPTO_SPARK__REMOTE; CI compares fewer. Amounts must be equal to the last digit, ratios to 1e-12.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crypto_pipeline.schemas import NOTIONAL, PRICE, QUANTITY
from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import (
    correlation,
    daily,
    indicators,
    ohlcv,
    profile,
    series,
    spikes,
    volatility,
)
from crypto_pipeline.transforms.fills import counted, forms
from crypto_pipeline.transforms.windows import touched_minutes
from shared.settings import load_settings
from tests import gold_reference
from tests.generated_trades import generate

INSTRUMENT = ["market", "symbol"]
SECONDS = {"1s": 1, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400,
           "24h": 86_400}  # fmt: skip
SAMPLES = 1500
"""Of each rolling table; the sums are compared in every row."""
Key = tuple[Any, ...]
Candles = dict[tuple[str, str, str], dict[int, dict[str, Any]]]


class Verdict:
    """How many rows of a table were compared, and by how much the worst ratio is off."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.rows = 0
        self.worst = 0.0

    def ratio(
        self, found: float | None, expected: float | None, scale: float, where: object
    ) -> None:
        """Hold two ratios against one another, relative or of a scale where that is greater."""
        if found is None or expected is None:
            assert found is expected, (self.table, where, found, expected)
            return
        off = abs(found - expected) / max(abs(expected), scale, 1e-300)
        self.worst = max(self.worst, off)
        assert off <= 1e-12, (self.table, where, found, expected)

    def __str__(self) -> str:
        return f"{self.table}: {self.rows:,} rows, ratios within {self.worst:.1e}"


def silver(spark: SparkSession, file: Path) -> DataFrame:
    """Return generated trades in the columns of `silver_trades`; those that gold does not read are null."""
    unit = F.lit("0.00000001").cast("decimal(8,8)")
    whole = {"price": PRICE, "quantity": QUANTITY}
    decimals = {
        name: (F.col(name).cast("decimal(19,0)") * unit).cast(kind) for name, kind in whole.items()
    }
    rows = spark.read.parquet(str(file)).withColumns(
        {
            **decimals,
            "exchange": F.lit("binance"),
            "trade_id": F.col("id").cast("string"),
            "trade_sequence": F.col("id"),
            "side": F.when(F.col("is_buy"), "buy").otherwise("sell"),
            "trade_time": F.timestamp_micros("time"),
            "first_trade_id": F.col("first_id").cast("string"),
            "last_trade_id": F.col("last_id").cast("string"),
        }
    )
    made = rows.withColumns(
        {
            "quote_quantity": (F.col("price") * F.col("quantity")).cast(NOTIONAL),
            "date": F.date_format("trade_time", "yyyy-MM-dd"),
        }
    )
    unread = ("event_time", "received_ns", "source", "connection", "epoch", "row_order")
    types = {column.name: column.type for column in TABLES["silver_trades"].columns}
    nothing = {name: F.lit(None).cast(types[name]) for name in unread}
    return made.withColumns(nothing).select(list(types))


def compute(spark: SparkSession, trades: DataFrame, folder: Path) -> dict[str, pl.DataFrame]:
    """Return the tables of gold, decimals as whole numbers of their last digit."""
    found = {}

    def kept(name: str, rows: DataFrame) -> DataFrame:
        path = str(folder / name)
        rows.write.parquet(path)
        table = pl.read_parquet(f"{path}/*.parquet")
        decimals = [
            table[column].to_physical().alias(column)
            for column, kind in table.schema.items()
            if isinstance(kind, pl.Decimal)
        ]
        found[name] = table.with_columns(*decimals, pl.col(pl.Datetime).dt.epoch("s"))
        return spark.read.parquet(path)

    fills = counted(forms(trades.withColumn("is_new", F.lit(True))))
    minutes = touched_minutes(trades)
    seconds = ohlcv.seconds_of_fills(fills, minutes)
    candles = kept("gold_ohlcv", ohlcv.ohlcv(seconds, minutes, None, 1))
    marked = series.candles(candles.withColumn("is_new", F.lit(True)))
    bins = profile.minute_bins(fills, minutes)
    kept("gold_volume_profile", profile.volume_profile(bins, minutes, None, 1))
    kept("gold_volatility", volatility.volatility(marked, 1))
    spiked = kept("gold_volume_spikes", spikes.volume_spikes(marked, None, 1))
    kept("gold_indicators", indicators.indicators(candles, None, 1))
    kept("gold_correlation", correlation.correlation(marked, 1))
    kept("gold_daily_summary", daily.daily_summary(candles, None, spiked, 1))
    return found


def judge(fills: pl.DataFrame, found: dict[str, pl.DataFrame]) -> Iterator[Verdict]:
    """Compare every table; yields what was compared, fails at the first difference."""
    yield judge_candles(fills, found["gold_ohlcv"])
    yield judge_profile(fills, found["gold_volume_profile"])
    candles = by_instrument(found["gold_ohlcv"])
    yield judge_volatility(candles, found["gold_volatility"])
    yield judge_spikes(candles, found["gold_volume_spikes"])
    yield judge_indicators(candles, found["gold_indicators"])
    yield judge_correlation(candles, found["gold_correlation"])
    yield judge_days(candles, found["gold_daily_summary"], found["gold_volume_spikes"])


def wanted_fills(generated: pl.DataFrame) -> pl.DataFrame:
    """Return the fills that gold must count, in the order of trading, with their exact notional."""
    notional = pl.col("price").cast(pl.Int128) * pl.col("quantity")
    return (
        generated.filter("is_counted")
        .sort(*INSTRUMENT, "time", pl.coalesce("first_id", "id"))
        .with_columns(
            notional.alias("notional"),
            pl.col("first_id").fill_null(pl.col("id")).cast(pl.String),
            pl.col("last_id").fill_null(pl.col("id")).cast(pl.String),
        )
    )


def sums(is_buy: pl.Expr) -> dict[str, pl.Expr]:
    quantity, notional = pl.col("quantity").cast(pl.Int128), pl.col("notional")
    return {
        "volume": quantity.sum(),
        "quote_volume": notional.sum(),
        "taker_buy_volume": quantity.filter(is_buy).sum(),
        "taker_buy_quote_volume": notional.filter(is_buy).sum(),
        "trade_count": pl.col("fill_count").sum(),
    }


def same_rows(table: str, found: pl.DataFrame, expected: pl.DataFrame, key: list[str]) -> Verdict:
    """Compare all columns of `expected`, exactly."""
    names = [*key, *sorted(set(expected.columns) - set(key))]
    ours = found.select(names).cast(dict(expected.select(names).schema)).sort(key)
    assert ours.equals(expected.select(names).sort(key)), table
    verdict = Verdict(table)
    verdict.rows = len(ours)
    return verdict


def judge_candles(fills: pl.DataFrame, found: pl.DataFrame) -> Verdict:
    parts = []
    for interval in ("1s", "1m", "5m", "15m", "1h", "4h", "1d"):
        second = pl.col("time") // 1_000_000
        start = second - second % SECONDS[interval]
        windows = fills.group_by(*INSTRUMENT, start.alias("window_start"), maintain_order=True)
        candles = windows.agg(
            pl.col("price").first().alias("open"),
            pl.col("price").max().alias("high"),
            pl.col("price").min().alias("low"),
            pl.col("price").last().alias("close"),
            pl.col("first_id").first().alias("first_trade_id"),
            pl.col("last_id").last().alias("last_trade_id"),
            **sums(pl.col("is_buy")),
        )
        parts.append(candles.with_columns(pl.lit(interval).alias("interval")))
    key = [*INSTRUMENT, "interval", "window_start"]
    verdict = same_rows("gold_ohlcv", found, pl.concat(parts), key)
    vwap = found["quote_volume"].cast(pl.Float64) / 1e8 / found["volume"].cast(pl.Float64)
    for ours, expected in zip(found["vwap"], vwap, strict=True):
        verdict.ratio(ours, expected, 0, "vwap")
    return verdict


def judge_profile(fills: pl.DataFrame, found: pl.DataFrame) -> Verdict:
    widths = np.array([step * 10**power for power in range(14) for step in (1, 2, 5)])
    price = fills["price"].to_numpy()
    width = widths[np.maximum(np.searchsorted(widths * 2000, price, "right") - 1, 0)]
    low = pl.Series("price_low", price - price % width)
    binned = fills.with_columns(low, (low + width).alias("price_high"))
    parts = []
    for length in (86_400, 28_800, 3600, 900, 60):
        second = pl.col("time") // 1_000_000
        start = second - second % length
        third = (start % 86_400) // 28_800
        name = pl.format(
            "{}-{}", *((third * 8 + add).cast(pl.String).str.zfill(2) for add in (0, 8))
        )
        named = {86_400: "day", 3600: "hour", 900: "quarter", 60: "minute"}
        session = pl.lit(named[length]) if length in named else name
        key = [*INSTRUMENT, session.alias("session"), start.alias("window_start")]
        bins = binned.group_by(*key, "price_low", "price_high").agg(**sums(pl.col("is_buy")))
        parts.append(bins)
    expected = pl.concat(parts).sort("price_low")
    window = [*INSTRUMENT, "session", "window_start"]
    marked = []
    for _, bins in expected.group_by(*window, maintain_order=True):
        peak, inside = gold_reference.value_area(bins["volume"].to_list())
        at = pl.int_range(pl.len())
        marked.append(
            bins.with_columns(
                (at == peak).alias("is_point_of_control"), at.is_in(inside).alias("in_value_area")
            )
        )
    sides = {"taker_buy_volume": "buy_volume"}
    rows = pl.concat(marked).rename(sides).drop("taker_buy_quote_volume")
    rows = rows.with_columns((pl.col("volume") - pl.col("buy_volume")).alias("sell_volume"))
    return same_rows("gold_volume_profile", found, rows, [*window, "price_low"])


def by_instrument(candles: pl.DataFrame) -> Candles:
    """Return candles by (market, symbol, interval) and start, amounts in units of 10^-8."""
    found: Candles = {}
    longer = candles.filter(pl.col("interval") != "1s").sort("window_start")
    for row in longer.iter_rows(named=True):
        key = (row["market"], row["symbol"], row["interval"])
        found.setdefault(key, {})[row["window_start"]] = row
    return found


def sampled(table: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield some rows of a table, spread over it."""
    yield from (
        table.sort(*INSTRUMENT).gather_every(max(1, len(table) // SAMPLES)).iter_rows(named=True)
    )


def judge_volatility(candles: Candles, found: pl.DataFrame) -> Verdict:
    verdict = Verdict("gold_volatility")
    prices = {
        key[:2]: {at: (row["open"], row["high"], row["low"], row["close"]) for at, row in part.items()}
        for key, part in candles.items() if key[2] == "1m"
    }  # fmt: skip
    assert len(found) == 3 * sum(map(len, prices.values()))
    for row in sampled(found):
        expected = gold_reference.volatility(
            prices[row["market"], row["symbol"]], row["minute"], SECONDS[row["interval"]] // 60
        )
        for name, value in expected.items():
            verdict.ratio(row[name], value, 0, (name, row))
        verdict.rows += 1
    return verdict


def judge_spikes(candles: Candles, found: pl.DataFrame) -> Verdict:
    verdict = Verdict("gold_volume_spikes")
    told = {
        (row["market"], row["symbol"], row["interval"], row["window_start"]): row
        for row in found.iter_rows(named=True)
    }
    for key, part in candles.items():
        if key[2] not in {"1m", "5m", "15m", "1h"}:
            continue
        volumes = {at: row["volume"] / 10**8 for at, row in part.items()}
        for at in volumes:
            expected = gold_reference.spike(volumes, at)
            row = told.pop((*key, at), None)
            assert (row is not None) == (expected is not None and expected["z_score"] > 2), key
            for name, value in (expected or {}).items():
                if row is not None:
                    verdict.ratio(row[name], value, 0, (name, row))
            verdict.rows += 1
    assert not told
    return verdict


def judge_indicators(candles: Candles, found: pl.DataFrame) -> Verdict:
    verdict = Verdict("gold_indicators")
    for row in sampled(found):
        part = candles[row["market"], row["symbol"], row["interval"]]
        at = row["window_start"]
        reach = 500 * SECONDS[row["interval"]]
        used = [candle for start, candle in part.items() if at - reach <= start <= at]
        assert row["candles"] == len(used)
        columns = ([candle[name] / 10**8 for candle in used] for name in ("high", "low", "close"))
        for name, value in gold_reference.indicators(*columns).items():
            scale = 100 if name == "rsi_14" else row["close"] / 1e8
            verdict.ratio(row[name], value, scale, (name, row))
        verdict.rows += 1
    return verdict


def judge_correlation(candles: Candles, found: pl.DataFrame) -> Verdict:
    verdict = Verdict("gold_correlation")
    closes = {
        key[:2]: {at: row["close"] for at, row in part.items()}
        for key, part in candles.items() if key[2] == "1m"
    }  # fmt: skip
    for row in sampled(found):
        one = closes[row["market"], row["symbol"]]
        other = closes[row["other_market"], row["other_symbol"]]
        returns, expected = gold_reference.pearson(
            one, other, row["window_end"], SECONDS[row["interval"]]
        )
        assert row["returns"] == returns
        verdict.ratio(row["correlation"], expected, 1, row)
        verdict.rows += 1
    return verdict


def judge_days(candles: Candles, found: pl.DataFrame, spiked: pl.DataFrame) -> Verdict:
    verdict = Verdict("gold_daily_summary")
    for row in found.iter_rows(named=True):
        instrument = (row["market"], row["symbol"])
        (day,) = [c for c in candles[*instrument, "1d"].values() if c["date"] == row["date"]]
        minutes = [c for c in candles[*instrument, "1m"].values() if c["date"] == row["date"]]
        assert row["quote_volume"] == day["quote_volume"]
        assert row["trade_count"] == day["trade_count"]
        assert row["volume_spikes"] == len(
            spiked.filter(
                market=row["market"], symbol=row["symbol"], date=row["date"], interval="1m"
            )
        )
        closes = [candle["close"] for candle in minutes]
        squares = [gold_reference.log_change(a, b) ** 2 for a, b in pairwise(closes)]
        verdict.ratio(row["realized_volatility"], math.sqrt(math.fsum(squares)), 0, row)
        share = row["taker_buy_volume"] / row["volume"]
        verdict.ratio(row["buy_share"], share, 0, row)
        verdict.rows += 1
    assert verdict.rows == sum(len(part) for key, part in candles.items() if key[2] == "1d")
    return verdict


def run(spark: SparkSession, count: int, folder: Path) -> Iterator[Verdict]:
    """Generate, compute and compare."""
    generated = generate(count)
    file = folder / "trades.parquet"
    generated.write_parquet(file, row_group_size=500_000)
    found = compute(spark, silver(spark, file), folder)
    yield from judge(wanted_fills(generated), found)


def main() -> None:
    """Compare as many trades as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trades", type=int, default=10_000_000)
    options = parser.parse_args()
    spark = SparkSession.builder.remote(load_settings().spark.remote).getOrCreate()
    with tempfile.TemporaryDirectory() as folder:
        for verdict in run(spark, options.trades, Path(folder)):
            sys.stdout.write(f"{verdict}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
