"""Which episodes are written again when seconds come, against all of them computed at once."""

import numpy as np
import pandas as pd
import pytest

from crypto_pipeline.transforms import episodes

BOOK = {"exchange": "binance", "market": "spot", "symbol": "BTCUSDT", "channel": "depth"}
T0 = 1_723_161_600


def book(*runs: tuple[int, int, float]) -> pd.DataFrame:
    """Return seconds of a book: from and up to which second after T0 its spread was so many bps."""
    rows = [(T0 + at, spread) for start, end, spread in runs for at in range(start, end)]
    return pd.DataFrame(rows, columns=["start", "spread_bps"])


def told(known: pd.DataFrame | None, seconds: pd.DataFrame, first: int, last: int) -> pd.DataFrame:
    """Return the table after the seconds from `first` to `last` (after T0) came as new ones."""
    marks = {"first_new": T0 + first, "last_new": T0 + last}
    before = pd.DataFrame(columns=episodes._COLUMNS) if known is None else known
    written = episodes.changes(seconds.assign(**BOOK, **marks), before)
    both = pd.concat([part for part in (before, written) if len(part)] or [written])
    return both.drop_duplicates("start", keep="last").sort_values("start", ignore_index=True)


def spans(table: pd.DataFrame) -> list[tuple[int, int, str]]:
    return [(row.start - T0, row.end - T0, row.state) for row in table.itertuples()]


def test_an_episode_grows_while_it_lasts_and_ends_with_the_first_usual_second() -> None:
    early, late = book((0, 300, 1), (300, 310, 5)), book((310, 320, 5), (320, 330, 1))
    known = told(None, early, 0, 309)
    assert spans(known) == [(300, 310, "open")]
    known = told(known, pd.concat([early, late]), 310, 329)
    assert spans(known) == [(300, 320, "closed")]
    assert known["seconds"].tolist() == [20]
    assert known["peak_ratio"].tolist() == [5]


@pytest.mark.parametrize("silence", [61, 5000, 80_000])
def test_an_episode_in_which_the_book_fell_silent_is_over_when_it_comes_back(silence: int) -> None:
    early = book((0, 300, 1), (300, 310, 5))
    known = told(None, early, 0, 309)
    back = 309 + silence
    seconds = pd.concat([early, book((back, back + 10, 1))])
    seconds = seconds[seconds["start"] >= T0 + back - 4260]
    assert spans(told(known, seconds, back, back + 9)) == [(300, 310, "closed")]


def test_nothing_is_written_where_nothing_changed() -> None:
    early = book((0, 300, 1), (300, 310, 5), (310, 400, 1))
    known = told(None, early, 0, 399)
    seconds = pd.concat([early, book((400, 500, 1))]).assign(**BOOK)
    assert episodes.changes(seconds.assign(first_new=T0 + 400, last_new=T0 + 499), known).empty


def test_a_book_without_seconds_near_the_new_ones_changes_nothing() -> None:
    known = told(None, book((0, 300, 1), (300, 310, 5)), 0, 309)
    assert episodes.changes(pd.DataFrame(columns=["start"]), known).empty


def test_an_episode_whose_first_second_late_seconds_take_away_begins_anew() -> None:
    # One second more makes the usual spread at 898 that of 299 twos and 300 ones no longer.
    early = book((299, 598, 2), (598, 898, 1), (898, 899, 2.5), (900, 960, 2.5), (960, 970, 1))
    known = told(None, early, 299, 969)
    assert spans(known) == [(898, 960, "closed")]
    every = pd.concat([book((298, 299, 9)), early], ignore_index=True)
    assert spans(told(known, every, 298, 298)) == [(898, 960, "withdrawn"), (900, 960, "closed")]


def restless(random: np.random.Generator) -> pd.DataFrame:
    """Return half an hour of a book with holes, whose usual spread is often about to tip."""
    length = 1800
    spread = random.choice([1.0, 2.0], length)
    for _ in range(12):
        wide = int(random.integers(length))
        spread[wide : wide + int(random.integers(5, 60))] = random.choice([2.5, 3.5])
    rows = pd.DataFrame({"start": T0 + np.arange(length), "spread_bps": spread})
    kept = random.random(length) < 0.5
    for _ in range(4):
        hole = int(random.integers(length))
        kept[hole : hole + int(random.integers(20, 140))] = False
    return rows[kept].reset_index(drop=True)


@pytest.mark.parametrize("seed", range(20))
def test_seconds_that_come_late_give_the_episodes_of_all_at_once(seed: int) -> None:
    random = np.random.default_rng(seed)
    every = restless(random)
    begin = int(random.integers(len(every) - 40))
    late = every.iloc[begin : begin + int(random.integers(1, 40))]
    early = every.drop(late.index)
    known = told(None, early, 0, 1800)
    first, last = int(late["start"].min()) - T0, int(late["start"].max()) - T0
    table = told(known, every, first, last)
    kept = table[table["state"] != "withdrawn"]
    at_once = told(None, every, 0, 1800)
    assert kept.to_dict("records") == at_once.to_dict("records")
