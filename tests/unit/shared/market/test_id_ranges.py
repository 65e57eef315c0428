from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.market.id_ranges import IdRanges

IDS = st.integers(0, 40)
CHANGES = st.lists(st.tuples(st.booleans(), IDS, st.integers(0, 8)))


@given(CHANGES)
def test_it_holds_just_what_a_set_would(changes):
    ranges, plain = IdRanges(), set()
    for is_added, first, more in changes:
        numbers = range(first, first + more + 1)
        if is_added:
            ranges.add(first, first + more)
            plain.update(numbers)
        else:
            ranges.remove(first, first + more)
            plain.difference_update(numbers)
        assert [number for number in range(-1, 60) if number in ranges] == sorted(plain)
        pairs = list(ranges)
        assert len(pairs) == len(ranges)
        assert all(one[1] + 1 < other[0] for one, other in pairwise(pairs))


@given(CHANGES, IDS, st.integers(0, 20))
def test_within_cuts_at_both_ends(changes, first, more):
    ranges = IdRanges()
    for _, low, length in changes:
        ranges.add(low, low + length)
    last = first + more
    found = [number for low, high in ranges.within(first, last) for number in range(low, high + 1)]
    assert found == [number for number in range(first, last + 1) if number in ranges]


def test_ids_that_follow_one_another_are_one_range():
    ranges = IdRanges()
    for number in range(1000):
        ranges.add(number, number)
    assert list(ranges) == [(0, 999)]


def test_the_lowest_range_is_the_one_with_the_lowest_ids():
    ranges = IdRanges()
    ranges.add(7, 9)
    ranges.add(1, 2)
    assert ranges.lowest == (1, 2)
    with pytest.raises(IndexError):
        _ = IdRanges().lowest
