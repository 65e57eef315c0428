"""A mock archive of three past days, and our programs run against it."""

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.market.topics import Feed
from tests.integration.conftest import REPO, Venue, clean_environment, events

DAYS = ("2024-08-07", "2024-08-08", "2024-08-09")
DAY_MS = {day: 1_722_988_800_000 + number * 86_400_000 for number, day in enumerate(DAYS)}
ROWS = 1000


@dataclass
class Bench:
    """A venue with days of 1,000 aggregate trades each, spot or um, in its archive, and a broker."""

    venue: Venue
    bootstrap: str
    folder: Path

    def write(self, day: str, lines: list[str], market: str = "spot") -> None:
        place = self.folder / "files/data" / market / "daily/aggTrades/BTCUSDT"
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
        script = ("scripts/backfill_data.py", "--channel", "aggTrade", "--market", "spot")
        return self.command(*script, "--from", days[0], "--to", days[-1], *options)

    def command(self, *line: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run one of our Python programs against the venue and the broker."""
        symbols = self.folder / "symbols.yaml"
        symbols.write_text(
            "version: 1\nexchanges: {binance: {spot: {BTCUSDT: {}}, um: {BTCUSDT: {}}}}\n"
        )
        settings = {
            "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "CRYPTO_PATHS__DATA_DIR": str(self.folder),
            "CRYPTO_PATHS__SYMBOLS_FILE": str(symbols),
            "COLUMNS": "250",
        }
        return subprocess.run(
            [sys.executable, *line],
            env=clean_environment() | self.venue.environment | settings,
            cwd=REPO,
            input=given,
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
