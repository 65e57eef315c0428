from hypothesis import given
from hypothesis import strategies as st

from streaming.segment_format import Record, decode, encode, encode_all

RECORDS = st.lists(
    st.builds(Record, st.text(max_size=20), st.binary(max_size=60), st.binary(max_size=20)),
    max_size=6,
)


@given(RECORDS)
def test_records_come_back_as_they_were(records):
    data = encode_all(records)
    assert decode(data, 100) == (records, len(data), False)


@given(RECORDS, st.integers(0, 3))
def test_no_more_are_returned_than_asked(records, most):
    found = decode(encode_all(records), most)
    assert found.records == records[:most]
    assert found.used == len(encode_all(records[:most]))


def test_a_cut_at_every_byte_leaves_the_whole_records_before_it():
    records = [Record("t", b"v" * number, b"k") for number in range(4)]
    ends = [len(encode_all(records[:number])) for number in range(5)]
    data = encode_all(records)
    for cut in range(len(data)):
        whole = sum(end <= cut for end in ends) - 1
        assert decode(data[:cut], 100) == (records[:whole], ends[whole], False)


def test_a_bit_flipped_at_any_byte_is_damage_and_never_a_cut():
    first, second, third = (Record("topic", b"%d" % number, b"key") for number in range(3))
    start, end = len(encode(first)), len(encode_all([first, second]))
    for at in range(start, end):
        data = bytearray(encode_all([first, second, third]))
        data[at] ^= 1
        assert decode(bytes(data), 100) == ([first], start, True)


def test_zeros_after_a_power_cut_are_damage():
    record = Record("topic", b"value", b"key")
    assert decode(encode(record) + bytes(100), 9).is_damaged
