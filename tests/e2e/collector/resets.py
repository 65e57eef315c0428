"""Claim: after a TCP reset data flows again within seconds, and what was missed is fetched or named.

Connections are reset at random moments. In a second act the venue keeps few trades and lets nobody in
for a while: what it has forgotten must be named, id by id.
"""

import random
import time

from shared.market.topics import Feed
from tests.e2e.collector.judge import ids_in, missing, percentile, recovery_s
from tests.e2e.collector.stage import (
    Channels,
    Mock,
    Row,
    StreamKey,
    Tail,
    eventually,
    pause,
    stage,
    streams,
)
from tests.e2e.collector.verdict import Verdict, main

FEEDS = (Feed.TRADES, Feed.DEPTH, Feed.QUOTES, Feed.STREAM_STATUS)
PLAN: Channels = {
    "spot": {symbol: ["aggTrade", "trade", "bookTicker"] for symbol in ("BTCUSDT", "ETHUSDT")},
    "um": {symbol: ["aggTrade", "depth@100ms"] for symbol in ("BTCUSDT", "ETHUSDT")},
}
# Each connection by a stream that only it carries, and by its name.
ROUTES = {
    "binance-spot": ("spot", "*"),
    "binance-um-public": ("um", "*@depth*"),
    "binance-um-market": ("um", "*@aggTrade"),
}
TRADES = [key for key in streams(PLAN) if key[2] in {"aggTrade", "trade"}]
# The venue of the second act forgets all but so many trades, and is closed for so long.
KEPT_TRADES = 40
CLOSED_S = 8


def prove(*, full: bool, seed: int, bootstrap: str | None = None) -> Verdict:
    """Reset 200 times (full) or 8 times, then close a forgetful venue for a while."""
    wanted = 200 if full else 8
    verdict = Verdict(f"resets: {wanted} TCP resets, then a venue that forgets")
    with stage(bootstrap) as scene:
        with (
            scene.mock("--rate", "10") as mock,
            scene.tail(FEEDS, "resets") as tail,
            scene.collector(mock, PLAN, "resets") as collector,
        ):
            collector.until_ready()
            before = mock.last_ids(TRADES)
            resets = reset(mock, wanted, random.Random(seed))
            ended_s, after = settle(mock, tail)
            judge_resets(verdict, tail.rows, resets)
            verdict.at_most("s until the last missed id was there", ended_s, 60)
            judge_ids(verdict, tail.rows, before, after)
        with (
            scene.mock("--rate", "20", "--kept-trades", str(KEPT_TRADES)) as mock,
            scene.tail(FEEDS, "forgets") as tail,
            scene.collector(mock, PLAN, "forgets") as collector,
        ):
            collector.until_ready()
            before = mock.last_ids(TRADES)
            mock.fault(kind="refuse", for_s=CLOSED_S)
            for market, pattern in ROUTES.values():
                mock.fault(kind="drop", market=market, streams=pattern)
            pause(CLOSED_S)
            collector.until_ready()
            _, after = settle(mock, tail)
            judge_forgotten(verdict, tail.rows, before, after)
    return verdict


def reset(mock: Mock, wanted: int, generator: random.Random) -> list[tuple[str, int]]:
    """Reset connections; returns which and when, in ns since the epoch."""
    done: list[tuple[str, int]] = []
    while len(done) < wanted:
        pause(generator.uniform(0.2, 3))
        name = generator.choice(list(ROUTES))
        market, pattern = ROUTES[name]
        if len(done) % 4 == 0:
            # A reset destroys what is on its way; on one machine that is rarely anything.
            mock.fault(kind="skip", market=market, streams="*@aggTrade", count=2)
            pause(0.15)
        now_ns = time.time_ns()
        if mock.fault(kind="drop", market=market, streams=pattern):
            done.append((name, now_ns))
    return done


