import math

import pytest

from streaming.exchanges.amounts import (
    RefusedMessageError,
    exact,
    reader,
    require_levels,
    require_not_negative,
    require_trade,
)

PLAIN = b'{"p":"10.50"}'


def test_plain_frames_are_read_by_float_and_odd_ones_strictly():
    assert reader(PLAIN) is float
    for odd in (b"1_0", b" 1", b"+1", b"\\t1", "\u0661".encode()):
        assert reader(b'{"p":"' + odd + b'"}') is exact


@pytest.mark.parametrize("text", ["1_0", " 1", "+1", "1\n", "", ".", "1.", ".5", "nan", "\u0661"])
def test_exact_takes_nothing_but_digits_and_a_point(text):
    with pytest.raises(RefusedMessageError, match="not a decimal"):
        exact(text)


def test_exact_reads_what_a_venue_writes():
    assert [exact(text) for text in ("0.00000000", "-1", "61845.32")] == [0, -1, 61845.32]


@pytest.mark.parametrize(
    ("price", "quantity"), [("0", "1"), ("1", "0"), ("nan", "1"), ("1", "inf")]
)
def test_a_trade_needs_a_price_and_a_size(price, quantity):
    with pytest.raises(RefusedMessageError, match="must be above 0"):
        require_trade(price, quantity, float)


@pytest.mark.parametrize(
    ("price", "quantity"), [("0", "1"), ("1", "-1"), ("inf", "1"), ("1", "nan")]
)
def test_a_level_needs_a_price_and_no_negative_quantity(price, quantity):
    require_levels([("1", "0")], float)
    with pytest.raises(RefusedMessageError, match="must be above 0"):
        require_levels([("1", "0"), (price, quantity)], float)


def test_no_amount_is_negative_or_endless():
    require_not_negative(["0", "1"], float)
    for amount in (-1.0, math.inf, math.nan):
        with pytest.raises(RefusedMessageError, match="must not be below 0"):
            require_not_negative(["1", str(amount)], float)


@pytest.mark.parametrize("amount", ["1e5", "1E-400", "25E0"])
def test_an_exponent_is_refused_wherever_an_amount_stands(amount):
    with pytest.raises(RefusedMessageError):
        require_trade("1", amount, float)
    with pytest.raises(RefusedMessageError):
        require_trade(amount, "1", float)
    with pytest.raises(RefusedMessageError, match="exponent"):
        require_levels([("1", "0"), ("2", amount)], float)
    with pytest.raises(RefusedMessageError, match="exponent"):
        require_not_negative(["1", amount], float)
