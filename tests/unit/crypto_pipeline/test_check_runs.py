"""When an asset check looks again."""

import pytest

from crypto_pipeline.check_runs import rests


@pytest.mark.parametrize(
    ("seconds", "later_s", "is_too_soon"),
    [
        (0.5, 1, False),
        (2, 1, False),
        (3, 179, True),
        (3, 181, False),
        (60, 899, True),
        (60, 901, False),
    ],
)
def test_a_long_look_is_followed_by_a_rest_in_proportion_to_it(seconds, later_s, is_too_soon):
    assert rests(1000.0, seconds, 1000.0 + later_s) is is_too_soon
