"""Claim: what a stream leaves out is found to the id, nothing else is, and one run heals and proves it.

Markets with a past of a day lose a hundred ranges of ids, one id to six hours long, on their way to
Kafka. The ledger's figures must be those of the truth, per symbol and day; one run of the job `heal` must
close every gap, with the records that the venue had sent. Then Kafka loses records that nobody has read.
"""

import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from crypto_pipeline.tables import TABLES
from shared.market.events import AggregateTrade, Event, Kline, Trade
from shared.market.instruments import Exchange, Market
from shared.market.topics import Feed, topic_name
from tests.e2e.collector.stage import Channels, StreamKey, stage
from tests.e2e.collector.verdict import Verdict, main
from tests.e2e.lake.lake import Lake, lake, own_spark
from tests.e2e.lake.venue import Past, venue
from tests.integration.conftest import REPO, publish

HOURS = 24
LONGEST_S = 6 * 3600
SYMBOLS = {Market.SPOT: ("BTCUSDT", "ETHUSDT"), Market.UM: ("BTCUSDT",)}
TOPIC = topic_name(Exchange.BINANCE, Feed.TRADES)
Timed = Trade | AggregateTrade | Kline
Range = tuple[int, int]
Items = list[tuple[int, Event]]


def channels_of(past: Past) -> Channels:
    """Return what is collected of a past."""
    channels: Channels = {}
    for market, symbol, channel in past.events:
        channels.setdefault(market, {}).setdefault(symbol, []).append(channel)
    return channels


def torn(past: Past, count: int, generator: random.Random) -> dict[StreamKey, list[Range]]:
    """Choose ranges of ids to lose, of all lengths, that neither touch nor reach a stream's ends."""
    keys = list(past.events)
    chosen: dict[StreamKey, list[Range]] = {key: [] for key in keys}
    while sum(map(len, chosen.values())) < count:
        key = generator.choice(keys)
        first_id, last_id = past.events[key][0][0], past.events[key][-1][0]
        longest = (last_id - first_id + 1) * LONGEST_S // (HOURS * 3600)
        ids = max(1, int(longest ** generator.random())) if generator.random() < 0.9 else longest
        first = generator.randint(first_id + 1, last_id - ids)
        if all(first + ids < low or high + 1 < first for low, high in chosen[key]):
            chosen[key].append((first, first + ids - 1))
    return {key: sorted(ranges) for key, ranges in chosen.items()}


def is_in(number: int, ranges: list[Range]) -> bool:
    return any(first <= number <= last for first, last in ranges)


def date_of(event: Event) -> str:
    assert isinstance(event, Timed)
    time_us = event.open_time if isinstance(event, Kline) else event.trade_time
    return f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%d}"


def truth(items: Items, lost: list[Range]) -> dict[str, tuple[int, int]]:
    """Return (ids held, ids missing) by day; a missing id counts with the last one held before it."""
    found: dict[str, list[int]] = {}
    date = ""
    for number, event in items:
        is_lost = is_in(number, lost)
        date = date if is_lost else date_of(event)
        found.setdefault(date, [0, 0])[is_lost] += 1
    return {date: (held, missing) for date, (held, missing) in found.items()}


def judge_ledger(
    verdict: Verdict, lake: Lake, past: Past, lost: dict[StreamKey, list[Range]], when: str
) -> None:
    """Compare both tables with the truth, per stream and day."""
    wanted = {
        (*key, date): figures
        for key, items in past.events.items()
        for date, figures in truth(items, lost[key]).items()
    }
    told = {
        (row["market"], row["symbol"], row["channel"], row["date"]): (
            row["present"],
            row["missing"],
        )
        for row in lake.rows("quality_completeness")
    }
    wrong = sum(told.get(place) != figures for place, figures in wanted.items())
    verdict.equals(f"{when}: symbol-days compared", len(told), len(wanted))
    verdict.equals(f"{when}: symbol-days that differ from the truth", wrong, 0)
    found = {
        (row["market"], row["symbol"], row["channel"], part["first_id"], part["last_id"])
        for row in lake.rows("quality_gaps")
        for part in row["missing_ranges"]
    }
    true = {(*key, *part) for key, ranges in lost.items() for part in ranges}
    verdict.note(f"{when}: ranges lost", len(true))
    verdict.equals(f"{when}: not found", len(true - found), 0)
    verdict.equals(f"{when}: invented", len(found - true), 0)


