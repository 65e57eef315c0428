from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.exchanges.amounts import require_levels, require_not_negative, require_trade


@pytest.mark.parametrize(
    "text",
    ["1_0", " 1", "+1", "-1", "1e5", "1\n", "", ".", "1.2.3", "nan", "inf", "\u0661", "9" * 400],
)
def test_nothing_but_digits_and_a_point_is_an_amount(text):
    with pytest.raises(ValueError, match=r"digits|string|must be above 0|too large|a number"):
        require_trade(text, "1")
    with pytest.raises(ValueError, match=r"digits|string|must be above 0|too large|a number"):
        require_levels([("1", "0"), ("1", text)])
    with pytest.raises(ValueError, match=r"digits|string|must be above 0|too large|a number"):
        require_not_negative("1", text)


@pytest.mark.parametrize(("price", "quantity"), [("0", "1"), ("0.00000000", "1"), ("1", "0")])
def test_a_trade_needs_a_price_and_a_size(price, quantity):
    require_trade("61845.32000000", "0.00000001")
    with pytest.raises(ValueError, match="must be above 0"):
        require_trade(price, quantity)


def test_a_level_needs_a_price_and_may_be_empty():
    require_levels([])
    require_levels([("1", "0.000"), ("2.5", "1")])
    with pytest.raises(ValueError, match="must be above 0"):
        require_levels([("1", "0"), ("0.0", "1")])


def test_what_may_be_nothing_is_0_or_above():
    require_not_negative("0", "1.5")


@pytest.mark.parametrize("text", ["1.2.3", ".", "1,5", "1,5.0", "", "9" * 400 + ".0"])
def test_what_is_no_amount_is_found_among_plain_ones(text):
    refusal = r"not only digits|could not convert|too large|largest number is inf"
    for place in range(3):
        amounts = ["12.50"] * 3
        amounts[place] = text
        with pytest.raises(ValueError, match=refusal):
            require_not_negative(*amounts)
        with pytest.raises(ValueError, match=refusal):
            require_levels([(amount, "12.50") for amount in amounts])
        with pytest.raises(ValueError, match=refusal):
            require_levels([("12.50", amount) for amount in amounts])


@pytest.mark.parametrize("text", ["5", ".5", "5.", "007.50", "9" * 299 + ".0", "0." + "9" * 300])
def test_what_is_not_plain_may_be_an_amount_all_the_same(text):
    require_not_negative("12.50", text)
    require_levels([("12.50", text), (text, "12.50"), (text, text)])


_zeros = st.text("0", max_size=3)
_prices = st.builds("{}{}.{}".format, _zeros, st.integers(0, 2), st.text("01", max_size=9))


@given(st.lists(_prices, min_size=1, max_size=5))
def test_one_price_of_0_among_others_is_found_however_it_is_written(prices):
    levels = [(price, "0.00") for price in prices]
    if all(Decimal(price) > 0 for price in prices):
        require_levels(levels)
    else:
        with pytest.raises(ValueError, match=r"must be above 0, the lowest is 0\.0"):
            require_levels(levels)
