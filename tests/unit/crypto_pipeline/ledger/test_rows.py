from crypto_pipeline.ledger.days import LIVE, Day, Gap, Told, judged
from crypto_pipeline.ledger.gaps import changed_rows
from crypto_pipeline.ledger.held import Edge, Held
from crypto_pipeline.ledger.rows import (
    Stream,
    day_of,
    day_row,
    gap_of,
    gap_row,
    latest_dates,
    stream_of,
)
from crypto_pipeline.quality_tables import QUALITY_TABLES
from shared.market.id_ranges import IdRanges

STREAM = Stream("binance", "spot", "BTCUSDT", "trade")
DATE = "2024-08-08"
DAY_US = 1_723_075_200_000_000


def held(first: int, last: int) -> Held:
    return Held(first, last, Edge(first, 0, DAY_US + first), Edge(last, 0, DAY_US + last))


NUMBERED = Day(
    held={LIVE: [held(1, 4), held(9, 9)], "binance_rest": [held(4, 6)]},
    delivered=9,
    messages=9,
    first_us=DAY_US + 1,
    last_us=DAY_US + 9,
    told=[Told("gap", 5, 8, "trade ids")],
    before=None,
    after="2024-08-10",
)
UNNUMBERED = Day({}, 0, 3, DAY_US, DAY_US)


def columns(name: str) -> set[str]:
    (spec,) = (spec for spec in QUALITY_TABLES if spec.name == name)
    return {column.name for column in spec.columns}


def row_of(day: Day) -> dict:
    days = {"2024-08-10": Day({LIVE: [held(10, 12)]}, 3, 3, DAY_US, DAY_US)}
    return day_row(STREAM, DATE, day, judged(day, days, is_fetchable=True))


def test_a_day_comes_back_from_its_row_as_it_went():
    for day in (NUMBERED, UNNUMBERED):
        assert day_of(row_of(day)) == day


def test_a_row_has_the_tables_columns_and_its_stream():
    assert {*row_of(NUMBERED), "row_order"} == columns("quality_completeness")
    assert stream_of(row_of(NUMBERED)) == STREAM


def test_a_row_has_the_figures_of_its_day():
    row = row_of(NUMBERED)
    figures = ("expected", "present", "missing", "duplicates", "fetched", "gaps_open")
    assert [row[name] for name in figures] == [9, 7, 2, 2, 2, 1]
    assert (row["state"], row["first_id"], row["last_id"]) == ("open", 1, 9)
    row = row_of(UNNUMBERED)
    assert [row[name] for name in figures] == [None, 3, None, None, None, 0]
    assert (row["state"], row["first_id"]) == ("unnumbered", None)


def test_the_latest_dates_reach_from_tomorrow_back():
    assert latest_dates((DAY_US + 5) * 1000, 1) == ["2024-08-09", DATE, "2024-08-07"]


def test_a_gap_comes_back_from_its_row_as_it_went():
    open_gap = Gap(5, 8, [(7, 8)], [(8, 8)], ("binance_rest",), Edge(4, 0, 4), None, "", "")
    healed = Gap(5, 8, [], [], ("binance_rest",), None, Edge(9, 0, 9), "", "")
    for gap in (open_gap, healed):
        (row,) = changed_rows([gap], [], IdRanges(), [], DAY_US)
        stored = gap_row(STREAM, DATE, row)
        assert gap_of(stored) == row
        assert {*stored, "row_order"} == columns("quality_gaps")
