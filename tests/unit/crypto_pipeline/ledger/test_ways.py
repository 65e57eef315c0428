from crypto_pipeline.ledger.rows import Stream, time_of
from crypto_pipeline.ledger.ways import Way, due, wanted, way_of

NOW_US = 1_723_161_600_000_000
MINUTE_US = 60_000_000
SPOT = Stream("binance", "spot", "BTCUSDT", "trade")
UM = Stream("binance", "um", "BTCUSDT", "aggTrade")


def gap(stream=SPOT, first=5, age_minutes=60, found_minutes=10, ranges=((5, 6), (8, 9))):
    return {
        **stream._asdict(),
        "first_id": first,
        "before_time": time_of(NOW_US - age_minutes * MINUTE_US),
        "found_at": time_of(NOW_US - found_minutes * MINUTE_US),
        "open_ranges": [{"first_id": low, "last_id": high} for low, high in ranges],
    }


def test_trades_of_futures_older_than_two_days_are_only_in_the_archive():
    day_us = 24 * 60 * MINUTE_US
    assert way_of(UM, NOW_US - 3 * day_us, NOW_US) is Way.ARCHIVE
    assert way_of(UM, NOW_US - day_us, NOW_US) is Way.REST
    assert way_of(UM, None, NOW_US) is Way.REST
    assert way_of(UM._replace(channel="kline_1m"), NOW_US - 3 * day_us, NOW_US) is Way.REST
    assert way_of(SPOT, NOW_US - 300 * day_us, NOW_US) is Way.REST


def test_what_is_open_is_wanted_by_its_parts_and_the_oldest_first():
    young, old = gap(UM, ranges=[(1, 2)], age_minutes=5), gap(age_minutes=90)
    lost = gap(UM, age_minutes=3 * 24 * 60)
    assert wanted([young, old, lost], NOW_US) == [
        {**SPOT._asdict(), "first_id": 5, "last_id": 6},
        {**SPOT._asdict(), "first_id": 8, "last_id": 9},
        {**UM._asdict(), "first_id": 1, "last_id": 2},
    ]
    nobody = gap() | {"before_time": None}
    assert len(wanted([nobody], NOW_US)) == 2


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
