import pytest

from shared.market.book_sync import BookSync, Gap, SpotRule, SyncState, UsdMarginedRule
from shared.market.events import BookDelta, Origin, Source
from shared.market.instruments import Exchange, Market

ORIGIN = Origin(Exchange.BINANCE, Market.SPOT, "X", "X", "depth", Source.REPLAY, "c", 1)
BID, ASK = [("10", "1")], [("11", "1")]


def delta(first: int, last: int, previous: int | None = None, ask: str = "12") -> BookDelta:
    return BookDelta(
        origin=ORIGIN,
        received_ns=0,
        event_time=0,
        first_update_id=first,
        last_update_id=last,
        previous_update_id=previous,
        bids=[],
        asks=[(ask, "1")],
    )


def test_buffered_deltas_that_the_snapshot_holds_are_dropped_and_the_next_joins():
    sync = BookSync(SpotRule())
    for item in (delta(1, 5), delta(6, 10), delta(11, 12)):
        assert sync.apply(item) is None
    assert sync.state is SyncState.WAITING
    assert sync.snapshot(7, BID, ASK) is None
    assert (sync.state, sync.last_update_id) == (SyncState.LIVE, 12)


def test_a_snapshot_without_later_deltas_waits_to_be_joined():
    sync = BookSync(SpotRule())
    sync.apply(delta(1, 5))
    assert sync.snapshot(5, BID, ASK) is None
    assert sync.state is SyncState.JOINING
    assert sync.apply(delta(4, 5)) is None
    assert sync.state is SyncState.JOINING
    assert sync.apply(delta(6, 7)) is None
    assert sync.state is SyncState.LIVE


def test_a_snapshot_older_than_the_buffer_is_refused_and_the_buffer_kept():
    sync = BookSync(SpotRule())
    sync.apply(delta(10, 12))
    assert sync.snapshot(5, BID, ASK) == Gap(6, 10, "sequence")
    assert sync.state is SyncState.WAITING
    assert sync.snapshot(11, BID, ASK) is None
    assert (sync.state, sync.last_update_id) == (SyncState.LIVE, 12)


def test_a_spot_gap_names_ids_resets_the_book_and_keeps_the_delta():
    sync = BookSync(SpotRule())
    sync.start_from(10, BID, ASK)
    assert sync.apply(delta(13, 14)) == Gap(11, 13, "sequence")
    assert sync.state is SyncState.WAITING
    assert sync.book.best_bids(1) == []
    assert sync.snapshot(12, BID, ASK) is None
    assert (sync.state, sync.last_update_id) == (SyncState.LIVE, 14)


def test_a_stale_delta_changes_nothing_and_a_live_book_ignores_snapshots():
    sync = BookSync(SpotRule())
    sync.start_from(10, BID, ASK)
    assert sync.apply(delta(9, 10)) is None
    assert sync.snapshot(99, [], []) is None
    assert (sync.last_update_id, sync.book.best_bids(1)) == (10, BID)


def test_a_crossed_book_counts_as_a_gap():
    sync = BookSync(SpotRule())
    sync.start_from(10, BID, ASK)
    assert sync.apply(delta(11, 11, ask="9")) == Gap(12, 11, "crossed book")
    assert sync.state is SyncState.WAITING


@pytest.mark.parametrize(
    ("item", "joins"),
    [
        (delta(8, 12, 7), True),
        (delta(5, 10, 4), True),
        (delta(20, 25, 10), True),
        (delta(20, 25, 11), False),
    ],
)
def test_a_futures_delta_joins_by_overlap_or_by_its_previous_id(item, joins):
    sync = BookSync(UsdMarginedRule())
    assert sync.snapshot(10, BID, ASK) is None
    gap = sync.apply(item)
    assert (gap is None) is joins
    assert (sync.state is SyncState.LIVE) is joins


def test_futures_deltas_follow_by_previous_id_alone():
    sync = BookSync(UsdMarginedRule())
    sync.start_from(10, BID, ASK)
    assert sync.apply(delta(50, 60, 10)) is None
    assert sync.apply(delta(40, 55, 9)) is None
    assert sync.last_update_id == 60
    assert sync.apply(delta(70, 80, 61)) == Gap(60, 70, "sequence")


def test_a_futures_delta_before_the_snapshot_is_stale():
    sync = BookSync(UsdMarginedRule())
    sync.snapshot(10, BID, ASK)
    assert sync.apply(delta(5, 9, 4)) is None
    assert sync.state is SyncState.JOINING
