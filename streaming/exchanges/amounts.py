"""Checking a venue's decimals without making decimals of them.

`float` reads an amount faster than anything else in Python, and is enough to tell its sign. It also
takes what is no plain decimal (`1_0`, ` 1`, `+1`), so a frame in which such a byte occurs at all is
read by `exact`, which does not. An exponent hides between other letters of a frame, so the amounts are
searched for it: `1E-400` is 0 to a float and not to a decimal.
"""

import re
from collections.abc import Callable, Collection
from itertools import chain

from shared.market.events import Amount, PriceLevel

Reader = Callable[[Amount], float]
_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_INFINITE = float("inf")
# As numbers: `in` then is one search, while for a bytes object it first tries to make it a number.
_UNDERSCORE, _BLANK, _PLUS, _ESCAPE = b"_ +\\"


class RefusedMessageError(ValueError):
    """A message that decodes but cannot be true; the text is the dead letter's reason."""


def exact(amount: Amount) -> float:
    """Read digits with at most a sign and a point.

    Raises:
        RefusedMessageError: anything else.
    """
    if _PLAIN.fullmatch(amount) is None:
        raise RefusedMessageError(f"{amount!r} is not a decimal")
    return float(amount)


def reader(frame: bytes) -> Reader:
    """Return how to read a frame's amounts."""
    if _UNDERSCORE in frame or _BLANK in frame or _PLUS in frame or _ESCAPE in frame:
        return exact
    return float if frame.isascii() else exact


def require_trade(price: Amount, quantity: Amount, read: Reader) -> None:
    """Raise RefusedMessageError unless price and quantity are above 0."""
    if not (0 < read(price) < _INFINITE and 0 < read(quantity) < _INFINITE):
        raise RefusedMessageError(f"price {price} and quantity {quantity} must be above 0")
    _require_no_exponent(price + quantity)


def require_levels(levels: Collection[PriceLevel], read: Reader) -> None:
    """Raise RefusedMessageError unless each price is above 0 and each quantity not below."""
    for price, quantity in levels:
        if not (0 < read(price) < _INFINITE and 0 <= read(quantity) < _INFINITE):
            raise RefusedMessageError(
                f"price {price} must be above 0 and quantity {quantity} not below"
            )
    _require_no_exponent("".join(chain.from_iterable(levels)))


def require_not_negative(amounts: Collection[Amount], read: Reader) -> None:
    """Raise RefusedMessageError unless every amount is 0 or above."""
    for amount in amounts:
        if not 0 <= read(amount) < _INFINITE:
            raise RefusedMessageError(f"{amount} must not be below 0")
    _require_no_exponent("".join(amounts))


def _require_no_exponent(amounts: str) -> None:
    if "e" in amounts or "E" in amounts:
        raise RefusedMessageError("an amount has an exponent")
