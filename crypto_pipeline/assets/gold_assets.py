"""Gold: pairs of a table and what recomputes the rows that new source rows touch."""

from functools import partial, reduce
from operator import or_

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crypto_pipeline.assets.additions import counted_until, only_adds
from crypto_pipeline.assets.describe import table_asset
from crypto_pipeline.assets.increments import Build, Increment, Partitions, advance
from crypto_pipeline.assets.time_spans import rows_about
from crypto_pipeline.tables import TABLES
from crypto_pipeline.transforms import (
    basis,
    correlation,
    daily,
    episodes,
    fills,
    indicators,
    liquidity,
    ohlcv,
    profile,
    series,
    spikes,
    volatility,
)
from crypto_pipeline.transforms.gold_rows import only_changed
from crypto_pipeline.transforms.windows import MINUTE_S, touched_minutes
from crypto_pipeline.utils import hudi_utils


def _recent(increment: Increment) -> DataFrame | None:
    """Return the trades about the minutes of new ones; None where commits do not tell what suffices."""
    rows = rows_about(increment, MINUTE_S, fills.NEAR_S)
    return None if rows is None else increment.shared("recent", lambda: rows.select(fills.FORM))


def _trades(increment: Increment, recent: DataFrame | None) -> DataFrame:
    """Return all trades of the minutes that new ones may change, and some more, see `fills.forms`."""
    if recent is None:
        return increment.shared("days_trades", lambda: _days_trades(increment))
    if not fills.has_both_forms(recent):
        # There is nothing to judge: no more than another look at the same rows.
        return fills.forms(recent, has_both=False)
    return increment.shared("judged", lambda: fills.forms(recent))


def _days_trades(increment: Increment) -> DataFrame:
    trades = increment.whole()
    told = fills.touched(trades)
    if increment.after is not None:
        trades = fills.about_quarters(trades, told.quarters)
    return fills.forms(trades, told.has_both_forms)


def _added(increment: Increment) -> DataFrame:
    """Return the fills that new trades count as where they only add to what is known, see `additions`."""

    def read() -> DataFrame:
        new = increment.rows.select("*", F.lit(True).alias("is_new")).select(fills.FORM)
        return fills.counted(fills.forms(new, has_both=False))

    return increment.shared("added", read)


def _added_minutes(increment: Increment) -> DataFrame:
    return increment.shared("added_minutes", lambda: touched_minutes(_added(increment)))


def _ohlcv(increment: Increment) -> DataFrame:
    increment.notes.update(counted_until(increment))
    known = increment.around("gold_ohlcv")
    if known is not None and only_adds(increment, "gold_ohlcv"):
        rows = _grown_candles(increment, known)
        # Spark may have carried on the write of a run that was killed, until what is known was looked up.
        if only_adds(increment, "gold_ohlcv"):
            return rows
    recent = _recent(increment)
    trades = _trades(increment, recent)
    # What was merged may have been moved, and then nothing new tells of the minute that it left.
    near_s = fills.MOVED_S if recent is None else 0
    # Both are used several times in this one plan, and Spark would make each use anew.
    minutes = increment.shared("minutes", lambda: touched_minutes(trades.where("is_new"), near_s))
    seconds = increment.shared(
        "seconds", lambda: ohlcv.seconds_of_fills(fills.counted(trades), minutes)
    )
    rows = ohlcv.ohlcv(seconds, minutes, known, increment.row_order)
    return rows if recent is not None else only_changed(rows, known, "gold_ohlcv")


def _grown_candles(increment: Increment, known: DataFrame) -> DataFrame:
    minutes = _added_minutes(increment)
    # Used several times in one plan, as above.
    parts = increment.shared("known_parts", lambda: ohlcv.parts(known, minutes))
    new = increment.shared(
        "added_seconds", lambda: ohlcv.seconds_of_fills(_added(increment), minutes)
    )
    return ohlcv.ohlcv(ohlcv.grown(new, parts), minutes, parts, increment.row_order)


def _volume_profile(increment: Increment) -> DataFrame:
    increment.notes.update(counted_until(increment))
    known = _known_profile(increment)
    bins, minutes = _minute_bins(increment, known)
    rows = profile.volume_profile(bins, minutes, known, increment.row_order)
    return only_changed(rows, known, "gold_volume_profile")


