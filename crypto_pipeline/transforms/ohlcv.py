"""Candles from fills. Pure.

Windows are cut by trade time. The 1s candles come from fills, 1m candles from those, and longer ones from
1m candles, which loses nothing: first, last, minimum, maximum and exact sums compose.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.schemas import NOTIONAL, VOLUME
from crypto_pipeline.transforms import contracts
from crypto_pipeline.transforms.gold_rows import KEY, finished
from crypto_pipeline.transforms.windows import MINUTE_S, WINDOW_KEY, window_start, with_windows

LONGER_INTERVALS = {"5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400}
_SUMS = {
    "volume": VOLUME,
    "quote_volume": NOTIONAL,
    "trade_count": "bigint",
    "taker_buy_volume": VOLUME,
    "taker_buy_quote_volume": NOTIONAL,
}
_FIGURES = [
    "open",
    "high",
    "low",
    "close",
    *_SUMS,
    "first_trade_id",
    "last_trade_id",
    "first_trade_time",
    "last_trade_time",
]
_CANDLE = [*WINDOW_KEY, *_FIGURES]


def seconds_of_fills(counted: DataFrame, minutes: DataFrame) -> DataFrame:
    """Return the 1s candles of some minutes, with `base`: of contracts their exact volume.

    Args:
        counted: all fills in these minutes, see `fills.counted`; more do no harm.
        minutes: see `windows.touched_minutes`.
    """
    minute = window_start(F.col("trade_time"), MINUTE_S)
    touched = counted.select("*", minute.alias("minute")).join(
        F.broadcast(minutes), [*KEY, "minute"], "left_semi"
    )
    order = F.struct("trade_time", "trade_sequence")
    bought = F.col("side") == "buy"
    zero = F.lit(0)
    second = window_start(F.col("trade_time"), 1)
    window = (F.lit("1s").alias("interval"), second.alias("window_start"))
    return touched.groupBy(*KEY, *window).agg(
        F.min_by("price", order).alias("open"),
        F.max("price").alias("high"),
        F.min("price").alias("low"),
        F.max_by("price", order).alias("close"),
        F.sum("quantity").cast(VOLUME).alias("volume"),
        F.sum("quote_quantity").cast(NOTIONAL).alias("quote_volume"),
        F.sum(contracts.exact_base()).cast(NOTIONAL).alias("base"),
        F.sum("fill_count").alias("trade_count"),
        F.sum(F.when(bought, F.col("quantity")).otherwise(zero))
        .cast(VOLUME)
        .alias("taker_buy_volume"),
        F.sum(F.when(bought, F.col("quote_quantity")).otherwise(zero))
        .cast(NOTIONAL)
        .alias("taker_buy_quote_volume"),
        F.min_by("first_trade_id", order).alias("first_trade_id"),
        F.max_by("last_trade_id", order).alias("last_trade_id"),
        F.min("trade_time").alias("first_trade_time"),
        F.max("trade_time").alias("last_trade_time"),
    )


def composed(candles: DataFrame, intervals: dict[str, int]) -> DataFrame:
    """Return the candles of longer intervals from shorter ones, both with `base`."""
    kept = [*KEY, "part", *_FIGURES, "base"]
    shorter = candles.select(*KEY, F.col("window_start").alias("part"), *_FIGURES, "base")
    # Of two parts that begin together, ids tell which comes first, see `grown`.
    first = F.struct("part", "first_trade_time", F.col("first_trade_id").cast("bigint"))
    last = F.struct("part", "last_trade_time", F.col("last_trade_id").cast("bigint"))
    return (
        with_windows(shorter, "part", intervals, kept)
        .groupBy(*WINDOW_KEY)
        .agg(
            F.min_by("open", first).alias("open"),
            F.max("high").alias("high"),
            F.min("low").alias("low"),
            F.max_by("close", last).alias("close"),
            *(F.sum(name).cast(kind).alias(name) for name, kind in _SUMS.items()),
            F.sum("base").cast(NOTIONAL).alias("base"),
            F.min_by("first_trade_id", first).alias("first_trade_id"),
            F.max_by("last_trade_id", last).alias("last_trade_id"),
            F.min("first_trade_time").alias("first_trade_time"),
            F.max("last_trade_time").alias("last_trade_time"),
        )
    )


def parts(known: DataFrame, minutes: DataFrame) -> DataFrame:
    """Return those rows of `gold_ohlcv` that longer candles and `grown` ones are made of.

    Args:
        known: rows of the touched symbols and days.
        minutes: see `windows.touched_minutes`.
    """
    minute = window_start(F.col("window_start"), MINUTE_S)
    rows = known.where(F.col("interval").isin("1s", "1m")).select("*", minute.alias("minute"))
    told = minutes.select(*KEY, "minute", F.lit(True).alias("is_touched"))
    # One scan of the table, for what both are made of.
    return (
        rows.join(F.broadcast(told), [*KEY, "minute"], "left")
        .where((F.col("interval") == "1m") | F.col("is_touched"))
        .select(*_CANDLE, "vwap")
    )


def grown(new: DataFrame, known: DataFrame) -> DataFrame:
    """Return the 1s candles of some minutes, known ones with what new fills add, with `base`.

    Not of contracts, whose volume is rounded.

    Args:
        new: see `seconds_of_fills`; of fills that no known candle counts.
        known: see `parts`.
    """
    nothing = F.lit(None).cast(NOTIONAL).alias("base")
    before = known.where(F.col("interval") == "1s").select(*_CANDLE, nothing)
    return composed(new.unionByName(before), {"1s": 1})


def ohlcv(
    seconds: DataFrame, minutes: DataFrame, known: DataFrame | None, row_order: int
) -> DataFrame:
    """Return every candle that the touched minutes change, in the columns of `gold_ohlcv`.

    Args:
        seconds: those of the touched minutes, see `seconds_of_fills` and `grown`.
        minutes: see `windows.touched_minutes`.
        known: rows of `gold_ohlcv` of the touched symbols and days, None while there are none.
        row_order: greater than that of any row written before.
    """
    new_minutes = _with_vwap(composed(seconds, {"1m": MINUTE_S}))
    all_minutes = new_minutes
    if known is not None:
        told = minutes.select(*KEY, F.col("minute").alias("window_start"))
        others = known.where(F.col("interval") == "1m").join(
            F.broadcast(told), [*KEY, "window_start"], "left_anti"
        )
        all_minutes = new_minutes.unionByName(others.select(*_CANDLE, "vwap"))
    windows = with_windows(minutes, "minute", LONGER_INTERVALS, KEY)
    # By what their rows tell, new ones too: a later tick must come to the same.
    by_rows = all_minutes.select("*", contracts.base_of_candle().alias("base"))
    longer = _with_vwap(composed(by_rows, LONGER_INTERVALS)).join(
        F.broadcast(windows), WINDOW_KEY, "left_semi"
    )
    candles = _with_vwap(seconds).unionByName(new_minutes).unionByName(longer)
    return finished(candles, "gold_ohlcv", row_order)


def _with_vwap(candles: DataFrame) -> DataFrame:
    base = F.coalesce("base", "volume").cast("double")
    return candles.select(*_CANDLE, (F.col("quote_volume").cast("double") / base).alias("vwap"))
