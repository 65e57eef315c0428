from hypothesis import given
from hypothesis import strategies as st

from shared.market.order_book import BookSide, OrderBook


def level(price: str, quantity: str) -> tuple[str, str]:
    return price, quantity


def test_a_delta_sets_changes_and_removes_levels():
    book = OrderBook()
    book.replace([level("10", "1"), level("9", "2")], [level("11", "3"), level("12", "0")])
    book.apply([level("10", "5"), level("9", "0"), level("8", "1")], [level("10.5", "1")])
    assert book.best_bids(5) == [level("10", "5"), level("8", "1")]
    assert book.best_asks(1) == [level("10.5", "1")]
    assert len(book.bids) == 2


def test_removing_a_level_that_is_not_held_changes_nothing():
    book = OrderBook()
    book.apply([level("1", "0")], [])
    assert book.best_bids(1) == []
    assert book.bids.best_price is None
    assert book.asks.best_price is None


def test_a_book_is_crossed_only_with_both_sides_overlapping():
    book = OrderBook()
    book.apply([level("10", "1")], [])
    assert book.doubt is None
    book.apply([], [level("11", "1")])
    assert book.doubt is None
    book.apply([], [level("10", "1")])
    assert book.doubt == "crossed book"


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 3))))
def test_a_side_equals_a_plain_dict_sorted(changes):
    asks, bids, expected = BookSide(is_bid=False), BookSide(is_bid=True), {}
    for price, quantity in changes:
        for side in (asks, bids):
            side.apply([(str(price), str(quantity))])
        expected.pop(price, None)
        if quantity:
            expected[price] = (str(price), str(quantity))
    ordered = [known for _, known in sorted(expected.items())]
    assert asks.best(99) == ordered
    assert bids.best(3) == ordered[::-1][:3]
    assert (asks.best_price, bids.best_price) == (
        (min(expected), max(expected)) if expected else (None, None)
    )


def test_a_price_written_with_other_zeros_is_the_same_level():
    side = BookSide(is_bid=False)
    side.replace([("10.10", "1")])
    assert side.best(9) == [("10.10", "1")]
    side.apply([("10.1", "2"), ("123456789012.345", "1"), ("123456789012.346", "1")])
    assert side.best(9) == [
        ("10.1", "2"),
        ("123456789012.345", "1"),
        ("123456789012.346", "1"),
    ]
    side.apply([("10.100", "0.000")])
    assert len(side) == 2
    assert not side.is_ambiguous


def test_a_price_written_in_two_ways_between_two_looks_makes_the_book_doubtful():
    book = OrderBook()
    book.apply([level("10.10", "1"), level("10.1", "2")], [])
    assert book.doubt == "one price written in two ways"
    book.replace([level("10.10", "1")], [])
    assert book.doubt is None
    book.apply([], [level("11.0", "1"), level("11", "0")])
    assert book.doubt == "one price written in two ways"


def test_changes_that_nobody_looks_at_are_applied_before_they_are_too_many():
    side = BookSide(is_bid=False)
    for price in range(1, 20_001):
        side.apply([(str(price), "1")])
        assert len(side._changes) < 10_000
    assert len(side) == 20_000


def test_levels_beyond_a_cut_snapshot_are_not_known():
    book = OrderBook()
    book.replace([level("10", "1"), level("9", "1")], [level("11", "1"), level("12", "1")], 2)
    book.apply([level("8", "5"), level("9.5", "2")], [level("13", "5"), level("11.5", "2")])
    assert book.best_bids(9) == [level("10", "1"), level("9.5", "2"), level("9", "1")]
    assert book.best_asks(9) == [level("11", "1"), level("11.5", "2"), level("12", "1")]
    assert (book.has_run_out(3), book.has_run_out(4)) == (False, True)
    book.apply([level("10", "0"), level("9.5", "0")], [])
    assert book.has_run_out(3)


def test_a_whole_snapshot_reaches_as_far_as_there_are_levels():
    book = OrderBook()
    book.replace([level("10", "1")], [level("11", "1")], 2)
    book.apply([level("8", "5")], [])
    assert len(book.best_bids(9)) == 2
    assert not book.has_run_out(99)
    book.replace([level("10", "1")], [])
    book.apply([level("10", "0")], [])
    assert book.best_bids(1) == []
