from datetime import date

import pytest

from shared.errors import ConfigurationError
from shared.market.instruments import Exchange, Instrument, Market
from streaming.day_journal import DayReport, DayState, Journal, sole_user, usable
from streaming.errors import ArchiveBusyError
from streaming.exchanges.binance_archive import DaySummary

SPOT = Instrument(Exchange.BINANCE, Market.SPOT, "XRPETH", "XRPETH")
DAY = date(2019, 10, 11)


def report(day: date = DAY, last_id: int = 9) -> DayReport:
    content = DaySummary(5, 5, last_id, 0, [], 0, 0, 0, 0, ["ms"])
    return DayReport(
        market=Market.SPOT,
        symbol="XRPETH",
        channel="aggTrade",
        day=day,
        state=DayState.BROUGHT,
        sha256="ab",
        content=content,
    )


def test_a_day_that_is_done_is_known_to_the_next_run(tmp_path):
    Journal(tmp_path).add(report())
    assert Journal(tmp_path).get(SPOT, "aggTrade", DAY) == report()
    assert Journal(tmp_path).get(SPOT, "trade", DAY) is None


def test_the_last_word_on_a_day_counts(tmp_path):
    journal = Journal(tmp_path)
    journal.add(report())
    journal.add(report(last_id=11))
    assert Journal(tmp_path).get(SPOT, "aggTrade", DAY) == report(last_id=11)


def test_a_line_that_a_kill_has_cut_is_no_day_and_spoils_no_other(tmp_path):
    Journal(tmp_path).add(report())
    with (tmp_path / "finished.jsonl").open("ab") as file:
        file.write(b'{"market":"spot","sym')
    later = date(2019, 10, 12)
    Journal(tmp_path).add(report(later))
    journal = Journal(tmp_path)
    assert journal.get(SPOT, "aggTrade", DAY) == report()
    assert journal.get(SPOT, "aggTrade", later) == report(later)


def test_only_one_backfill_works_in_a_folder(tmp_path):
    folder = tmp_path / "archive"
    with sole_user(folder), pytest.raises(ArchiveBusyError, match="Wait for it to end"):  # noqa: SIM117 - the second one must fail inside the first
        with sole_user(folder):
            pytest.fail("two at once")
    with sole_user(folder):
        assert folder.is_dir()


def test_what_the_disk_refuses_names_the_folder(tmp_path):
    with (
        pytest.raises(ConfigurationError, match="No space left on device") as caught,
        usable(tmp_path),
    ):
        raise OSError(28, "No space left on device")
    assert str(tmp_path) in str(caught.value)


def test_only_days_that_are_in_kafka_are_done():
    assert {state for state in DayState if state.is_done} == {DayState.BROUGHT, DayState.KNOWN}
