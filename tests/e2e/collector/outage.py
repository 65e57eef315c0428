"""Claim: while the broker is away nothing is lost, order stays, memory is bounded; nor does kill -9.

The broker is stopped with SIGSTOP under load and goes on later. In a second act the collector is
killed in the outage and started again: what its log on disk held must reach Kafka, and what it had
only in memory, or missed while it was dead, must be fetched or named.
"""

import hashlib
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from shared.market.topics import Feed
from streaming.segment_log import SegmentLog
from tests.e2e.collector.judge import Link, broken_links, ids_in, missing, repeated
from tests.e2e.collector.stage import (
    Channels,
    Collector,
    Mock,
    Row,
    Stage,
    StreamKey,
    eventually,
    pause,
    stage,
    streams,
)
from tests.e2e.collector.verdict import Verdict, main

INSTANCE = "outage"
CHANNELS = ["aggTrade", "trade", "depth@100ms", "bookTicker"]
FEEDS = tuple(feed for feed in Feed if feed is not Feed.KLINES)
MOST_GROWTH_MIB = 256.0
# Under the full load records come about as fast as the judge can read: minutes of them take minutes.
JUDGE_S = 300.0
_MIB = 1024**2


class Account:
    """What Kafka holds, kept small: ids, links, order, and a fingerprint of every record."""

    def __init__(self) -> None:
        self.ids: dict[StreamKey, list[int]] = {}
        self.links: dict[StreamKey, list[Link]] = {}
        self.named: dict[StreamKey, set[int]] = {}
        self.gaps = 0
        self.out_of_order = 0
        self.prints: set[bytes] = set()
        self._seen_ns: dict[tuple[str, str], int] = {}

    def take(self, row: Row, value: bytes) -> None:
        """Take one record, in the order of its key."""
        self.prints.add(fingerprint(value))
        if row.event_type == "raw_frame":
            place = (row.market, row.symbol)
            self.out_of_order += row.received_ns < self._seen_ns.get(place, 0)
            self._seen_ns[place] = row.received_ns
        elif row.trade_id:
            self.ids.setdefault(row.key, []).append(int(row.trade_id))
        elif row.event_type == "book_delta":
            link = Link(row.first_update_id, row.last_update_id, row.previous_update_id)
            self.links.setdefault(row.key, []).append(link)
        elif row.state == "unhealable" and row.first_id is not None and row.last_id is not None:
            self.named.setdefault(row.key, set()).update(ids_in([(row.first_id, row.last_id)]))
        elif row.state == "gap":
            self.gaps += 1

    def lost(self, before: dict[StreamKey, int], after: dict[StreamKey, int]) -> int:
        """Return how many ids between two moments are neither there nor named."""
        return sum(
            len(
                set(missing(self.ids.get(key, []), before[key] + 1, last))
                - self.named.get(key, set())
            )
            for key, last in after.items()
        )

    def holds(self, after: dict[StreamKey, int]) -> bool:
        """Say whether each stream has come as far as this."""
        return all(max(self.ids.get(key, [0])) >= last for key, last in after.items())


def fingerprint(value: bytes) -> bytes:
    """Return a short digest of a record."""
    return hashlib.blake2b(value, digest_size=12).digest()


def prove(*, full: bool, seed: int, bootstrap: str | None = None) -> Verdict:
    """Stop the broker for 5 minutes (full) or 15 s, then kill the collector in another outage."""
    away_s, count, rate = (300.0, 50, 40) if full else (15.0, 8, 40)
    verdict = Verdict(f"outage: the broker is away for {away_s:.0f} s; then kill -9 in an outage")
    plan: Channels = {"spot": {f"SIM{number:03}USDT": CHANNELS for number in range(count)}}
    account = Account()
    arguments = ["--symbols", "", "--count", str(count), "--rate", str(rate), "--markets", "spot"]
    # This claim stops the broker, which others may be using: always one of its own.
    with (
        stage(None) as scene,
        scene.mock(*arguments) as mock,
        scene.collector(mock, plan, INSTANCE) as collector,
        scene.tail(FEEDS, INSTANCE, account.take) as tail,
    ):
        keys = [key for key in streams(plan) if key[2] in {"aggTrade", "trade"}]
        collector.until_ready(90)
        before = mock.last_ids(keys)
        outage(verdict, scene, collector, mock, away_s)
        after = mock.last_ids(keys)
        eventually(lambda: tail.read() == [] and account.holds(after), JUDGE_S)
        judge_outage(verdict, account, before, after)
        killed = kill_in_outage(scene, collector, away_s / 3)
        after = mock.last_ids(keys)
        eventually(lambda: tail.read() == [] and not account.lost(before, after), JUDGE_S)
        judge_kill(verdict, account, killed, account.lost(before, after))
    return verdict


