"""Claim: planned roll-overs lose nothing, double nothing, and leave every book whole.

The venue announces its shutdown again and again; the collector must bring a fresh socket up beside the
old one each time. What stands in Kafka is compared with what the venue had to send.
"""

import random
import time
from collections.abc import Callable

from shared.market.topics import Feed
from tests.e2e.collector.judge import Link, broken_links, missing, percentile, repeated, steps_back
from tests.e2e.collector.stage import (
    Channels,
    Mock,
    Row,
    StreamKey,
    eventually,
    pause,
    stage,
    streams,
)
from tests.e2e.collector.verdict import Verdict, main

INSTANCE = "rollovers"
CHANNELS = ["aggTrade", "trade", "depth@100ms", "bookTicker"]
PLAN: Channels = {
    market: dict.fromkeys(("BTCUSDT", "ETHUSDT", "SOLUSDT"), CHANNELS) for market in ("spot", "um")
}
TYPED = (Feed.TRADES, Feed.DEPTH, Feed.QUOTES, Feed.STREAM_STATUS, Feed.DEAD_LETTERS)
# Each connection by a stream that only it carries.
ROUTES = (("spot", "*"), ("um", "*@depth*"), ("um", "*@aggTrade"))
COUNTED = ("aggTrade", "trade", "depth@100ms")


def last_of(rows: list[Row], key: StreamKey) -> int:
    """Return the latest id of one stream in Kafka."""
    ids = (int(row.trade_id or row.last_update_id) for row in rows if row.key == key)
    return max(ids, default=0)


def prove(*, full: bool, seed: int, bootstrap: str | None = None) -> Verdict:
    """Roll over 100 times (full) or 5 times."""
    wanted = 100 if full else 5
    generator = random.Random(seed)
    verdict = Verdict(f"rollovers: {wanted} planned roll-overs")
    counted = [key for key in streams(PLAN) if key[2] in COUNTED]
    with (
        stage(bootstrap) as scene,
        scene.mock("--rate", "10") as mock,
        scene.tail(TYPED, INSTANCE) as tail,
    ):
        with scene.collector(mock, PLAN, INSTANCE) as collector:
            collector.until_ready()
            before = mock.last_ids(counted)
            took = [roll_over(mock, collector.metric, generator) for _ in range(wanted)]
            after = mock.last_ids(counted)
            eventually(lambda: all(last_of(tail.read(), key) >= after[key] for key in counted), 30)
            rolled = collector.metric("crypto_rolled_over_total")
            reconnects = collector.metric("crypto_reconnects_total")
        rows = tail.read()
    verdict.at_least("roll-overs that the collector counted", rolled, wanted)
    verdict.note("seconds from notice to roll-over, p50", percentile(took, 0.5))
    verdict.at_most("seconds from notice to roll-over, most", max(took), 10)
    verdict.equals("reconnects that were not planned", reconnects, 0.0)
    judge(verdict, rows, before, after)
    return verdict


def roll_over(mock: Mock, metric: Callable[[str], float], generator: random.Random) -> float:
    """Announce a shutdown on one connection; returns after how many seconds it was replaced.

    Some come within seconds of the one before, while copies are still sorted out.
    """
    pause(generator.uniform(0, 6))
    count = metric("crypto_rolled_over_total")
    market, pattern = generator.choice(ROUTES)
    begun = time.monotonic()
    mock.fault(
        kind="server_shutdown",
        market=market,
        streams=pattern,
        close_after_s=generator.uniform(8, 12),
    )
    eventually(lambda: metric("crypto_rolled_over_total") > count, 90)
    return time.monotonic() - begun


def judge(
    verdict: Verdict,
    rows: list[Row],
    before: dict[StreamKey, int],
    after: dict[StreamKey, int],
) -> None:
    """Compare Kafka with the truth between two moments, stream by stream."""
    lost = doubled = links = 0
    trades = chains = 0
    by_key: dict[StreamKey, list[Row]] = {}
    for row in rows:
        by_key.setdefault(row.key, []).append(row)
    for key, last in after.items():
        if key[2] == "depth@100ms":
            chain = [
                Link(row.first_update_id, row.last_update_id, row.previous_update_id)
                for row in by_key[key]
                if row.event_type == "book_delta"
            ]
            links += broken_links(chain)
            chains += len(chain)
            lost += chain[0].first > before[key] + 1 or chain[-1].last < last
            doubled += repeated([link.last for link in chain])
        else:
            ids = [int(row.trade_id) for row in by_key[key] if row.trade_id]
            trades += len(ids)
            lost += len(missing(ids, before[key] + 1, last))
            doubled += repeated(ids)
    quotes = [
        [row.update_id for row in found if row.event_type == "best_quote"]
        for found in by_key.values()
    ]
    states = [row for row in rows if row.event_type == "stream_status"]
    verdict.at_least("trades compared", trades, 500)
    verdict.at_least("book deltas compared", chains, 500)
    verdict.equals("trade ids missing, or chains cut short", lost, 0)
    verdict.equals("trade ids or deltas twice", doubled, 0)
    verdict.equals("links of depth chains broken", links, 0)
    verdict.equals("quotes out of order", sum(steps_back(ids) for ids in quotes), 0)
    verdict.equals("gap statuses", sum(row.state == "gap" for row in states), 0)
    verdict.equals("dead letters", sum(row.event_type == "dead_letter" for row in rows), 0)


if __name__ == "__main__":
    main(prove, __doc__)
