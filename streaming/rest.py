"""REST calls of one address: one at a time, within its weight limit, book snapshots first."""

import asyncio
import math
import random
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush
from http import HTTPStatus
from itertools import count

import httpx

from shared.clock import Clock
from streaming.circuit_breaker import CircuitBreaker
from streaming.config import RestLimits
from streaming.errors import VenueError
from streaming.exchanges.protocol import FetchSnapshot

_TIMEOUT = httpx.Timeout(10, connect=5)
# Between two healing calls lie seconds; httpx itself would hang up after five.
_KEEP_ALIVE_S = 60
# Pauses before a call is tried again that found nobody, or a server in trouble.
_RETRIES_S = (0.5, 1.0)
# Two calls with their retries: from then on the address itself is down, not one call unlucky.
_FAILURES_TO_OPEN = 6
_MINUTE_NS = 60_000_000_000
# Where a refusal names no time, or one that is no number.
_DEFAULT_AWAY_S = 60.0
_REFUSALS = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.IM_A_TEAPOT}


class Priority(IntEnum):
    """What goes first: a book without a snapshot is blind, a missed trade can wait."""

    SNAPSHOT = 0
    HEALING = 1


# So much of a minute's weight each may use: a long healing leaves room for the snapshots that the next
# reconnect needs at once, and reconnects without end leave room for healing.
_SHARE = {Priority.SNAPSHOT: 0.7, Priority.HEALING: 0.5}


@dataclass(order=True)
class _Call:
    """A call that waits; ordered by priority, then by when it was asked for."""

    priority: Priority
    number: int
    path: str = field(compare=False)
    weight: int = field(compare=False)
    body: asyncio.Future[bytes] = field(compare=False)


