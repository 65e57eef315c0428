from datetime import date

from crypto_lake.maintenance import report
from shared.lake.timeline import Instant
from shared.lake.upkeep import FileSlice, TableState

DAY = "symbol=BTCUSDT/date=2024-08-08"


def test_a_table_is_told_in_one_row():
    timeline = (
        Instant("1", "deltacommit", "2"),
        Instant("1", "savepoint", "3"),
        Instant("4", "compaction"),
    )
    slices = (FileSlice(DAY, 10, (1, 2)), FileSlice(DAY, 20, (3,)))
    row = report(TableState("t", True, timeline, slices, 50, 40), date(2024, 8, 9))
    assert row == {
        "table": "t",
        "instants": 3,
        "unfinished": 1,
        "symbol_days": 1,
        "most_base_files": 2,
        "most_log_files": 3,
        "small_files": 2,
        "bytes": 36,
        "old_bytes": 50,
        "reclaimable_bytes": 40,
        "savepoints": 1,
        "next_run": "finish what was interrupted; compact 2 file groups; clean",
    }


def test_an_empty_table_has_nothing_due():
    row = report(TableState("t", False, (), ()), date(2024, 8, 9))
    assert (row["most_base_files"], row["next_run"]) == (0, "nothing")
