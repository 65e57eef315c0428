"""`crypto-stream backfill` from a mock archive into a real broker: what it brings and what it names."""

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shared.market.topics import Feed
from tests.conftest import free_port
from tests.integration.conftest import (
    REPO,
    Venue,
    clean_environment,
    events,
    mock_exchange,
    records,
)

pytestmark = [pytest.mark.kafka]

DAYS = ("2024-08-07", "2024-08-08", "2024-08-09")
DAY_MS = {day: 1_722_988_800_000 + number * 86_400_000 for number, day in enumerate(DAYS)}
ROWS = 1000


@dataclass
class Bench:
    """A venue with three days of 1,000 aggregate trades each, ids 0 to 2,999, and a broker."""

    venue: Venue
    bootstrap: str
    folder: Path

    def write(self, day: str, lines: list[str]) -> None:
        place = self.folder / "files/data/spot/daily/aggTrades/BTCUSDT"
        place.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{line}\n" for line in lines)
        (place / f"BTCUSDT-aggTrades-{day}.csv").write_text(text)

    def fault(self, how: str, **fields: Any) -> None:
        body = json.dumps({"kind": "archive", "how": how} | fields).encode()
        url = f"http://127.0.0.1:{self.venue.port + 9}/faults"
        with urllib.request.urlopen(url, data=body, timeout=5) as answer:
            assert answer.status == 200

    def lift(self) -> None:
        url = f"http://127.0.0.1:{self.venue.port + 9}/faults"
        request = urllib.request.Request(url, method="DELETE")
        urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 - as above

    def run(self, *options: str, days: tuple[str, ...] = DAYS) -> subprocess.CompletedProcess[str]:
        symbols = self.folder / "symbols.yaml"
        symbols.write_text("version: 1\nexchanges: {binance: {spot: {BTCUSDT: {}}}}\n")
        settings = {
            "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "CRYPTO_PATHS__DATA_DIR": str(self.folder),
            "CRYPTO_PATHS__SYMBOLS_FILE": str(symbols),
            "COLUMNS": "250",
        }
        script = [sys.executable, "scripts/backfill_data.py", "--channel", "aggTrade"]
        return subprocess.run(
            [*script, "--from", days[0], "--to", days[-1], *options],
            env=clean_environment() | self.venue.environment | settings,
            cwd=REPO,
            capture_output=True,
            text=True,
            check=False,
        )

    def told(self, *options: str, code: int = 0, days: tuple[str, ...] = DAYS) -> list[Any]:
        done = self.run("--json", *options, days=days)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def ids(self) -> Counter[int]:
        return Counter(int(event.trade_id) for event in events(self.bootstrap, Feed.TRADES))


def lines_of(day: str, unit: int = 1) -> list[str]:
    first = DAYS.index(day) * ROWS
    return [
        f"{number},2.5,{number}.25,{number},{number},{(DAY_MS[day] + number) * unit},True,True"
        for number in range(first, first + ROWS)
    ]


@pytest.fixture
def bench(topics: str, tmp_path: Path) -> Iterator[Bench]:
    arguments = ("simulate", "--symbols", "", "--archive", str(tmp_path / "files"))
    with mock_exchange(free_port(), tmp_path / "mock.log", *arguments) as venue:
        made = Bench(venue, topics, tmp_path)
        for day in DAYS:
            made.write(day, lines_of(day))
        yield made


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
