from pathlib import Path

import pytest

from crypto_pipeline.assets.increments import Increment
from crypto_pipeline.resources import LakehouseResource
from crypto_pipeline.tables import TABLES

MARKS, CANDLES = TABLES["silver_marks"], TABLES["gold_ohlcv"]


def commit(lake: Path, table: str, numbers: range) -> None:
    """Write a table's timeline: commits asked for at even times and completed at the next odd ones."""
    timeline = lake / table / ".hoodie" / "timeline"
    timeline.mkdir(parents=True)
    for number in numbers:
        (timeline / f"{2 * number:017}_{2 * number + 1:017}.deltacommit").touch()


def at(number: int) -> str:
    """Return the completion time of a commit."""
    return f"{2 * number + 1:017}"


def test_the_commits_of_the_busiest_source_say_how_long_a_table_was_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_PATHS__DATA_DIR", str(tmp_path))
    lakehouse = LakehouseResource()
    lake = Path(lakehouse.lake)
    commit(lake, MARKS.name, range(10, 12))
    commit(lake, CANDLES.name, range(20, 50))
    candles = Increment(lakehouse, CANDLES, at(24), at(44))
    assert candles.unread_commits == 20
    assert Increment(lakehouse, MARKS, at(11), at(11)).unread_commits == 0
    assert Increment(lakehouse, MARKS, at(10), at(11)).unread_commits == 1
    assert Increment(lakehouse, MARKS, at(11), at(11), (candles,)).unread_commits == 20
    assert Increment(lakehouse, MARKS, None, at(11)).unread_commits > 1e9
