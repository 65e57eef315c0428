"""Book snapshots over REST: one call at a time per venue, within its weight limit."""

import asyncio
from http import HTTPStatus

import httpx

from shared.clock import Clock
from streaming.config import RestLimits
from streaming.errors import VenueError
from streaming.exchanges.protocol import FetchSnapshot

_TIMEOUT_S = 10
_MINUTE_NS = 60_000_000_000
# Where a refusal names no time, or one that is no number.
_DEFAULT_AWAY_S = 60.0


class SnapshotFetcher:
    """Fetches bodies from one REST address, in the order asked.

    It counts the weight of its own calls per clock minute, and believes the venue where that says
    more. A refusal (429, or 418: banned) stops every call until `Retry-After` is over, since going
    on after 429 is what earns the ban.
    """

    def __init__(self, base_url: str, limits: RestLimits, clock: Clock) -> None:
        self._client = httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT_S)
        self._limits = limits
        self._clock = clock
        self._turn = asyncio.Lock()
        self._away_until_ns = 0
        self._minute = 0
        self._used = 0

    async def fetch(self, request: FetchSnapshot) -> bytes:
        """Return the body of one call, made no earlier than asked and when the venue allows.

        Raises:
            VenueError: the call failed or was refused.
        """
        await self._until(request.not_before_ns)
        async with self._turn:
            await self._until(self._away_until_ns)
            await self._charge(request.weight)
            try:
                response = await self._client.get(request.path)
            except httpx.HTTPError as error:
                raise VenueError(request.path, str(error) or type(error).__name__) from error
            self._note_limits(response)
            if response.status_code != HTTPStatus.OK:
                reason = f"HTTP {response.status_code}: {response.text[:200]}"
                raise VenueError(request.path, reason)
            return response.content

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _charge(self, weight: int) -> None:
        """Take `weight` from this minute's budget, or wait for the next minute's."""
        minute = self._clock.now_ns() // _MINUTE_NS
        if minute == self._minute and self._used + weight > self._limits.weight_per_minute:
            await self._until((minute + 1) * _MINUTE_NS)
            minute = self._clock.now_ns() // _MINUTE_NS
        if minute != self._minute:
            self._minute, self._used = minute, 0
        self._used += weight

    def _note_limits(self, response: httpx.Response) -> None:
        if response.status_code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.IM_A_TEAPOT}:
            wait_s = _number(response.headers.get("retry-after"), _DEFAULT_AWAY_S)
            self._away_until_ns = self._clock.now_ns() + int(wait_s * 1e9)
        said = _number(response.headers.get(self._limits.used_weight_header), 0)
        self._used = max(self._used, int(said))

    async def _until(self, time_ns: int) -> None:
        wait = time_ns - self._clock.now_ns()
        if wait > 0:
            await asyncio.sleep(wait / 1e9)


def _number(text: str | None, otherwise: float) -> float:
    try:
        return max(0.0, float(text or otherwise))
    except ValueError:
        return otherwise
