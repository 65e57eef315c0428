"""When an endpoint may be knocked at: its breaker, and how often a venue allows it."""

import asyncio
import random
from collections import deque

from shared.clock import Clock
from streaming.circuit_breaker import BreakerState, CircuitBreaker
from streaming.config import ConnectLimits

_FAILURES_TO_OPEN = 5


class Gate:
    """Shared by all connections of one endpoint.

    Who was let through reports `succeeded` or `failed`.
    """

    def __init__(self, limits: ConnectLimits, clock: Clock) -> None:
        generator = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self.breaker = CircuitBreaker(_FAILURES_TO_OPEN, iter(generator.random, None))
        self._limits = limits
        self._clock = clock
        self._recent: deque[int] = deque(maxlen=limits.attempts)

    async def admitted(self) -> None:
        """Wait until an attempt may be made."""
        while True:
            now_ns = self._clock.now_ns()
            wait_ns = self._budget_ns() - now_ns
            if wait_ns <= 0:
                if self.breaker.admits(now_ns):
                    self._recent.append(now_ns)
                    return
                # Half open, somebody else's attempt decides; look again when it may be over.
                wait_ns = max(self.breaker.open_until_ns - now_ns, 1_000_000_000)
            await asyncio.sleep(wait_ns / 1e9)

    def succeeded(self) -> None:
        """Learn that a socket was opened."""
        self.breaker.succeeded()

    def failed(self) -> None:
        """Learn that no socket could be opened."""
        self.breaker.failed(self._clock.now_ns())

    def abandoned(self) -> None:
        """Learn that an attempt was given up, so that a breaker that waits for it goes on."""
        if self.breaker.state is BreakerState.HALF_OPEN:
            self.breaker.failed(self._clock.now_ns())

    def _budget_ns(self) -> int:
        """Return the time from which the venue's limit allows one more attempt."""
        if len(self._recent) < self._limits.attempts:
            return 0
        return self._recent[0] + int(self._limits.per_s * 1e9)
