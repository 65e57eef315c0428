"""Rolling figures on two days of real one-minute candles, against the formulas written out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crypto_pipeline.transforms import correlation, indicators, spikes, volatility
from tests import gold_reference
from tests.gold_reference import same

ARCHIVE = Path(__file__).parents[5] / "shared" / "archives" / "freqtrade_XRP_ETH-1m.feather"
DAY = 86_400
REAL = pytest.param(
    "real",
    marks=pytest.mark.skipif(
        not ARCHIVE.is_file(), reason="the recordings in ../shared are not on this machine"
    ),
)


def simulated() -> pd.DataFrame:
    """Two days of candles, a tenth of the minutes without trades."""
    random = np.random.default_rng(1)
    minutes = np.flatnonzero(random.random(2 * 1440) < 0.9)
    close = 100 * np.exp(np.cumsum(random.normal(0, 1e-3, len(minutes))))
    opened = close * np.exp(random.normal(0, 5e-4, len(minutes)))
    spread = np.exp(np.abs(random.normal(0, 5e-4, len(minutes))))
    high, low = np.maximum(opened, close) * spread, np.minimum(opened, close) / spread
    volume = random.lognormal(0, 1, len(minutes))
    frame = pd.DataFrame({"open": opened, "high": high, "low": low, "close": close})
    return frame.round(6).assign(start=minutes * 60 + 20 * DAY, volume=volume.round(4))


def recorded() -> pd.DataFrame:
    """2,469 candles of XRP/ETH over two and a half days, with real gaps."""
    frame = pd.read_feather(ARCHIVE)
    return frame.assign(start=frame["date"].astype("int64") // 10**9)


@pytest.fixture(scope="module", params=["simulated", REAL])
def candles(request: pytest.FixtureRequest) -> pd.DataFrame:
    frame = simulated() if request.param == "simulated" else recorded()
    return frame.assign(is_new=True, text=frame["volume"].map(lambda value: f"{value:.8f}"))


def sampled(frame: pd.DataFrame, count: int = 60) -> pd.DataFrame:
    """Rows spread over a table, its first and last among them."""
    return frame.iloc[np.unique(np.linspace(0, len(frame) - 1, count).astype(int))]


def test_volatility_is_that_of_its_formulas(candles: pd.DataFrame) -> None:
    by_start = {
        int(row.start): (row.open, row.high, row.low, row.close) for row in candles.itertuples()
    }
    found = volatility.rolling(candles)
    assert len(found) == 3 * len(candles)
    found = found.astype(object).where(found.notna(), None)
    for name, minutes in (("5m", 5), ("1h", 60), ("24h", 1440)):
        for _, row in sampled(found[found["interval"] == name]).iterrows():
            expected = gold_reference.volatility(by_start, row["start"], minutes)
            for figure, value in expected.items():
                assert same(row[figure], value), (row["start"], name, figure)


def test_a_spike_is_judged_by_the_day_before_it(candles: pd.DataFrame) -> None:
    volumes = {int(row.start): float(row.text) for row in candles.itertuples()}
    found = spikes.judge(candles.assign(interval="1m"))
    assert len(found) == len(candles) - 20
    assert 0 < found["is_spike"].sum() < len(found) / 10
    for row in sampled(found).itertuples():
        expected = gold_reference.spike(volumes, row.start)
        assert expected is not None
        for figure, value in expected.items():
            assert same(getattr(row, figure), value), (row.start, figure)
        assert row.is_spike == (expected["z_score"] > 2)


def as_text(candles: pd.DataFrame) -> pd.DataFrame:
    text = {name: candles[name].map(repr) for name in ("high", "low", "close")}
    return candles.assign(interval="1m", **text)


def test_indicators_are_those_of_the_books_with_five_hundred_intervals_to_warm_up(
    candles: pd.DataFrame,
) -> None:
    some = candles.iloc[:1200]
    found = indicators.compute(as_text(some))
    found = found.astype(object).where(found.notna(), None)
    assert len(found) == len(some)
    for _, row in pd.concat([found.iloc[:45], sampled(found)]).iterrows():
        part = some[some["start"].between(row["start"] - 500 * 60, row["start"])]
        assert row["candles"] == len(part) <= 501
        columns = (part[name].tolist() for name in ("high", "low", "close"))
        price = part["close"].iloc[-1]
        for figure, value in gold_reference.indicators(*columns).items():
            scale = 100 if figure == "rsi_14" else price
            assert same(row[figure], value, scale), (row["start"], figure)


def test_what_stood_before_the_warm_up_no_longer_weighs(candles: pd.DataFrame) -> None:
    full = candles[["high", "low", "close"]].iloc[:1000]
    warm = full.iloc[-501:]
    for longer, shorter in zip(
        indicators.last_values(*(full[name].to_numpy() for name in full)),
        indicators.last_values(*(warm[name].to_numpy() for name in warm)),
        strict=True,
    ):
        assert same(longer, shorter, 100)


def instruments(candles: pd.DataFrame) -> pd.DataFrame:
    """Three instruments: two markets of one symbol, and one that moves with both now and then."""
    random = np.random.default_rng(2)
    frames = []
    for market, symbol in (("um", "BUSDT"), ("spot", "AUSDT"), ("um", "AUSDT")):
        kept = candles[random.random(len(candles)) < 0.95].copy()
        kept["close"] *= np.exp(random.normal(0, 5e-4, len(kept)))
        frames.append(kept.assign(exchange="binance", market=market, symbol=symbol))
    return pd.concat(frames, ignore_index=True)


def test_correlation_is_pearsons_over_the_common_minutes(candles: pd.DataFrame) -> None:
    several = instruments(candles)
    closes = {
        key: dict(zip(part["start"], part["close"], strict=True))
        for key, part in several.groupby(["symbol", "exchange", "market"])
    }
    found = correlation.rolling(several)
    key = [*correlation._INSTRUMENT, *correlation._OTHER, "interval", "last"]
    assert not found.duplicated(key).any()
    for row in sampled(found, 90).itertuples():
        one = (row.symbol, row.exchange, row.market)
        other = (row.other_symbol, row.other_exchange, row.other_market)
        assert one < other
        span = {"1h": 3600, "24h": DAY}[row.interval]
        returns, expected = gold_reference.pearson(closes[one], closes[other], row.last + 300, span)
        assert row.returns == returns
        assert same(row.correlation, expected), row


def test_one_instrument_alone_has_no_pair(candles: pd.DataFrame) -> None:
    alone = candles.assign(exchange="binance", market="spot", symbol="AUSDT")
    assert correlation.rolling(alone).empty


CASES = {
    "volatility": (volatility.rolling, ["interval", "start"], DAY),
    "spikes": (lambda rows: spikes.judge(rows.assign(interval="1m")), ["start"], DAY),
    "indicators": (lambda rows: indicators.compute(as_text(rows)), ["start"], 500 * 60),
    "correlation": (
        correlation.rolling,
        ["symbol", "market", "other_symbol", "other_market", "interval", "last"],
        DAY + 300,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_late_candle_changes_every_row_within_its_reach_and_no_other(
    candles: pd.DataFrame, case: str
) -> None:
    compute: Callable[[pd.DataFrame], pd.DataFrame]
    compute, key, reach = CASES[case]
    rows = instruments(candles) if case == "correlation" else candles.reset_index(drop=True)
    late = len(rows) // 3
    at = int(rows["start"][late])
    corrected = rows.copy()
    for name in ("high", "close"):
        corrected.loc[late, name] = rows["high"][late] * 1.01
    corrected.loc[late, "text"] = "123456.5"
    before = compute(rows).set_index(key)
    whole = compute(corrected).set_index(key)
    only_late = corrected.assign(is_new=corrected.index == late)
    written = compute(only_late).set_index(key)
    times = written.index.get_level_values(key[-1])
    assert times.min() >= at - 300
    assert times.max() <= at + reach
    pd.testing.assert_frame_equal(written.sort_index(), whole.loc[written.index].sort_index())
    rest = whole.index.difference(written.index)
    assert len(rest)
    pd.testing.assert_frame_equal(before.loc[rest], whole.loc[rest])
    assert (before.loc[written.index] != written).any(axis=1).sum() > len(written) / 2
