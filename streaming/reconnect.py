"""How long to wait before the next connection attempt."""

from collections.abc import Iterator

FIRST_DELAY_S = 5.0
LONGEST_DELAY_S = 300.0


def backoff_delays(jitter: Iterator[float]) -> Iterator[float]:
    """Yield seconds to wait: 0, then 5, 10, 20 … 300, each with jitter.

    Args:
        jitter: numbers from 0 to 1; a delay is between 75 % and 125 % of its step, so that many
            clients of a venue that comes back do not all knock at once.
    """
    yield 0.0
    step = FIRST_DELAY_S
    for share in jitter:
        yield step * (0.75 + share / 2)
        step = min(step * 2, LONGEST_DELAY_S)
