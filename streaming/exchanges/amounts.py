"""Checking a venue's decimals without making decimals of them.

Nearly all amounts are plain: digits, a point, digits. Joined by commas and rid of their digits, plain ones
leave nothing but points and commas by turns, so that a few calls into C tell of a whole book's side that they
are. Others are looked at one by one: only digits and points, and `float` tells the rest, more than one point
or a value that is too large.
"""

from collections.abc import Sequence

from shared.market.events import Amount, PriceLevel

_INFINITE = float("inf")
_DIGITS = b"0123456789"
# Plain amounts of together fewer characters than this are finite as floats, which end at 309 digits.
_SURELY_FINITE = 300


class RefusedMessageError(ValueError):
    """A message that decodes but cannot be true; the text is the dead letter's reason."""


def require_trade(price: Amount, quantity: Amount) -> None:
    """Raise ValueError unless price and quantity are decimals above 0."""
    _require_digits(price + quantity)
    if not (0 < float(price) < _INFINITE and 0 < float(quantity) < _INFINITE):
        raise RefusedMessageError(f"price {price} and quantity {quantity} must be above 0")


def require_levels(levels: Sequence[PriceLevel]) -> None:
    """Raise ValueError unless each price is a decimal above 0 and each quantity one not below."""
    if not levels:
        return
    prices, quantities = zip(*levels, strict=True)
    amounts = prices + quantities
    # Among plain prices one of 0 is the first in the order of texts.
    if _are_plain(amounts) and float(min(prices)):
        return
    _require_digits("".join(amounts))
    lowest, largest = min(map(float, prices)), max(map(float, amounts))
    if not (lowest > 0 and largest < _INFINITE):
        raise RefusedMessageError(
            f"prices must be above 0, the lowest is {lowest}; the largest number is {largest}"
        )


def require_not_negative(*amounts: Amount) -> None:
    """Raise ValueError unless every amount is a decimal, 0 or above."""
    if _are_plain(amounts):
        return
    _require_digits("".join(amounts))
    if not max(map(float, amounts)) < _INFINITE:
        raise RefusedMessageError(f"one of {', '.join(amounts)} is too large")


def require_price(price: Amount) -> None:
    """Raise ValueError unless a price is a decimal above 0."""
    _require_digits(price)
    if not 0 < float(price) < _INFINITE:
        raise RefusedMessageError(f"price {price} must be above 0")


def require_rate(rate: Amount) -> None:
    """Raise ValueError unless a rate is a decimal, of either sign."""
    require_not_negative(rate.removeprefix("-"))


def _are_plain(amounts: Sequence[Amount]) -> bool:
    """Say whether each is digits, a point, digits, and finite.

    What begins with 00 is left to the other way, for `min` would not find such a price of 0.
    """
    text = "," + ",".join(amounts)
    return (
        text.encode().translate(None, _DIGITS) == b",." * len(amounts)
        and ",." not in text
        and ".," not in text
        and text[-1] != "."
        and ",00" not in text
        and (len(text) < _SURELY_FINITE or max(map(len, amounts)) < _SURELY_FINITE)
    )


def _require_digits(text: str) -> None:
    # Many times faster than asking a text whether it is of digits.
    if text.encode().translate(None, _DIGITS + b"."):
        raise RefusedMessageError(f"not only digits and points in {text[:200]!r}")
