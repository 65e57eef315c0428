"""Silver to gold: candles from fills, and book metrics from the top of the book. Pure.

Candles. A fill counts once: as `trade` where that channel holds it, else through the aggregate trade
that spans it. Futures fills count only when the venue executed them in the book (`execution_type`
MARKET) and with a quantity above 0, as in the venue's own candles. Windows are cut by trade time. The
1s and 1m candles come from fills, the longer ones from 1m candles, which loses nothing: first, last,
minimum, maximum and exact sums compose.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.schemas import NOTIONAL, VOLUME
from crypto_pipeline.tables import TABLES

SHORT_INTERVALS = {"1s": 1, "1m": 60}
LONGER_INTERVALS = {"5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400}
_KEY = ["exchange", "market", "symbol"]
_WINDOW_KEY = [*_KEY, "interval", "window"]
_BOOK_KEY = [*_KEY, "channel"]


def window_start(time: Column, seconds: int) -> Column:
    """Return the start of the window of that many seconds that a time falls in, UTC."""
    return F.timestamp_seconds(F.floor(F.unix_seconds(time) / seconds) * seconds)


def touched_minutes(trades: DataFrame) -> DataFrame:
    """Return (exchange, market, symbol, minute) of every minute that these trades fall in."""
    minute = window_start(F.col("trade_time"), 60).alias("minute")
    return trades.select(*_KEY, minute).distinct()


def fills(trades: DataFrame) -> DataFrame:
    """Return each fill once, with `fill_count` (of an aggregate: the ids it spans).

    Args:
        trades: rows of `silver_trades`, both channels.
    """
    is_book_trade = F.coalesce(F.col("execution_type") == "MARKET", F.lit(True)) & (
        F.col("quantity") > 0
    )
    single = trades.where((F.col("channel") == "trade") & is_book_trade).withColumns(
        {
            "first_trade_id": F.col("trade_id"),
            "last_trade_id": F.col("trade_id"),
            "fill_count": F.lit(1).cast("bigint"),
        }
    )
    every_id = trades.where(F.col("channel") == "trade").select(
        *_KEY, F.col("trade_id").alias("last_trade_id")
    )
    span = F.col("last_trade_id").cast("bigint") - F.col("first_trade_id").cast("bigint") + 1
    merged = (
        trades.where(F.col("channel") == "aggTrade")
        .join(every_id, [*_KEY, "last_trade_id"], "left_anti")
        .withColumn("fill_count", span)
    )
    return single.unionByName(merged)


def with_windows(rows: DataFrame, time: str, intervals: dict[str, int]) -> DataFrame:
    """Repeat each row once per interval, with `interval` and the `window_start` that `time` falls in.

    All intervals then group in one pass; a plan per interval took ten times as long to plan and run.
    """
    pairs = F.array(
        *(
            F.struct(F.lit(name).alias("interval"), F.lit(seconds).alias("seconds"))
            for name, seconds in intervals.items()
        )
    )
    repeated = rows.withColumn("pair", F.explode(pairs))
    seconds = F.col("pair.seconds")
    start = F.timestamp_seconds(F.floor(F.unix_seconds(time) / seconds) * seconds)
    return repeated.withColumns({"interval": F.col("pair.interval"), "window": start}).drop("pair")


def candles_of_fills(counted: DataFrame) -> DataFrame:
    """Return 1s and 1m candles from fills."""
    order = F.struct("trade_time", "trade_sequence")
    bought = F.col("side") == "buy"
    zero = F.lit(0)
    windows = with_windows(counted, "trade_time", SHORT_INTERVALS)
    return windows.groupBy(*_WINDOW_KEY).agg(
        F.min_by("price", order).alias("open"),
        F.max("price").alias("high"),
        F.min("price").alias("low"),
        F.max_by("price", order).alias("close"),
        F.sum("quantity").cast(VOLUME).alias("volume"),
        F.sum("quote_quantity").cast(NOTIONAL).alias("quote_volume"),
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


def candles_of_minutes(minutes: DataFrame) -> DataFrame:
    """Return the candles of the longer intervals from 1m candles (`window` is their start)."""
    windows = with_windows(
        minutes.drop("interval").withColumnRenamed("window", "minute"), "minute", LONGER_INTERVALS
    )
    sums = {
        "volume": VOLUME,
        "quote_volume": NOTIONAL,
        "trade_count": "bigint",
        "taker_buy_volume": VOLUME,
        "taker_buy_quote_volume": NOTIONAL,
    }
    return windows.groupBy(*_WINDOW_KEY).agg(
        F.min_by("open", "minute").alias("open"),
        F.max("high").alias("high"),
        F.min("low").alias("low"),
        F.max_by("close", "minute").alias("close"),
        *(F.sum(name).cast(kind).alias(name) for name, kind in sums.items()),
        F.min_by("first_trade_id", "minute").alias("first_trade_id"),
        F.max_by("last_trade_id", "minute").alias("last_trade_id"),
        F.min("first_trade_time").alias("first_trade_time"),
        F.max("last_trade_time").alias("last_trade_time"),
    )


def ohlcv(
    trades: DataFrame, minutes: DataFrame, known: DataFrame | None, row_order: int
) -> DataFrame:
    """Return every candle that the touched minutes change, in the columns of `gold_ohlcv`.

    Args:
        trades: all rows of `silver_trades` in the touched minutes; more do no harm.
        minutes: see `touched_minutes`.
        known: rows of `gold_ohlcv` of the touched symbols and days, None while there are none.
        row_order: greater than that of any row written before.
    """
    counted = (
        fills(trades)
        .withColumn("minute", window_start(F.col("trade_time"), 60))
        .join(F.broadcast(minutes), [*_KEY, "minute"], "left_semi")
    )
    short = candles_of_fills(counted)
    all_minutes = short.where(F.col("interval") == "1m")
    if known is not None:
        others = (
            known.where(F.col("interval") == "1m")
            .withColumnRenamed("window_start", "window")
            .join(
                F.broadcast(minutes.withColumnRenamed("minute", "window")),
                [*_KEY, "window"],
                "left_anti",
            )
        )
        all_minutes = all_minutes.unionByName(others.select(short.columns))
    touched = with_windows(minutes, "minute", LONGER_INTERVALS).select(*_WINDOW_KEY).distinct()
    longer = candles_of_minutes(all_minutes).join(F.broadcast(touched), _WINDOW_KEY, "left_semi")
    vwap = F.col("quote_volume").cast("double") / F.col("volume").cast("double")
    return (
        short.unionByName(longer)
        .withColumnRenamed("window", "window_start")
        .withColumn("vwap", vwap)
        .withColumn("row_order", F.lit(row_order).cast("bigint"))
        .withColumn("date", F.date_format("window_start", "yyyy-MM-dd"))
        .select([column.name for column in TABLES["gold_ohlcv"].columns])
    )


def touched_book_minutes(book: DataFrame) -> DataFrame:
    """Return (exchange, market, symbol, channel, window_start) of the minutes of these seconds."""
    start = window_start(F.col("second"), 60).alias("window_start")
    return book.select(*_BOOK_KEY, start).distinct()


def book_metrics(book: DataFrame, minutes: DataFrame, row_order: int) -> DataFrame:
    """Return `gold_book_metrics` of the touched minutes; arguments as for `ohlcv`.

    Per second: mid = (ask + bid) / 2; spread = (ask - bid) / mid * 10^4 basis points; depth = base
    quantity of the best ten levels of a side; imbalance = (bids - asks) / (bids + asks) of the depths.
    A second with an empty side has no spread and is left out.
    """
    bid = F.col("bids")[0]["price"].cast("double")
    ask = F.col("asks")[0]["price"].cast("double")
    seconds = (
        book.where((F.size("bids") > 0) & (F.size("asks") > 0))
        .withColumn("window_start", window_start(F.col("second"), 60))
        .join(F.broadcast(minutes), [*_BOOK_KEY, "window_start"], "left_semi")
        .withColumns(
            {
                "mid": (ask + bid) / 2,
                "spread": (ask - bid) / ((ask + bid) / 2) * 10_000,
                "bid_depth": _depth("bids"),
                "ask_depth": _depth("asks"),
            }
        )
    )
    total = F.col("bid_depth") + F.col("ask_depth")
    return (
        seconds.groupBy(*_BOOK_KEY, "window_start")
        .agg(
            F.count(F.lit(1)).alias("seconds"),
            F.max_by("mid", "second").alias("mid_close"),
            F.avg("spread").alias("spread_bps_avg"),
            F.min("spread").alias("spread_bps_min"),
            F.max("spread").alias("spread_bps_max"),
            F.avg("bid_depth").alias("bid_depth_avg"),
            F.avg("ask_depth").alias("ask_depth_avg"),
            F.avg((F.col("bid_depth") - F.col("ask_depth")) / total).alias("imbalance_avg"),
        )
        .withColumn("row_order", F.lit(row_order).cast("bigint"))
        .withColumn("date", F.date_format("window_start", "yyyy-MM-dd"))
        .select([column.name for column in TABLES["gold_book_metrics"].columns])
    )


def _depth(side: str) -> Column:
    quantities = F.transform(F.col(side), lambda level: level["quantity"].cast("double"))
    return F.aggregate(quantities, F.lit(0.0), lambda total, quantity: total + quantity)
