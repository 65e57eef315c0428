import pytest

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
