"""Claim: the ledger of a live collector is the venue's own account, to the id.

The mock venue withholds frames of trades, aggregate trades and books while a collector runs. It heals what
it can by itself; the ledger must have a row for just what the venue did not send it, healed where REST
knows it, unhealable for books, and hold all the rest.
"""

import random
from itertools import pairwise
from typing import Any

from tests.e2e.collector.stage import Collector, Mock, StreamKey, eventually, pause, stage, streams
from tests.e2e.collector.verdict import Verdict, main
from tests.e2e.lake.lake import Lake, lake, own_spark

PLAN = {
    "spot": {"BTCUSDT": ["trade", "aggTrade", "depth@100ms", "bookTicker"]},
    "um": {"ETHUSDT": ["aggTrade", "depth@100ms"]},
}
INSTANCE = "live"


def account(mock: Mock, key: StreamKey) -> dict[str, Any]:
    """Return what the venue says that it sent of a stream to the one connection that asked for it."""
    market, symbol, channel = key
    found = mock.get(f"/truth?market={market}&stream={symbol.lower()}@{channel}")["clients"]
    assert len(found) == 1
    return dict(found[0])


def holes(sent: dict[str, Any]) -> set[tuple[int, int]]:
    """Return the ids between the ranges that were sent."""
    ranges = sent["ranges"]
    return {(left[1] + 1, right[0] - 1) for left, right in pairwise(ranges)}


def withhold(mock: Mock, keys: list[StreamKey], rounds: int, generator: random.Random) -> int:
    """Let frames of every stream vanish, now and then."""
    for _ in range(rounds):
        for market, symbol, channel in keys:
            mock.fault(
                kind="skip",
                market=market,
                streams=f"{symbol.lower()}@{channel}",
                count=generator.randint(1, 9),
            )
        pause(generator.uniform(1, 2))
    return rounds * len(keys)


def settled(collector: Collector) -> bool:
    """Say whether the collector has nothing left to fetch."""
    return collector.metric("crypto_missing") == 0


def judge(verdict: Verdict, ours: Lake, sent: dict[StreamKey, dict[str, Any]]) -> None:
    """Compare the ledger with the venue's account, stream by stream."""
    days = ours.rows("quality_completeness")
    gaps = ours.rows("quality_gaps")
    for key, told in sent.items():
        name = " ".join(key)
        mine = [row for row in days if (row["market"], row["symbol"], row["channel"]) == key]
        rows = [row for row in gaps if (row["market"], row["symbol"], row["channel"]) == key]
        found = {(row["first_id"], row["last_id"]) for row in rows}
        verdict.at_least(f"{name}: ranges withheld", len(holes(told)), 1)
        verdict.equals(f"{name}: ranges that differ", len(found ^ holes(told)), 0)
        is_book = key[2].startswith("depth")
        state = "unhealable" if is_book else "healed"
        verdict.equals(f"{name}: states", sorted({row["state"] for row in rows}), [state])
        lost = sum(last - first + 1 for first, last in holes(told)) if is_book else 0
        verdict.equals(f"{name}: ids missing", sum(row["missing"] for row in mine), lost)
        ends = min(row["first_id"] for row in mine), max(row["last_id"] for row in mine)
        wanted = told["ranges"][0][0], told["ranges"][-1][1]
        verdict.equals(f"{name}: first and last id", ends, wanted)


def prove(
    *, full: bool, seed: int, bootstrap: str | None = None, remote: str | None = None
) -> Verdict:
    """Withhold frames of each stream five times, in full a hundred times."""
    generator = random.Random(seed)
    verdict = Verdict("live: the ledger is the venue's own account")
    keys = [key for key in streams(PLAN) if key[2] != "bookTicker"]
    with (
        stage(bootstrap) as scene,
        scene.mock("--rate", "10") as mock,
        own_spark(remote, scene.folder) as server,
        lake(scene.folder, scene.bootstrap, server, mock.environment, PLAN) as ours,
    ):
        with scene.collector(mock, PLAN, INSTANCE) as collector:
            collector.until_ready()
            withhold(mock, keys, 100 if full else 5, generator)
            mock.lift()
            pause(3)
            eventually(lambda: settled(collector), 60)
            collector.stop()
            sent = {key: account(mock, key) for key in keys}
        verdict.note("seconds of a tick", ours.run("lake_tick"))
        verdict.note("seconds of a tick after it", ours.run("lake_tick"))
        judge(verdict, ours, sent)
    return verdict


if __name__ == "__main__":
    main(prove, __doc__)
