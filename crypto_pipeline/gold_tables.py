"""The tables of gold, each as one value; formulas stand in the transforms of the same subject.

Prices, quantities and notionals are exact decimals, what is divided or rooted is a double. A `bps` column
is in basis points (1/10,000). A candle, a second or a minute that nothing was observed in has no row.
"""

from enum import StrEnum

from crypto_pipeline.schemas import (
    BASIS,
    DATE,
    MID,
    NOTIONAL,
    PRICE,
    RATE,
    TIME,
    VOLUME,
    Column,
)
from crypto_pipeline.specs import (
    CANDLE,
    CHANNEL,
    IDENTITY,
    SEQUENCE,
    TRADE_SPAN,
    Layer,
    TableSpec,
)


class EpisodeState(StrEnum):
    """Open: its last second is the last one known. Withdrawn: later facts took it back."""

    OPEN = "open"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


BANDS_BPS = (5, 10, 25)
"""Distances from the mid within which depth is summed."""
SLIPPAGE_NOTIONALS = {"1k": 1_000, "10k": 10_000, "100k": 100_000}
"""Order sizes in quote currency that slippage is told for."""

MINUTE, QUARTER, HOUR, DAY = "minute", "quarter", "hour", "day"
THIRDS = ("00-08", "08-16", "16-24")
"""Of the UTC day: they begin with Asia, Europe, America, and at the usual funding times."""
VOLATILITY_WINDOWS = ("5m", "1h", "24h")
CORRELATION_WINDOWS = ("1h", "24h")

_WINDOW = Column("window_start", TIME, "UTC")
_SECOND = Column("window_start", TIME, "Start of the second of event time, UTC")
_VWAP = Column("vwap", "double", "quote_volume / volume, of contracts before volume is rounded")


def _gold(
    name: str,
    description: str,
    sources: tuple[str, ...],
    key: tuple[Column, ...],
    columns: tuple[Column, ...],
) -> TableSpec:
    """Return a table whose key is the instrument and `key`; `date` may be a part of that."""
    own = (*(column for column in key if column != DATE), *columns)
    return TableSpec(
        name=name,
        layer=Layer.GOLD,
        description=description,
        sources=sources,
        key=(*(column.name for column in (*IDENTITY, *key)),),
        columns=(*IDENTITY, *own, SEQUENCE, DATE),
        ordering=SEQUENCE.name,
    )