def outage(verdict: Verdict, scene: Stage, collector: Collector, mock: Mock, away_s: float) -> None:
    """Stop the broker for a while under load; adds what that cost."""
    process = psutil.Process(collector.process.pid)
    calm = max(rss for rss in watched(process, 5))
    frames, begun = mock.get("/status")["frames_sent"], time.monotonic()
    stop_broker(scene)
    most = max(rss for rss in watched(process, away_s))
    spilled = collector.metric("crypto_spill_records")
    rate = (mock.get("/status")["frames_sent"] - frames) / (time.monotonic() - begun)
    go_on(scene)
    resumed = time.monotonic()
    drained = eventually(lambda: collector.metric("crypto_spill_records") == 0, 300)
    most = max(most, *watched(process, 2))
    verdict.note("frames/s in the outage", rate)
    verdict.at_least("records on disk at its end", spilled, 1000)
    verdict.equals("drained afterwards", drained, True)
    verdict.note("s until drained", time.monotonic() - resumed)
    verdict.at_most("growth of RSS, MiB", (most - calm) / _MIB, MOST_GROWTH_MIB)


def watched(process: psutil.Process, seconds: float) -> Iterator[int]:
    """Yield a process's resident bytes every fifth of a second."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield int(process.memory_info().rss)
        pause(0.2)


def stop_broker(scene: Stage) -> None:
    """Freeze the broker: sockets stay open and nothing answers."""
    if scene.broker.process is not None:
        scene.broker.process.send_signal(signal.SIGSTOP)


def go_on(scene: Stage) -> None:
    """Let the broker go on."""
    if scene.broker.process is not None:
        scene.broker.process.send_signal(signal.SIGCONT)


def kill_in_outage(scene: Stage, collector: Collector, away_s: float) -> set[bytes]:
    """Kill the collector while it spills, start it, let the broker go on; returns what was on disk."""
    stop_broker(scene)
    eventually(lambda: collector.metric("crypto_spill_records") > 1000, 60)
    pause(away_s)
    collector.kill()
    on_disk = set(spilled_records(collector.spill, scene.folder / "copy"))
    collector.start()
    pause(5)
    go_on(scene)
    collector.until_ready(120)
    eventually(lambda: collector.metric("crypto_spill_records") == 0, 120)
    return on_disk


def spilled_records(folder: Path, copy: Path) -> Iterator[bytes]:
    """Yield the fingerprints of the records in a log, read from a copy of it."""
    shutil.copytree(folder, copy)
    with SegmentLog(copy, 64 * _MIB, 4096 * _MIB) as log:
        while records := log.read(5000):
            yield from (fingerprint(record.value) for record in records)


def judge_outage(
    verdict: Verdict,
    account: Account,
    before: dict[StreamKey, int],
    after: dict[StreamKey, int],
) -> None:
    """Compare what Kafka holds after the first outage with the truth."""
    verdict.at_least("ids of the truth", sum(after[key] - before[key] for key in after), 1000)
    verdict.equals("ids missing", account.lost(before, after), 0)
    verdict.equals("ids twice", sum(repeated(ids) for ids in account.ids.values()), 0)
    links = sum(broken_links(chain) for chain in account.links.values())
    verdict.equals("links of depth chains broken", links, 0)
    verdict.equals("raw frames out of the order of their key", account.out_of_order, 0)
    verdict.equals("gap statuses", account.gaps, 0)


def judge_kill(verdict: Verdict, account: Account, on_disk: set[bytes], lost: int) -> None:
    """Compare what Kafka holds with what was on disk when the collector died."""
    verdict.at_least("records on disk at the kill", len(on_disk), 1000)
    verdict.equals("of these not in Kafka", len(on_disk - account.prints), 0)
    verdict.equals("ids neither there nor named after the kill", lost, 0)


if __name__ == "__main__":
    main(prove, __doc__)
