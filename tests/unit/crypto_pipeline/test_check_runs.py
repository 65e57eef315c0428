"""When an asset check looks again."""

import pytest

from crypto_pipeline.check_runs import rests


@pytest.mark.parametrize(
    ("seconds", "later_s", "is_too_soon"),
    [
        (0.5, 1, False),
        (2, 1, False),
        (3, 59, True),
        (3, 60, False),
        (30, 599, True),
        (30, 601, False),
    ],
)
def test_a_long_look_is_followed_by_twenty_times_its_length(seconds, later_s, is_too_soon):
    assert rests(1000.0, seconds, 1000.0 + later_s) is is_too_soon
