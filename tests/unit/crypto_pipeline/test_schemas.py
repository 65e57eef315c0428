import re
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crypto_pipeline.schemas import BODY, ENVELOPE, NOTIONAL, PRICE, exact_text
from shared.market.topics import Feed

_PLAIN = st.decimals(min_value=0, max_value=10**12, places=9).map(lambda number: f"{number:f}")
_ANY = st.decimals(min_value=0, max_value=10**12, allow_nan=False).map(str)


def is_exact(text: str) -> bool:
    return (Fraction(text) * 10**8).denominator == 1


@given(_PLAIN | _ANY)
@example("60000.1234567800000000001")
@example("1.123456789")
@example("1.12345678000")
@example("0E-30")
@example("1.20E-7")
@example("1.23E-7")
@example("1E-8")
@example("1E-9")
@example("1E-18")
@example("1E+3")
@example("124999999999.99999999999999995400904046127771723")
def test_a_price_is_exact_without_a_digit_beyond_the_eighth_place(text):
    assert bool(re.match(exact_text(PRICE), text)) == is_exact(text)


@pytest.mark.parametrize(
    ("text", "exact"), [("0.1234567890123456", True), ("0.12345678901234567", False)]
)
def test_the_places_are_those_of_the_type(text, exact):
    assert bool(re.match(exact_text(NOTIONAL), text)) is exact


def test_a_field_of_one_kind_of_quote_is_needed_by_that_kind_alone():
    fields = {field.name: field for field in (*ENVELOPE, *BODY[Feed.QUOTES])}
    assert fields["update_id"].is_needed_by(["best_quote", "mark_price"])
    assert not fields["update_id"].is_needed_by(["mark_price"])
    assert not fields["index_price"].is_needed_by(["mark_price"])
    assert fields["symbol"].is_needed_by(["mark_price"])
    always = {name for name, field in fields.items() if field.is_always_there}
    assert {"update_id", "event_time", "index_price"}.isdisjoint(always)
    assert {"symbol", "received_ns"} <= always
