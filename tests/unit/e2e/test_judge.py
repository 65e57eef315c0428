"""The judges of the claims find what is wrong; a claim that cannot fail proves nothing."""

import math
import random

import pytest

from shared.market.events import BookSnapshot
from shared.market.instruments import Market
from tests.e2e.collector import fuzz
from tests.e2e.collector.books import KINDS, Bench, Trial
from tests.e2e.collector.judge import (
    Link,
    broken_links,
    ids_in,
    is_told_in_time,
    missing,
    percentile,
    recovery_s,
    repeated,
    steps_back,
)
from tests.e2e.collector.verdict import Verdict

TICKER = (
    b'{"stream":"btcusdt@bookTicker","data":{"u":7,"s":"BTCUSDT","b":"1","B":"2","a":"3","A":"4"}}'
)


def test_missing_repeated_and_backward_ids_are_found():
    assert missing([1, 3, 4], 1, 5) == [2, 5]
    assert repeated([1, 2, 2, 2]) == 2
    assert steps_back([1, 2, 2, 1]) == 1
    assert ids_in([(1, 2), (5, 5)]) == {1, 2, 5}


def test_a_chain_may_repeat_but_not_break():
    spot = [Link(1, 3), Link(4, 4), Link(4, 4), Link(5, 9)]
    assert broken_links(spot) == 0
    assert broken_links([*spot, Link(11, 12)]) == 1
    assert broken_links([Link(1, 3, 0), Link(9, 12, 3)]) == 0
    assert broken_links([Link(1, 3, 0), Link(4, 12, 2)]) == 1


def test_recovery_counts_from_the_reset_to_a_later_epoch():
    second = 10**9
    epochs = {1: (second, 3 * second), 2: (4 * second, 9 * second)}
    assert recovery_s(2 * second, epochs) == 2
    assert recovery_s(5 * second, epochs) == math.inf
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([], 0.5) == math.inf


def test_a_silence_may_last_five_usual_intervals():
    second = 10**9
    frames = [0, 4 * second, 8 * second]
    silence_s, limit_s = is_told_in_time(frames, 0, 3600 * second, 2)
    assert (silence_s, limit_s) == (3592, 22)


def test_a_verdict_holds_only_if_something_was_judged_and_all_of_it_holds():
    verdict = Verdict("claim")
    verdict.note("n", 1)
    assert not verdict.holds
    verdict.equals("lost", 0, 0)
    assert verdict.holds
    verdict.at_most("s", 3.0, 2.0)
    assert not verdict.holds
    assert [figure.name for figure in verdict.broken] == ["s"]


def test_the_fuzz_judge_sees_a_wrong_field_a_lost_frame_and_a_lie():
    protocol = fuzz.protocol_of(Market.SPOT, [TICKER])
    events = protocol.receive(TICKER, 1)
    assert fuzz.fault_of(TICKER, events, Market.SPOT) is None
    other = TICKER.replace(b'"b":"1"', b'"b":"1.5"')
    assert fuzz.fault_of(other, events, Market.SPOT) == "bid_price of BestQuote differ"
    assert fuzz.fault_of(TICKER[:-1], events, Market.SPOT).startswith("accepted, but")
    assert fuzz.fault_of(TICKER, [], Market.SPOT) == "vanished"


@pytest.mark.parametrize("market", [Market.SPOT, Market.UM])
def test_the_oracle_of_books_sees_a_level_that_is_wrong(market):
    trial = Trial(market, 2, random.Random(1))
    trial.run(2000, list(KINDS))
    assert trial.faults == []
    assert sum(trial.counts[f"planted {kind}"] for kind in KINDS) == len(KINDS)
    bench: Bench = trial.benches["BOOK000"]
    number, _, _ = bench.oracle.stood[-1]
    event = BookSnapshot(
        origin=None, received_ns=1, event_time=1, last_update_id=number, bids=[("1", "1")], asks=[]
    )
    assert not bench.oracle.equals(event)
