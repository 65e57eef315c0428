import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import parquet

from crypto_lake.errors import QueryError
from crypto_lake.output import Format, emit
from crypto_lake.tables import commit_time, days

ROWS = pa.table(
    {
        "symbol": ["BTCUSDT", None],
        "price": pa.array([Decimal("60000.10"), Decimal("0.00")], pa.decimal128(17, 8)),
        "at": pa.array([datetime(2024, 8, 8, tzinfo=UTC)] * 2, pa.timestamp("us", "UTC")),
        "bids": [[{"price": Decimal("1.5")}, {"price": Decimal(2)}, {"price": Decimal(3)}], []],
        "day": [date(2024, 8, 8)] * 2,
    }
)


def test_json_keeps_every_digit_as_text(capsys):
    emit(ROWS, Format.JSON, None)
    first = json.loads(capsys.readouterr().out)[0]
    assert first["price"] == "60000.10000000"
    assert first["at"] == "2024-08-08T00:00:00+00:00"
    assert first["bids"][0]["price"].startswith("1.5")


def test_csv_writes_nested_values_as_json(tmp_path):
    emit(ROWS, Format.CSV, tmp_path / "rows.csv")
    text = (tmp_path / "rows.csv").read_text()
    assert "60000.10000000" in text
    assert '""price""' in text


def test_a_table_shows_the_first_levels_of_a_list(capsys):
    emit(ROWS, Format.TABLE, None)
    shown = capsys.readouterr().out
    assert "BTCUSDT" in shown
    assert "..." in shown or "…" in shown


def test_a_long_table_says_how_much_it_left_out(capsys):
    emit(pa.table({"n": list(range(300))}), Format.TABLE, None)
    assert "200 of 300 rows" in capsys.readouterr().out


def test_parquet_needs_a_file(tmp_path):
    with pytest.raises(QueryError, match="--output"):
        emit(ROWS, Format.PARQUET, None)
    emit(ROWS, Format.PARQUET, tmp_path / "rows.parquet")
    assert parquet.read_table(tmp_path / "rows.parquet").num_rows == 2


def test_days_include_both_ends_and_want_both():
    assert days(None, None) == []
    assert days(date(2024, 2, 28), date(2024, 3, 1)) == ["2024-02-28", "2024-02-29", "2024-03-01"]
    for start, end in (
        (date(2024, 1, 1), None),
        (None, date(2024, 1, 1)),
        (date(2024, 1, 2), date(2024, 1, 1)),
    ):
        with pytest.raises(QueryError, match="give both"):
            days(start, end)


def test_an_instant_is_shown_as_people_write_times():
    assert commit_time("20261121061411123") == "2026-11-21 06:14:11+00:00"
    assert commit_time(None) == "-"
