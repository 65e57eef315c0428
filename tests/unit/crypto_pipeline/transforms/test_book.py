from crypto_pipeline.transforms.book import Record, rebuild

SECOND = 1_000_000
ASKS = [("20", "1")]


def snapshot(at: float, last: int, *bids: tuple[str, str]) -> Record:
    return Record(True, int(at * SECOND), -1, last, None, list(bids), ASKS)


def delta(at: float, first: int, last: int, *bids: tuple[str, str]) -> Record:
    return Record(False, int(at * SECOND), first, last, None, list(bids), [])


def seconds(*records: Record) -> list[tuple[int, int, list[tuple[str, str]]]]:
    return [
        (item.second // SECOND, item.last_update_id, item.bids) for item in rebuild(records, "spot")
    ]


def test_each_second_ends_in_the_state_after_its_last_record():
    assert seconds(
        snapshot(1.0, 10, ("9", "1")),
        delta(1.5, 11, 11, ("10", "2")),
        delta(2.1, 12, 13, ("9", "0")),
    ) == [(1, 11, [("10", "2"), ("9", "1")]), (2, 13, [("10", "2")])]


def test_nothing_is_told_before_a_snapshot_and_after_a_gap():
    assert seconds(
        delta(0.5, 5, 5, ("1", "1")),
        snapshot(1.0, 10, ("9", "1")),
        delta(2.0, 15, 16, ("8", "1")),
        delta(3.0, 17, 17, ("8", "1")),
        snapshot(4.0, 20, ("7", "1")),
    ) == [(1, 10, [("9", "1")]), (4, 20, [("7", "1")])]


def test_a_slower_collector_of_the_same_book_changes_nothing():
    fast = [snapshot(1.0, 10, ("9", "1")), delta(1.2, 11, 12, ("10", "1")), delta(1.4, 13, 13)]
    slow = [snapshot(1.0, 10, ("9", "1")), delta(1.2, 11, 12, ("10", "1"))]
    assert seconds(*fast, *slow, delta(1.6, 14, 14, ("11", "1"))) == [
        (1, 14, [("11", "1"), ("10", "1"), ("9", "1")])
    ]


def test_a_recording_played_again_starts_anew():
    first = [snapshot(9000, 500, ("9", "1")), snapshot(1, 10, ("3", "1")), delta(1.5, 11, 11)]
    assert seconds(*first) == [(9000, 500, [("9", "1")]), (1, 11, [("3", "1")])]