def judge_rows(verdict: Verdict, lake: Lake, past: Past) -> None:
    """Compare silver with what the venue sent, and look for a key that stands twice in any table."""
    silver = {
        (row["market"], row["symbol"], row["channel"], int(row["trade_id"])): str(row["price"])
        for row in lake.rows("silver_trades")
    }
    sent = {
        (*key, number): event
        for key, items in past.events.items()
        for number, event in items
        if isinstance(event, Trade | AggregateTrade)
    }
    candles = {
        (row["market"], row["symbol"], row["open_time"].timestamp())
        for row in lake.rows("silver_klines")
    }
    closed = {
        (*key[:2], number * 60)
        for key, items in past.events.items()
        for number, event in items
        if isinstance(event, Kline)
    }
    verdict.equals("candles in silver, as many as were closed", len(candles), len(closed))
    verdict.equals("candles that were not sent, or the reverse", len(candles ^ closed), 0)
    verdict.equals("ids in silver that were not sent, or the reverse", len(silver ^ sent.keys()), 0)
    doubled = 0
    for spec in TABLES.values():
        rows = lake.rows(spec.name)
        doubled += len(rows) - len({tuple(row[name] for name in spec.key) for row in rows})
    verdict.equals("keys that stand twice, all tables", doubled, 0)


def judge_reader(
    verdict: Verdict, lake: Lake, folder: Path, lost: dict[StreamKey, list[Range]]
) -> None:
    """Ask the reader for the same: its ranges, its exit code and its calendar."""
    html = folder / "calendar.html"
    command = [sys.executable, "-m", "crypto_lake.cli", "--lake", lake.lakehouse.lake]
    plain = subprocess.run(
        [*command, "completeness", "--html", str(html)], capture_output=True, cwd=REPO, check=False
    )
    ranges = subprocess.run(
        [*command, "completeness", "--ranges"], capture_output=True, cwd=REPO, check=True
    ).stdout.splitlines()
    verdict.equals("exit code of crypto-lake completeness", plain.returncode, 1)
    verdict.equals(
        "ranges it hands to crypto-stream heal", len(ranges), sum(map(len, lost.values()))
    )
    days = len(lake.rows("quality_completeness"))
    verdict.equals("days in its calendar", html.read_text().count("<rect"), days)


def overrun(verdict: Verdict, lake: Lake, bootstrap: str, key: StreamKey, items: Items) -> Range:
    """Let Kafka lose the first half of what is new of one stream before a tick reads it."""
    before = ends(lake)
    publish(bootstrap, (event for _, event in items))
    partition = next(number for number, end in ends(lake).items() if end > before[number])
    cut = before[partition] + len(items) // 2
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (future,) = admin.delete_records([TopicPartition(TOPIC, partition, cut)]).values()
    future.result(30)
    lake.run("lake_tick")
    lost = items[0][0], items[len(items) // 2 - 1][0]
    causes = [
        row["cause"]
        for row in lake.rows("quality_gaps")
        if (row["first_id"], row["last_id"], row["channel"]) == (*lost, key[2])
    ]
    verdict.equals("cause of the ids that expired unread", causes, ["expired in Kafka"])
    return lost


def ends(lake: Lake) -> dict[int, int]:
    return dict(lake.lakehouse.watermarks(Feed.TRADES).end[TOPIC])


def prove(
    *, full: bool, seed: int, bootstrap: str | None = None, remote: str | None = None
) -> Verdict:
    """Lose 100 ranges of five streams; full at ten times the rate of trades."""
    generator = random.Random(seed)
    verdict = Verdict("ledger: lost ids are found, explained, healed and proved")
    start_ns = time.time_ns() // 60_000_000_000 * 60_000_000_000 - HOURS * 3_600_000_000_000
    with (
        stage(bootstrap) as scene,
        venue(start_ns, HOURS * 60, 0.5 if full else 0.05, seed, SYMBOLS) as past,
        own_spark(remote, scene.folder) as server,
        lake(scene.folder, scene.bootstrap, server, past.environment, channels_of(past)) as ours,
    ):
        key = ("um", "BTCUSDT", "aggTrade")
        kept_back = {
            name: items[-400:] if name == key else [] for name, items in past.events.items()
        }
        past.events[key] = past.events[key][:-400]
        lost = torn(past, 100, generator)
        sent = (
            event
            for name, items in past.events.items()
            for number, event in items
            if not is_in(number, lost[name])
        )
        publish(scene.bootstrap, sent)
        verdict.note("trades", sum(map(len, past.events.values())))
        verdict.note("ids lost", sum(b - a + 1 for ranges in lost.values() for a, b in ranges))
        verdict.note("seconds of the first tick", ours.run("lake_tick"))
        judge_ledger(verdict, ours, past, lost, "found")
        judge_reader(verdict, ours, scene.folder, lost)
        verdict.note("seconds of the healing", ours.run("heal"))
        nothing: dict[StreamKey, list[Range]] = {name: [] for name in lost}
        judge_ledger(verdict, ours, past, nothing, "healed")
        states = {row["state"] for row in ours.rows("quality_gaps")}
        verdict.equals("states of the gaps afterwards", sorted(states), ["healed"])
        past.events[key] += kept_back[key]
        gone = overrun(verdict, ours, scene.bootstrap, key, kept_back[key])
        judge_ledger(verdict, ours, past, nothing | {key: [gone]}, "expired")
        ours.run("heal")
        judge_ledger(verdict, ours, past, nothing, "healed again")
        verdict.note("seconds of a tick without news", ours.run("lake_tick"))
        judge_rows(verdict, ours, past)
    return verdict


if __name__ == "__main__":
    main(prove, __doc__)