def settle(mock: Mock, tail: Tail) -> tuple[float, dict[StreamKey, int]]:
    """Wait until each id up to now is there or named; returns the seconds, and the latest ids."""
    after = mock.last_ids(TRADES)
    begun = time.monotonic()

    def is_whole() -> bool:
        rows = tail.read()
        return all(
            not (set(missing(found, min(found), after[key])) - unhealable(rows, key))
            for key in TRADES
            if (found := ids_of(rows, key))
        )

    eventually(is_whole, 75)
    return time.monotonic() - begun, after


def ids_of(rows: list[Row], key: StreamKey, source: str = "") -> list[int]:
    """Return a stream's ids in Kafka, those of one source if it is named."""
    return [
        int(row.trade_id)
        for row in rows
        if row.key == key and row.trade_id and source in {"", row.source}
    ]


def unhealable(rows: list[Row], key: StreamKey) -> set[int]:
    """Return the ids of a stream that a status names as not to be had."""
    return ids_in(
        (row.first_id, row.last_id)
        for row in rows
        if row.key == key
        and row.state == "unhealable"
        and row.first_id is not None
        and row.last_id is not None
    )


def epochs_of(rows: list[Row], name: str) -> dict[int, tuple[int, int]]:
    """Return when each epoch of a connection first and last received data."""
    found: dict[int, tuple[int, int]] = {}
    for row in rows:
        if (
            row.connection.startswith(name)
            and row.source == "binance_websocket"
            and row.event_type not in {"stream_status", "dead_letter"}
        ):
            first, last = found.get(row.epoch, (row.received_ns, row.received_ns))
            found[row.epoch] = min(first, row.received_ns), max(last, row.received_ns)
    return found


def judge_resets(verdict: Verdict, rows: list[Row], resets: list[tuple[str, int]]) -> None:
    """Add how soon data flowed again."""
    epochs = {name: epochs_of(rows, name) for name in ROUTES}
    took = [recovery_s(reset_ns, epochs[name]) for name, reset_ns in resets]
    verdict.note("resets", len(resets))
    verdict.equals(
        "epochs begun anew", sum(len(found) - 1 for found in epochs.values()), len(resets)
    )
    verdict.note("s from reset to data, p50", percentile(took, 0.5))
    verdict.at_most("s from reset to data, p99", percentile(took, 0.99), 2.0)
    verdict.note("s from reset to data, most", max(took))


def judge_ids(
    verdict: Verdict, rows: list[Row], before: dict[StreamKey, int], after: dict[StreamKey, int]
) -> None:
    """Compare the union of ids with the truth."""
    healed = lost = named = 0
    for key, last in after.items():
        stream, rest = (
            set(ids_of(rows, key, "binance_websocket")),
            set(ids_of(rows, key, "binance_rest")),
        )
        healed += len(rest - stream)
        lost += len(missing(stream | rest, before[key] + 1, last))
        # Below are other venues' ids, from claims that used the same broker before.
        named += sum(number > before[key] for number in unhealable(rows, key))
    verdict.note("ids of the truth", sum(after[key] - before[key] for key in after))
    verdict.at_least("ids that only REST brought", healed, 1)
    verdict.equals("ids missing", lost, 0)
    verdict.equals("ids named unhealable", named, 0)


def judge_forgotten(
    verdict: Verdict, rows: list[Row], before: dict[StreamKey, int], after: dict[StreamKey, int]
) -> None:
    """Compare what is missing with what is named, id by id."""
    lost: dict[StreamKey, set[int]] = {}
    healed = 0
    for key, last in after.items():
        lost[key] = set(missing(ids_of(rows, key), before[key] + 1, last))
        healed += len(ids_of(rows, key, "binance_rest"))
    verdict.at_least("forgetful venue: ids that are lost", sum(map(len, lost.values())), 1)
    verdict.at_least("forgetful venue: ids that REST still had", healed, 1)
    wrong = sum(
        len(ids ^ {number for number in unhealable(rows, key) if number > before[key]})
        for key, ids in lost.items()
    )
    verdict.equals("forgetful venue: ids lost but not named, or named but not lost", wrong, 0)


if __name__ == "__main__":
    main(prove, __doc__)
