"""`crypto-stream heal` with ranges that only the archive still has."""

import fcntl
import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.market.topics import Feed
from tests.integration.conftest import events
from tests.integration.streaming.past_days import DAY_MS, DAYS, Bench, lines_of

pytestmark = [pytest.mark.kafka]

HEAL = ("-m", "streaming.cli", "heal", "-")


@pytest.fixture
def futures(bench: Bench) -> Bench:
    """The second day of um lacks ids 1,200 to 1,204."""
    for day in DAYS:
        bench.write(day, lines_of(day), "futures/um")
    lines = lines_of(DAYS[1])
    bench.write(DAYS[1], lines[:200] + lines[205:], "futures/um")
    return bench


def line(first: int, last: int, before_day: int, after_day: int) -> str:
    times = {
        name: datetime.fromtimestamp(DAY_MS[DAYS[day]] / 1000 + 1, UTC).isoformat()
        for name, day in (("before_time", before_day), ("after_time", after_day))
    }
    stream = {"exchange": "binance", "market": "um", "symbol": "BTCUSDT", "channel": "aggTrade"}
    return json.dumps(stream | {"first_id": first, "last_id": last} | times)


def heal(bench: Bench, lines: Iterable[str], code: int = 0) -> dict[str, Any]:
    done = bench.command(*HEAL, given="\n".join(lines))
    assert done.returncode == code, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def statuses(bench: Bench) -> list[tuple[str, int | None, int | None, str]]:
    return sorted(
        (item.state, item.first_id, item.last_id, item.reason)
        for item in events(bench.bootstrap, Feed.STREAM_STATUS)
    )


def test_ranges_come_from_the_files_of_their_days_and_what_those_lack_is_told(futures: Bench):
    ranges = [line(900, 1009, 0, 1), line(1198, 1210, 1, 1)]
    assert heal(futures, ranges) == {"missing": 0, "healed": 118, "unhealable": 5}
    assert statuses(futures) == [
        ("healed", 900, 1009, ""),
        ("healed", 1198, 1199, ""),
        ("healed", 1205, 1210, ""),
        ("unhealable", 1200, 1204, "no good row in the archive's files of its days"),
    ]
    assert futures.ids().keys() == {*range(1200), *range(1205, 2000)}
    assert {item.origin.source for item in events(futures.bootstrap, Feed.TRADES)} == {
        "binance_archive"
    }


def test_a_day_that_is_known_comes_again_where_its_ids_lack(futures: Bench):
    assert heal(futures, [line(10, 19, 0, 0)])["healed"] == 10
    assert heal(futures, [line(10, 19, 0, 0)])["healed"] == 10
    assert set(futures.ids().values()) == {2}


def test_a_file_that_is_not_there_leaves_its_ranges_for_another_time(futures: Bench):
    futures.fault("late", files=f"*{DAYS[2]}*")
    ranges = [line(10, 19, 0, 0), line(1990, 2009, 1, 2)]
    assert heal(futures, ranges, code=1) == {"missing": 20, "healed": 10, "unhealable": 0}
    assert futures.ids().keys() == set(range(1000)), "no day comes in for nothing"
    futures.lift()
    assert heal(futures, ranges[1:])["healed"] == 20


def test_while_a_backfill_works_ranges_wait_and_nothing_fails(futures: Bench):
    folder = futures.folder / "archive"
    folder.mkdir()
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert heal(futures, [line(10, 19, 0, 0)], code=1)["missing"] == 10
    finally:
        os.close(lock)