def _minute_bins(increment: Increment, known: DataFrame | None) -> tuple[DataFrame, DataFrame]:
    """Return the bins of the minutes that new trades may change, and these minutes."""
    is_current = known is None or profile.is_made_of_minutes(known)
    if known is not None and is_current and only_adds(increment, "gold_volume_profile"):
        minutes = _added_minutes(increment)
        new = profile.minute_bins(_added(increment), minutes)
        bins = increment.shared("minute_bins", lambda: profile.grown(new, known, minutes))
        return bins, minutes
    if is_current:
        trades = _trades(increment, _recent(increment))
        changed = trades.where("is_new")
    else:
        # What an older version has written of: all of these days at once.
        whole = increment.whole()
        trades = changed = fills.forms(whole, fills.has_both_forms(whole))
    minutes = increment.shared("moved_minutes", lambda: touched_minutes(changed, fills.MOVED_S))
    bins = increment.shared(
        "minute_bins", lambda: profile.minute_bins(fills.counted(trades), minutes)
    )
    return bins, minutes


def _known_profile(increment: Increment) -> DataFrame | None:
    """Return what is known of the touched days' profiles: read once, used three times."""
    known = increment.around("gold_volume_profile")
    return None if known is None else increment.shared("known_profile", lambda: known)


def _candles(increment: Increment) -> DataFrame:
    """Return all instruments' candles from a day before the new ones to a day after, these marked."""

    def read() -> DataFrame:
        is_near = F.col("date").isin(increment.partitions.near(1))
        return series.candles(increment.everything.where(is_near))

    return increment.shared("candles", read)


def _volatility(increment: Increment) -> DataFrame:
    candles = increment.partitions.within(_candles(increment), 1)
    return volatility.volatility(candles, increment.row_order)


def _volume_spikes(increment: Increment) -> DataFrame:
    candles = increment.partitions.within(_candles(increment), 1)
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
    new = _candles(increment).where("is_new")
    return indicators.indicators(new, known, increment.row_order)


def _spread_episodes(increment: Increment) -> DataFrame:
    return episodes.spread_episodes(
        increment.rows,
        increment.whole(1),
        increment.around("gold_spread_episodes", 1),
        increment.row_order,
    )


def _funding_basis(increment: Increment) -> DataFrame | None:
    """Return the minutes of new marks, and of new spot candles on days that have marks."""
    lake, marks = increment.lakehouse.lake, TABLES["silver_marks"]
    pairs = increment.pairs()
    # From the beginning, all marks are new anyway.
    others = () if increment.after is None else increment.others
    for candles in others:
        pairs |= hudi_utils.held_partitions(lake, marks, candles.pairs())
    if not pairs:
        return None
    parts = Partitions.of(pairs)
    rows = basis.funding_basis(
        parts.within(increment.everything),
        increment.around("gold_ohlcv", parts=parts),
        [parts.within(candles.rows) for candles in others],
        increment.row_order,
    )
    known = increment.around("gold_funding_basis", parts=parts)
    return only_changed(rows, known, "gold_funding_basis")


def _daily_summary(increment: Increment) -> DataFrame:
    rows = daily.daily_summary(
        increment.whole(),
        increment.around("gold_book_metrics"),
        increment.around("gold_volume_spikes"),
        increment.row_order,
    )
    return only_changed(rows, increment.around("gold_daily_summary"), "gold_daily_summary")


GOLD: dict[str, Build] = {
    "gold_ohlcv": _ohlcv,
    "gold_book_metrics": lambda new: liquidity.book_metrics(new.rows, new.row_order),
    "gold_liquidity": lambda new: liquidity.liquidity(new.rows, new.row_order),
    "gold_spread_episodes": _spread_episodes,
    "gold_volume_profile": _volume_profile,
    "gold_volatility": _volatility,
    "gold_volume_spikes": _volume_spikes,
    "gold_indicators": _indicators,
    "gold_correlation": lambda new: correlation.correlation(_candles(new), new.row_order),
    "gold_funding_basis": _funding_basis,
    "gold_daily_summary": _daily_summary,
}
GOLD_ASSETS = [
    table_asset(TABLES[name], partial(advance, spec=TABLES[name], build=build))
    for name, build in GOLD.items()
]
