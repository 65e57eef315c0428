"""`crypto-stream backfill` from a mock archive into a real broker: what it brings and what it names."""

import json
from collections import Counter

import pytest

from shared.market.topics import Feed
from tests.integration.conftest import events, records
from tests.integration.streaming.past_days import DAY_MS, DAYS, ROWS, Bench, lines_of

pytestmark = [pytest.mark.kafka]


def test_three_days_come_in_once_and_a_second_run_asks_for_none(bench: Bench) -> None:
    done = bench.run()
    assert done.returncode == 0, done.stderr
    for part in (*DAYS, "brought", "1,000"):
        assert part in done.stdout
    assert bench.ids() == Counter(range(3 * ROWS))
    times = {int(item.trade_id): item.trade_time for item in events(bench.bootstrap, Feed.TRADES)}
    assert times[1500] == (DAY_MS[DAYS[1]] + 1500) * 1000
    assert [day["state"] for day in bench.told()] == ["known"] * 3
    assert bench.ids() == Counter(range(3 * ROWS))
    assert not list((bench.folder / "archive").glob("*.part"))


def test_a_bad_checksum_is_named_and_nothing_of_that_day_is_published(bench: Bench) -> None:
    bench.fault("checksum", files=f"*{DAYS[1]}*")
    days = bench.told(code=1)
    assert [day["state"] for day in days] == ["brought", "bad checksum", "brought"]
    assert "the venue tells 0000" in days[1]["reason"]
    assert set(bench.ids()) == {*range(ROWS), *range(2 * ROWS, 3 * ROWS)}
    bench.lift()
    assert [day["state"] for day in bench.told()] == ["known", "brought", "known"]
    assert set(bench.ids()) == set(range(3 * ROWS))


def test_a_file_that_is_late_comes_with_the_next_run(bench: Bench) -> None:
    bench.fault("late", files=f"*{DAYS[2]}*")
    days = bench.told(code=1)
    assert (days[2]["state"], days[2]["reason"]) == (
        "absent",
        "the archive does not have it, or not yet",
    )
    bench.lift()
    assert [day["state"] for day in bench.told()] == ["known", "known", "brought"]


def test_missing_ids_are_named_within_a_day_and_between_two(bench: Bench) -> None:
    bench.fault("hole", files=f"*{DAYS[0]}*")
    bench.write(DAYS[1], lines_of(DAYS[1])[7:])
    first, second, _ = bench.told()
    assert (first["content"]["missing"], first["content"]["missing_ranges"]) == (100, [[500, 599]])
    assert (second["content"]["missing"], second["missing_before"]) == (0, 7)


def test_a_replaced_file_comes_in_again_when_asked(bench: Bench) -> None:
    bench.fault("hole", files=f"*{DAYS[0]}*")
    bench.told()
    bench.lift()
    assert [day["state"] for day in bench.told()] == ["known"] * 3
    assert [day["state"] for day in bench.told("--again")] == ["brought", "known", "known"]
    assert set(bench.ids()) == set(range(3 * ROWS))


def test_milliseconds_and_microseconds_are_told_apart(bench: Bench) -> None:
    bench.fault("microseconds", files=f"*{DAYS[1]}*")
    days = bench.told()
    assert [day["content"]["units"] for day in days] == [["ms"], ["µs"], ["ms"]]
    times = {int(item.trade_id): item.trade_time for item in events(bench.bootstrap, Feed.TRADES)}
    assert times == {
        number: (DAY_MS[DAYS[number // ROWS]] + number) * 1000 for number in range(3 * ROWS)
    }


def test_bad_lines_are_dead_letters_and_stop_nothing(bench: Bench) -> None:
    lines = lines_of(DAYS[0])
    lines[3], lines[5] = "nonsense", lines[4]
    lines[8], lines[9] = lines[9], lines[8]
    bench.write(DAYS[0], lines)
    (day,) = bench.told(days=DAYS[:1])
    content = day["content"]
    found = {key: content[key] for key in ("rows", "bad_lines", "repeated", "unsorted", "missing")}
    assert found == {"rows": 998, "bad_lines": 1, "repeated": 1, "unsorted": 1, "missing": 2}
    (letter,) = [json.loads(value) for _, value in records(bench.bootstrap, Feed.DEAD_LETTERS)]
    assert (letter["payload"], letter["source"]) == ("nonsense", "binance_archive")
    assert letter["reason"] == "archive of 2024-08-07: not its columns"


def test_a_file_of_unknown_columns_is_refused_whole(bench: Bench) -> None:
    bench.write(DAYS[0], ["agg_trade_id,quantity,price", *lines_of(DAYS[0])])
    (day,) = bench.told(code=1, days=DAYS[:1])
    assert day["state"] == "unreadable"
    assert "quantity,price" in day["reason"]
    assert bench.ids() == Counter()


def test_a_symbol_that_is_not_listed_is_one_clear_line(bench: Bench) -> None:
    done = bench.run("--symbol", "DOGEUSDT")
    assert done.returncode == 2
    assert "--symbol DOGEUSDT: the symbols file does not list it" in done.stderr
