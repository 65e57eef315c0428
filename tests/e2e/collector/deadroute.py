"""Claim: a stream that is acknowledged and never delivers is never called healthy, and is moved.

The venue accepts a subscription on the first socket and sends nothing of it, while all else flows.
"""

import time
from contextlib import ExitStack

from shared.market.topics import Feed
from tests.e2e.collector.stage import Channels, Collector, Mock, Row, Stage, pause, stage
from tests.e2e.collector.verdict import Verdict, main

SYMBOLS = ("BTCUSDT", "ETHUSDT")
CHANNELS = ["aggTrade", "trade", "depth@100ms", "bookTicker", "kline_1m"]
# Two remedies, fifteen seconds each, then the proof of the fresh socket.
LONGEST_S = 90


def prove(*, full: bool, seed: int, bootstrap: str | None = None) -> Verdict:
    """Let one channel be dead (quick), or each of five in turn (full)."""
    dead = CHANNELS if full else ["aggTrade"]
    verdict = Verdict(f"deadroute: {len(dead)} channels that are acknowledged and never deliver")
    with stage(bootstrap) as scene:
        for channel in dead:
            prove_channel(verdict, scene, channel)
    return verdict


def prove_channel(verdict: Verdict, scene: Stage, channel: str) -> None:
    """Let one channel of one symbol be dead on the venue's first socket."""
    instance = "dead" + "".join(filter(str.isalnum, channel)).lower()
    plan: Channels = {"spot": dict.fromkeys(SYMBOLS, CHANNELS)}
    with ExitStack() as scenes:
        mock = scenes.enter_context(scene.mock("--markets", "spot", "--rate", "10"))
        tail = scenes.enter_context(scene.tail((Feed.STREAM_STATUS,), instance))
        # The first socket is number 1; a later one is served.
        mock.fault(kind="silence", streams=f"btcusdt@{channel}", connection=1)
        collector = scenes.enter_context(scene.collector(mock, plan, instance))
        ready, named = watch(mock, collector, channel)
        verdict.equals(f"{channel}: times /readyz said ready before the move", ready, 0)
        verdict.at_least(f"{channel}: times /readyz named it", named, 5)
        collector.until_ready(30)
        pause(1)
        judge(verdict, tail.read(), channel)


def watch(mock: Mock, collector: Collector, channel: str) -> tuple[int, int]:
    """Look at /readyz until the socket is replaced; returns how often it was ready, and named it."""
    ready = named = 0
    deadline = time.monotonic() + LONGEST_S
    while not collector.metric("crypto_rolled_over_total") > 0 and time.monotonic() < deadline:
        page = collector.get("/readyz")
        # What came between the two looks belongs to the fresh socket.
        if mock.get("/clients").get("clients", [{}])[-1:] != [] and page.get("ready"):
            ready += collector.metric("crypto_rolled_over_total") == 0
        named += any(f"BTCUSDT {channel} is " in reason for reason in page.get("reasons", []))
        pause(0.2)
    return ready, named


def judge(verdict: Verdict, rows: list[Row], channel: str) -> None:
    """Look at what was told of the dead stream and of all others."""
    mine = [row for row in rows if (row.symbol, row.channel) == ("BTCUSDT", channel)]
    others = [row for row in rows if row.key not in {row.key for row in mine}]
    first = [row for row in mine if row.epoch == 1]
    times = {row.state: row.received_ns for row in reversed(first)}
    unproved_s = (times.get("unproved", 10**30) - times["subscribed"]) / 1e9
    verdict.at_most(f"{channel}: s from asking to `unproved`", unproved_s, 16.0)
    asked = sum(row.state == "subscribed" for row in first)
    verdict.at_least(f"{channel}: asked, and asked again, on the first socket", asked, 2)
    verdict.equals(
        f"{channel}: first data on the first socket",
        sum(row.state == "first_data" for row in first),
        0,
    )
    moved = [row for row in mine if row.epoch == 2 and row.state == "first_data"]
    verdict.equals(f"{channel}: first data on the second socket", len(moved), 1)
    if moved:
        verdict.note(
            f"{channel}: s from asking to flowing",
            (moved[0].received_ns - times["subscribed"]) / 1e9,
        )
    alarms = sum(row.state in {"unproved", "stale", "gap", "broken"} for row in others)
    verdict.equals(f"{channel}: alarms of other streams", alarms, 0)


if __name__ == "__main__":
    main(prove, __doc__)
