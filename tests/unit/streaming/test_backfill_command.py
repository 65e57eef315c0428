import io
from datetime import date

from rich.console import Console

from shared.market.instruments import Market
from streaming.backfill_command import table_of
from streaming.day_journal import DayReport, DayState
from streaming.exchanges.binance_archive import DaySummary


def shown(*reports: DayReport) -> str:
    text = io.StringIO()
    Console(file=text, width=250).print(table_of(list(reports)))
    return text.getvalue()


def report(**fields) -> DayReport:
    given = {
        "market": Market.SPOT,
        "symbol": "XRPETH",
        "channel": "aggTrade",
        "day": date(2019, 10, 11),
        "state": DayState.BROUGHT,
    }
    return DayReport(**(given | fields))


def summary(missing: int | None) -> DaySummary:
    return DaySummary(4_500, 10, 5_000, missing, [], 1, 2, 3, 4, ["ms", "µs"])


def test_a_row_tells_what_the_file_held_and_what_it_lacked():
    text = shown(report(content=summary(1_000), missing_before=234, sha256="abcdef" * 10))
    for part in ("2019-10-11", "spot XRPETH", "brought", "4,500", "1,234", "ms, µs", "abcdefab"):
        assert part in text


def test_ids_that_may_jump_are_not_told_as_missing():
    assert "may jump" in shown(report(content=summary(None)))


def test_a_day_that_could_not_be_brought_in_says_why():
    text = shown(report(state=DayState.CHECKSUM, reason="the venue tells another sha256"))
    assert "2019-10-11 spot XRPETH aggTrade: bad checksum: the venue tells another sha256" in text