class RestPool:
    """Fetches bodies from one REST address, over a connection that stays open.

    It counts the weight of its own calls per clock minute, and believes the venue where that says
    more. A refusal (429, or 418: banned) stops every call until `Retry-After` is over, since going
    on after 429 is what earns the ban. While nobody answers, calls wait for the circuit breaker.
    """

    def __init__(self, base_url: str, limits: RestLimits, clock: Clock) -> None:
        self._client = httpx.AsyncClient(
            base_url=base_url,
            http2=True,
            timeout=_TIMEOUT,
            limits=httpx.Limits(keepalive_expiry=_KEEP_ALIVE_S),
        )
        self._limits = limits
        self._clock = clock
        generator = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._breaker = CircuitBreaker(_FAILURES_TO_OPEN, iter(generator.random, None))
        self._numbers = count()
        self._queues: dict[Priority, list[_Call]] = {priority: [] for priority in Priority}
        self._queue_changed = asyncio.Event()
        self._server: asyncio.Task[None] | None = None
        self._away_until_ns = 0
        self._minute = 0
        self._used = 0
        self._used_by = dict.fromkeys(Priority, 0)

    async def fetch(self, request: FetchSnapshot) -> bytes:
        """Return a snapshot's body, fetched no earlier than asked and when the venue allows.

        Raises:
            VenueError: the call failed or was refused.
        """
        await asyncio.sleep(max(0, request.not_before_ns - self._clock.now_ns()) / 1e9)
        return await self.get(request.path, request.weight, Priority.SNAPSHOT)

    async def get(self, path: str, weight: int, priority: Priority) -> bytes:
        """Return the body of one call, made in its turn; `weight` is what the venue charges.

        A call that finds nobody, or a server in trouble, is repeated before it counts as failed.

        Raises:
            VenueError: the call failed or was refused.
        """
        number = next(self._numbers)
        for pause_s in _RETRIES_S:
            try:
                return await self._queued(priority, number, path, weight)
            except VenueError as error:
                if not error.is_outage:
                    raise
            await asyncio.sleep(pause_s)
        return await self._queued(priority, number, path, weight)

    async def close(self) -> None:
        """Close the connections; whoever still waits is cancelled."""
        if self._server is not None:
            self._server.cancel()
            with suppress(asyncio.CancelledError):
                await self._server
        for queue in self._queues.values():
            for call in queue:
                call.body.cancel()
        await self._client.aclose()

    async def _queued(self, priority: Priority, number: int, path: str, weight: int) -> bytes:
        loop = asyncio.get_running_loop()
        call = _Call(priority, number, path, weight, loop.create_future())
        heappush(self._queues[priority], call)
        self._queue_changed.set()
        if self._server is None or self._server.done():
            self._server = loop.create_task(self._serve(), name="rest calls")
        return await call.body

    async def _serve(self) -> None:
        """Make the waiting calls until none is left; a call that nobody awaits is not made."""
        while heads := [queue[0] for queue in self._queues.values() if queue]:
            now_ns = self._clock.now_ns()
            wait_ns, call = min((max(0, self._free_ns(call) - now_ns), call) for call in heads)
            if wait_ns > 0:
                self._queue_changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_ns / 1e9):
                        await self._queue_changed.wait()
                continue
            heappop(self._queues[call.priority])
            if not call.body.done():
                await self._make(call)

    def _free_ns(self, call: _Call) -> int:
        """Return the time from which a call may go out, or be dropped."""
        if call.body.done():
            return 0
        minute, budget = self._clock.now_ns() // _MINUTE_NS, self._limits.weight_per_minute
        is_over = minute == self._minute and (
            self._used + call.weight > budget
            or self._used_by[call.priority] + call.weight > budget * _SHARE[call.priority]
        )
        budget_ns = (minute + 1) * _MINUTE_NS if is_over else 0
        return max(self._away_until_ns, self._breaker.open_until_ns, budget_ns)

    async def _make(self, call: _Call) -> None:
        now_ns = self._clock.now_ns()
        self._breaker.admits(now_ns)
        self._count(call.weight)
        self._used_by[call.priority] += call.weight
        try:
            body = await self._answer(call.path)
        except Exception as error:  # noqa: BLE001 - Boundary: whatever it is, the asker must hear
            self._note_failure(error)
            if not call.body.done():
                call.body.set_exception(error)
        else:
            self._breaker.succeeded()
            if not call.body.done():
                call.body.set_result(body)
        finally:
            call.body.cancel()

    async def _answer(self, path: str) -> bytes:
        try:
            response = await self._client.get(path)
        except Exception as error:  # Boundary: whatever the client raises, the address has failed
            raise VenueError(path, f"{type(error).__name__}: {error}") from error
        self._note_limits(response)
        if response.status_code != HTTPStatus.OK:
            reason = f"HTTP {response.status_code}: {response.text[:200]}"
            raise VenueError(path, reason, response.status_code)
        return response.content

    def _note_failure(self, error: Exception) -> None:
        if isinstance(error, VenueError) and not error.is_outage:
            self._breaker.succeeded()
        else:
            self._breaker.failed(self._clock.now_ns())

    def _count(self, weight: int) -> None:
        """Add to what is used of the present minute."""
        minute = self._clock.now_ns() // _MINUTE_NS
        if minute != self._minute:
            self._minute, self._used = minute, 0
            self._used_by = dict.fromkeys(Priority, 0)
        self._used += weight

    def _note_limits(self, response: httpx.Response) -> None:
        if response.status_code in _REFUSALS:
            wait_s = _number(response.headers.get("retry-after"), _DEFAULT_AWAY_S)
            self._away_until_ns = self._clock.now_ns() + int(wait_s * 1e9)
        self._count(0)
        said = _number(response.headers.get(self._limits.used_weight_header), 0)
        self._used = max(self._used, int(said))


def _number(text: str | None, otherwise: float) -> float:
    try:
        number = float(text or otherwise)
    except ValueError:
        return otherwise
    return max(0.0, number) if math.isfinite(number) else otherwise
