"""Claim: of two collectors of the same streams either may be killed at any time; no trade is missing.

One or the other is killed with SIGKILL at random moments and started again at once. The next kill
waits until the one that was killed is ready again: two deaths at once are not what a pair is for.
"""

import random

from shared.market.topics import Feed
from tests.e2e.collector.judge import missing, percentile
from tests.e2e.collector.rollovers import last_of
from tests.e2e.collector.stage import (
    Channels,
    Collector,
    Row,
    StreamKey,
    eventually,
    pause,
    stage,
    streams,
)
from tests.e2e.collector.verdict import Verdict, main

INSTANCES = ("hota", "hotb")
PLAN: Channels = {
    market: {symbol: ["aggTrade", "trade"] for symbol in ("BTCUSDT", "ETHUSDT")}
    for market in ("spot", "um")
}


def prove(*, full: bool, seed: int, bootstrap: str | None = None) -> Verdict:
    """Kill 50 times in about ten minutes (full) or 4 times."""
    kills, longest_pause_s = (50, 16.0) if full else (4, 2.0)
    generator = random.Random(seed)
    verdict = Verdict(f"hothot: {kills} kills of one collector or the other")
    keys = streams(PLAN)
    killed: list[str] = []
    with (
        stage(bootstrap) as scene,
        scene.mock("--rate", "20") as mock,
        scene.tail((Feed.TRADES,), "") as tail,
        scene.collector(mock, PLAN, INSTANCES[0]) as left,
        scene.collector(mock, PLAN, INSTANCES[1]) as right,
    ):
        pair = dict(zip(INSTANCES, (left, right), strict=True))
        for collector in pair.values():
            collector.until_ready()
        before = mock.last_ids(keys)
        for _ in range(kills):
            pause(generator.uniform(0, longest_pause_s))
            name = generator.choice(INSTANCES)
            kill(pair[name])
            killed.append(name)
        after = mock.last_ids(keys)
        eventually(lambda: all(last_of(tail.read(), key) >= after[key] for key in keys), 30)
        rows = [
            row for row in tail.rows if any(f"-{name}-" in row.connection for name in INSTANCES)
        ]
    for name in INSTANCES:
        verdict.at_least(f"kills of {name}", killed.count(name), 1)
    judge(verdict, rows, before, after)
    return verdict


def kill(collector: Collector) -> None:
    """Kill a collector, start it at once, and wait until everything flows again."""
    collector.kill()
    collector.start()
    collector.until_ready()


def judge(
    verdict: Verdict, rows: list[Row], before: dict[StreamKey, int], after: dict[StreamKey, int]
) -> None:
    """Compare the union of both collectors' ids with the truth."""
    truth = lost = records = 0
    alone: list[int] = []
    for key, last in after.items():
        found = {name: ids_of(rows, key, name) for name in INSTANCES}
        union = set[int]().union(*found.values())
        truth += last - before[key]
        records += sum(map(len, found.values()))
        lost += len(missing(union, before[key] + 1, last))
        alone += [len(missing(ids, before[key] + 1, last)) for ids in found.values()]
    verdict.at_least("ids of the truth", truth, 500)
    verdict.note("records in Kafka", records)
    verdict.at_least("ids that one collector alone missed, in all", sum(alone), 1)
    verdict.note("of one stream by one collector, p50", percentile(alone, 0.5))
    verdict.equals("ids missing from both", lost, 0)


def ids_of(rows: list[Row], key: StreamKey, instance: str) -> list[int]:
    """Return the ids of a stream that one collector published."""
    return [
        int(row.trade_id) for row in rows if row.key == key and f"-{instance}-" in row.connection
    ]


if __name__ == "__main__":
    main(prove, __doc__)
