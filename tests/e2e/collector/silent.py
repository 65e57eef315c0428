"""Claim: one silent channel among hundreds is named in time and asked for anew; no other is accused.

A symbol's channel is stopped by the venue while everything else flows, busy symbols and quiet ones.
"""

import time
from collections import defaultdict

from shared.market.topics import Feed
from tests.e2e.collector.judge import is_told_in_time
from tests.e2e.collector.stage import Channels, Collector, Row, Tail, pause, stage
from tests.e2e.collector.verdict import Verdict, main

INSTANCE = "silent"
CHANNELS = ["aggTrade", "bookTicker"]
SILENT = ("SIM000USDT", "bookTicker")
# What tells a silence: `unproved` if the socket was replaced since, for one that is moved to another.
NAMED = ("stale", "unproved")
GRACE_S = 2.0
# A young stream may be silent for as long as this: its usual interval is not known yet.
LONGEST_S = 150


def prove(*, full: bool, seed: int, bootstrap: str | None = None) -> Verdict:
    """Watch 200 symbols for 20 minutes (full), or 30 until the silence is told and healed."""
    count, minutes = (200, 20) if full else (30, 0)
    verdict = Verdict(f"silent: one channel of {count} symbols, two channels each")
    plan: Channels = {"spot": {f"SIM{number:03}USDT": CHANNELS for number in range(count)}}
    arguments = ["--symbols", "", "--count", str(count), "--quiet-share", "0.2"]
    with (
        stage(bootstrap) as scene,
        scene.mock(*arguments, "--markets", "spot") as mock,
        scene.tail((Feed.TRADES, Feed.QUOTES, Feed.STREAM_STATUS), INSTANCE) as tail,
        scene.collector(mock, plan, INSTANCE) as collector,
    ):
        begun = time.monotonic()
        wait_for(collector, "first_data", "live")
        # Long enough for its own past to count, or as young as a stream can be.
        pause(120 if full else 5)
        symbol, channel = SILENT
        mock.fault(kind="silence", streams=f"{symbol.lower()}@{channel}")
        wait_for(collector, *NAMED)
        asked_anew = wait_for_answer(tail)
        mock.lift()
        lifted_s = time.monotonic()
        wait_for(collector, "first_data", "live")
        verdict.at_most("s from the end of the fault to data", time.monotonic() - lifted_s, 5)
        verdict.equals("asked for anew while silent", asked_anew, True)
        pause(max(0.0, minutes * 60 - (time.monotonic() - begun)))
        verdict.note("s watched", time.monotonic() - begun)
        judge(verdict, tail.read(), len(plan["spot"]) * len(CHANNELS))
    return verdict


def state_of(collector: Collector) -> str:
    """Return how the collector sees the silent stream."""
    for item in collector.get("/status").get("streams", []):
        if (item["symbol"], item["channel"]) == SILENT:
            return str(item["state"])
    return ""


def wait_for(collector: Collector, *states: str) -> None:
    """Wait until the silent stream has one of these states, or as long as one could wait at all."""
    deadline = time.monotonic() + LONGEST_S
    while state_of(collector) not in states and time.monotonic() < deadline:
        pause(0.2)


def wait_for_answer(tail: Tail) -> bool:
    """Say whether the venue is asked anew after the silence was told."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        states = [row.state for row in tail.read() if (row.symbol, row.channel) == SILENT]
        told = [place for place, state in enumerate(states) if state in NAMED]
        if told and "subscribed" in states[told[0] :]:
            return True
        pause(0.2)
    return False


def judge(verdict: Verdict, rows: list[Row], streams: int) -> None:
    """Add when the silence was told, and who was accused without a reason."""
    mine = [row for row in rows if (row.symbol, row.channel) == SILENT]
    told = [row.received_ns for row in mine if row.state in NAMED]
    verdict.at_least("times the silence was told", len(told), 1)
    if told:
        before = [row.received_ns for row in mine if row.update_id and row.received_ns < told[0]]
        verdict.note("told as", next(row.state for row in mine if row.received_ns == told[0]))
        silence_s, limit_s = is_told_in_time(before, before[0], told[0], GRACE_S)
        verdict.at_most("s of silence when it was told", silence_s, limit_s)
        verdict.at_least("s of silence when it was told, not too early", silence_s, 10.0)
    seen = defaultdict(int)
    for row in rows:
        seen[row.key] += row.event_type != "stream_status"
    verdict.note("events received", sum(seen.values()))
    verdict.note("streams with data", sum(number > 0 for number in seen.values()))
    others = [row for row in rows if (row.symbol, row.channel) != SILENT]
    verdict.note("streams told as unproved", len({r.key for r in others if r.state == "unproved"}))
    verdict.note("streams told as quiet", len({row.key for row in others if row.state == "quiet"}))
    verdict.at_least("streams watched", len({row.key for row in others}) + 1, streams)
    verdict.equals("false `stale`", sum(row.state == "stale" for row in others), 0)


if __name__ == "__main__":
    main(prove, __doc__)
