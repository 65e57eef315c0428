from crypto_pipeline.ledger.rows import Stream, time_of
from crypto_pipeline.ledger.ways import due, wanted

NOW_US = 1_723_161_600_000_000
MINUTE_US = 60_000_000
SPOT = Stream("binance", "spot", "BTCUSDT", "trade")
UM = Stream("binance", "um", "BTCUSDT", "aggTrade")


def gap(stream=SPOT, first=5, age_minutes=60, found_minutes=10, ranges=((5, 6), (8, 9))):
    return {
        **stream._asdict(),
        "first_id": first,
        "before_time": time_of(NOW_US - age_minutes * MINUTE_US),
        "after_time": None,
        "found_at": time_of(NOW_US - found_minutes * MINUTE_US),
        "open_ranges": [{"first_id": low, "last_id": high} for low, high in ranges],
    }


def test_what_is_open_is_wanted_by_its_parts_and_the_oldest_first():
    young, old = gap(UM, ranges=[(1, 2)], age_minutes=5), gap(age_minutes=90)
    times = {name: old[name] for name in ("before_time", "after_time")}
    assert wanted([young, old]) == [
        {**SPOT._asdict(), "first_id": 5, "last_id": 6, **times},
        {**SPOT._asdict(), "first_id": 8, "last_id": 9, **times},
        {
            **UM._asdict(),
            "first_id": 1,
            "last_id": 2,
            "before_time": young["before_time"],
            "after_time": None,
        },
    ]
    nobody = gap() | {"before_time": None}
    assert [line["before_time"] for line in wanted([old, nobody])] == [None] * 2 + [
        old["before_time"]
    ] * 2


def test_a_young_gap_is_left_to_the_collector():
    assert due([gap(found_minutes=2)], {}, NOW_US) is None
    assert due([], {}, NOW_US) is None


def test_a_gap_that_stays_open_is_tried_later_each_time():
    now_us, tries, starts = NOW_US, {}, []
    for _ in range(600):
        after = due([gap(found_minutes=10)], tries, now_us)
        if after is not None:
            tries = after
            starts.append((now_us - NOW_US) // MINUTE_US)
        now_us += MINUTE_US
    assert starts == [0, 5, 15, 35, 75, 155, 315]
    assert due([gap(found_minutes=10)], {next(iter(tries)): (30, 0)}, NOW_US) == {
        next(iter(tries)): (31, NOW_US + 360 * MINUTE_US)
    }


def test_a_new_gap_is_due_beside_one_that_waits_and_a_closed_one_is_forgotten():
    first = due([gap()], {}, NOW_US)
    both = due([gap(), gap(first=50)], first, NOW_US)
    assert [number for number, _ in both.values()] == [2, 1]
    assert list(due([gap(first=50)], both, NOW_US + 6 * MINUTE_US)) == [
        "binance/spot/BTCUSDT/trade/50"
    ]