_OHLCV = _gold(
    "gold_ohlcv",
    "Candles of 1s to 1d from fills, each fill counted once",
    ("silver_trades",),
    (Column("interval", "string", "1s 1m 5m 15m 1h 4h 1d"), _WINDOW),
    (
        *CANDLE,
        _VWAP,
        *TRADE_SPAN,
        Column("first_trade_time", TIME),
        Column("last_trade_time", TIME),
    ),
)
_BOOK_METRICS = _gold(
    "gold_book_metrics",
    "Spread, depth, imbalance and micro-price at the end of each second with a book",
    ("silver_book",),
    (CHANNEL, _SECOND),
    (
        Column("last_update_id", "bigint", "Last update applied in that second"),
        Column("best_bid", PRICE),
        Column("best_ask", PRICE),
        Column("mid", MID, "(best_ask + best_bid) / 2, exact"),
        Column("micro_price", "double", "Best prices weighted by the quantity of the other side"),
        Column("spread", PRICE, "best_ask - best_bid"),
        Column("spread_bps", "double", "spread / mid"),
        Column("bid_depth", VOLUME, "Base quantity of the known bids, ten at most"),
        Column("ask_depth", VOLUME, "Base quantity of the known asks, ten at most"),
        *(
            Column(
                f"{side}_depth_{band}bps", VOLUME, f"Known base quantity within {band} bps of mid"
            )
            for band in BANDS_BPS
            for side in ("bid", "ask")
        ),
        Column(
            "bid_known_bps",
            "double",
            "Distance of the tenth bid from mid: a wider band is cut off there; null with fewer bids",
        ),
        Column("ask_known_bps", "double", "The same for asks"),
        Column("imbalance", "double", "(bid_depth - ask_depth) / (bid_depth + ask_depth)"),
        Column("weighted_imbalance", "double", "The same with the n-th level's quantity over n"),
    ),
)
_LIQUIDITY = _gold(
    "gold_liquidity",
    "What a market order of a given notional would pay over mid, per second, by walking the book",
    ("silver_book",),
    (CHANNEL, _SECOND),
    (
        Column("mid", MID, "(best_ask + best_bid) / 2, exact"),
        Column("bid_notional", NOTIONAL, "Quote value of the known bids, ten at most"),
        Column("ask_notional", NOTIONAL, "Quote value of the known asks, ten at most"),
        *(
            Column(
                f"{side}_slippage_bps_{name}",
                "double",
                f"To {side} for {size:,} quote; null where the ten known levels do not suffice",
            )
            for name, size in SLIPPAGE_NOTIONALS.items()
            for side in ("buy", "sell")
        ),
    ),
)
_VOLUME_PROFILE = _gold(
    "gold_volume_profile",
    "Volume by price of each minute, quarter of an hour, hour, session and day, with point of control and 70 % value area",
    ("silver_trades",),
    (
        Column("session", "string", f"{' '.join((MINUTE, QUARTER, HOUR, *THIRDS, DAY))}, UTC"),
        Column("window_start", TIME, "Start of the session, UTC"),
        Column("price_low", PRICE, "Lower border of the bin, included"),
    ),
    (
        Column("price_high", PRICE, "Upper border, excluded; 2 to 5 bps above the lower one"),
        Column("volume", VOLUME, "Base quantity traded"),
        Column("quote_volume", NOTIONAL, "Notional traded, exact"),
        Column("buy_volume", VOLUME, "Base quantity bought by takers"),
        Column("sell_volume", VOLUME, "Base quantity sold by takers"),
        Column("trade_count", "bigint", "Fills; 0 where corrections have left none"),
        Column("is_point_of_control", "boolean", "The bin with the greatest volume"),
        Column("in_value_area", "boolean", "One of the bins around it that hold 70 % of volume"),
    ),
)
_VOLATILITY = _gold(
    "gold_volatility",
    "Rolling realized, Parkinson and Garman-Klass volatility of one-minute candles",
    ("gold_ohlcv",),
    (
        Column("interval", "string", f"Length of the window: {' '.join(VOLATILITY_WINDOWS)}"),
        Column("minute", TIME, "Start of the window's last minute, UTC"),
    ),
    (
        Column("returns", "bigint", "Log returns in the window"),
        Column("candles", "bigint", "Candles in the window, for the range estimators"),
        Column("realized", "double", "Root of the sum of squared log returns, for the window"),
        Column("realized_annualised", "double", "The same for a year of 525,600 minutes"),
        Column("parkinson", "double", "From highs and lows, for the window"),
        Column("parkinson_annualised", "double"),
        Column("garman_klass", "double", "From open, high, low and close, for the window"),
        Column("garman_klass_annualised", "double"),
    ),
)
_VOLUME_SPIKES = _gold(
    "gold_volume_spikes",
    "Windows whose volume is over two standard deviations above those of the 24 hours before",
    ("gold_ohlcv",),
    (Column("interval", "string", "1m 5m 15m 1h"), _WINDOW),
    (
        Column("volume", VOLUME, "Base quantity traded"),
        Column("z_score", "double", "(volume - mean_volume) / deviation"),
        Column("mean_volume", "double", "Mean of the windows of the 24 hours before"),
        Column("deviation", "double", "Their sample standard deviation"),
        Column("history", "bigint", "How many they were"),
        Column("is_spike", "boolean", "False where later facts took an earlier verdict back"),
    ),
)
_INDICATORS = _gold(
    "gold_indicators",
    "Technical indicators by TA-Lib, warm across days: from up to 500 earlier candles",
    ("gold_ohlcv",),
    (Column("interval", "string", "1m 5m 1h"), _WINDOW),
    (
        Column("high", PRICE),
        Column("low", PRICE),
        Column("close", PRICE),
        Column("candles", "bigint", "Candles that the row was computed from, itself included"),
        Column("sma_20", "double", "Simple mean of 20 closes; Bollinger's middle band too"),
        Column("ema_20", "double", "Exponential mean, 20 candles"),
        Column("rsi_14", "double", "Relative strength index, 0 to 100"),
        Column("macd", "double", "ema_12 - ema_26"),
        Column("macd_signal", "double", "Exponential mean of macd, 9 candles"),
        Column("macd_histogram", "double", "macd - macd_signal"),
        Column("bollinger_upper", "double", "sma_20 + two standard deviations"),
        Column("bollinger_lower", "double", "sma_20 - two standard deviations"),
        Column("atr_14", "double", "Average true range"),
    ),
)
_CORRELATION = _gold(
    "gold_correlation",
    "Rolling Pearson correlation of one-minute log returns of two instruments",
    ("gold_ohlcv",),
    (
        Column("other_exchange", "string"),
        Column("other_market", "string"),
        Column("other_symbol", "string"),
        Column("interval", "string", f"Length of the window: {' '.join(CORRELATION_WINDOWS)}"),
        Column("window_end", TIME, "End of the window, excluded: each full five minutes, UTC"),
    ),
    (
        Column("returns", "bigint", "Minutes for which both have a return, 3 at least"),
        Column("correlation", "double", "-1 to 1"),
    ),
)
_SPREAD_EPISODES = _gold(
    "gold_spread_episodes",
    "Runs of seconds with a spread over twice the median of the ten minutes before",
    ("gold_book_metrics",),
    (CHANNEL, Column("window_start", TIME, "First widened second, UTC")),
    (
        Column("window_end", TIME, "The second after its last, UTC"),
        Column("seconds", "bigint", "Observed seconds in it"),
        Column("usual_spread_bps", "double", "Median of the ten minutes before its start"),
        Column("peak_spread_bps", "double", "The widest"),
        Column("peak_ratio", "double", "peak_spread_bps / usual_spread_bps"),
        Column("peak_time", TIME, "The first second with that spread"),
        Column("state", "string", "open, closed, or withdrawn where later facts took it back"),
    ),
)
_FUNDING_BASIS = _gold(
    "gold_funding_basis",
    "Mark price of futures beside the index and our own spot candles, and funding, per minute",
    ("silver_marks", "gold_ohlcv"),
    (_WINDOW,),
    (
        Column("mark_price", PRICE, "The last one of the minute"),
        Column("index_price", PRICE, "Told with it; null where the venue tells none"),
        Column("basis", BASIS, "mark_price - index_price, exact"),
        Column("basis_bps", "double", "basis / index_price"),
        Column("mean_basis_bps", "double", "The same, mean of the minute's messages with an index"),
        Column("funding_rate", RATE, "What longs pay shorts next, by the last message"),
        Column("next_funding_time", TIME, "When they pay it"),
        Column(
            "spot_price",
            PRICE,
            "Close of the exchange's spot candle of the minute; null without one",
        ),
        Column("spot_basis_bps", "double", "(mark_price - spot_price) / spot_price"),
        Column("messages", "bigint", "Mark prices told in the minute"),
    ),
)
_DAILY_SUMMARY = _gold(
    "gold_daily_summary",
    "One row per instrument and UTC day, kept up while the day lasts",
    ("gold_ohlcv", "gold_book_metrics", "gold_volume_spikes"),
    (DATE,),
    (
        *CANDLE,
        _VWAP,
        Column("buy_share", "double", "taker_buy_volume / volume"),
        Column("realized_volatility", "double", "Of one-minute closes, for the day"),
        Column("realized_volatility_annualised", "double", "For a year of 525,600 minutes"),
        Column("spread_bps_avg", "double", "Mean over the seconds with a book; null without one"),
        Column("spread_bps_median", "double", "Their median"),
        Column("book_seconds", "bigint", "Seconds with a book"),
        Column("volume_spikes", "bigint", "One-minute windows that are spikes"),
        *TRADE_SPAN,
        Column("first_trade_time", TIME),
        Column("last_trade_time", TIME),
    ),
)

GOLD_TABLES = (
    _OHLCV,
    _BOOK_METRICS,
    _LIQUIDITY,
    _SPREAD_EPISODES,
    _VOLUME_PROFILE,
    _VOLATILITY,
    _VOLUME_SPIKES,
    _INDICATORS,
    _CORRELATION,
    _FUNDING_BASIS,
    _DAILY_SUMMARY,
)
