"""Checking a venue's decimals without making decimals of them.

Digits and a point are all that an amount may hold, and `float` tells the rest: more than one point, a
value that is too large, or zero. Both are faster than anything else that Python has.
"""

from collections.abc import Sequence

from shared.market.events import Amount, PriceLevel

_INFINITE = float("inf")


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
    _require_digits("".join([price + quantity for price, quantity in levels]))
    for price, quantity in levels:
        if not (0 < float(price) < _INFINITE and float(quantity) < _INFINITE):
            raise RefusedMessageError(
                f"price {price} must be above 0 and quantity {quantity} a number"
            )


def require_not_negative(*amounts: Amount) -> None:
    """Raise ValueError unless every amount is a decimal, 0 or above."""
    _require_digits("".join(amounts))
    for amount in amounts:
        if not float(amount) < _INFINITE:
            raise RefusedMessageError(f"{amount} is too large")


def _require_digits(text: str) -> None:
    if not (text.isascii() and text.replace(".", "").isdigit()):
        raise RefusedMessageError(f"not only digits and points in {text[:200]!r}")
