from hypothesis import given
from hypothesis import strategies as st

from crypto_pipeline.ledger.held import Edge, Held, count, ids_of, joined

RANGES = st.lists(
    st.builds(
        lambda first, more, offset: Held(
            first, first + more, Edge(offset, 0, first), Edge(offset, 0, first + more)
        ),
        st.integers(0, 30),
        st.integers(0, 5),
        st.integers(0, 9),
    )
)


@given(RANGES, st.randoms(use_true_random=False))
def test_ranges_join_to_one_result_in_whatever_order_and_however_often(ranges, random):
    whole = joined(ranges)
    assert joined([*whole, *random.sample(ranges, len(ranges))]) == whole
    numbers = {number for item in ranges for number in range(item.first_id, item.last_id + 1)}
    assert count(ids_of(whole)) == sum(item.ids for item in whole) == len(numbers)
    for item in whole:
        assert {item.first_id - 1, item.last_id + 1}.isdisjoint(numbers)
        assert item.start.time_us == item.first_id
        assert item.end.time_us == item.last_id


def test_of_an_id_that_came_twice_the_first_record_stands_at_the_end():
    early, late = Edge(1, 0, 0), Edge(5, 0, 0)
    assert joined([Held(1, 2, late, early), Held(1, 2, early, late)]) == [Held(1, 2, early, early)]
