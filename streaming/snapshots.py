"""Book snapshots over REST: one call at a time per venue, within its weight limit."""

import asyncio
from http import HTTPStatus

import httpx

from shared.clock import Clock
from streaming.errors import VenueError

# Share of the venue's minute budget that snapshots may use; other calls need room too.
_WEIGHT_PER_MINUTE = 1000
_USED_WEIGHT = "x-mbx-used-weight-1m"


class SnapshotFetcher:
    """Fetches bodies from one REST address, in the order asked.

    Source of the rules: Binance REST "Limits": 429 and 418 carry Retry-After, and whoever goes on
    after 429 is banned.
    """

    def __init__(self, base_url: str, clock: Clock) -> None:
        self._client = httpx.AsyncClient(base_url=base_url, timeout=10)
        self._clock = clock
        self._turn = asyncio.Lock()
        self._away_until_ns = 0

    async def fetch(self, path: str, not_before_ns: int) -> bytes:
        """Return the body of one call, made no earlier than asked and when the venue allows.

        Raises:
            VenueError: the call failed or was refused.
        """
        await self._until(not_before_ns)
        async with self._turn:
            await self._until(self._away_until_ns)
            try:
                response = await self._client.get(path)
            except httpx.HTTPError as error:
                raise VenueError(path, str(error) or type(error).__name__) from error
            self._note_limits(response)
            if response.status_code != HTTPStatus.OK:
                raise VenueError(path, f"HTTP {response.status_code}: {response.text[:200]}")
            return response.content

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _note_limits(self, response: httpx.Response) -> None:
        wait_s = 0.0
        if response.status_code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.IM_A_TEAPOT}:
            wait_s = float(response.headers.get("retry-after", "60"))
        elif int(response.headers.get(_USED_WEIGHT, "0")) >= _WEIGHT_PER_MINUTE:
            wait_s = 60 - self._clock.now_ns() / 1e9 % 60
        self._away_until_ns = self._clock.now_ns() + int(wait_s * 1e9)

    async def _until(self, time_ns: int) -> None:
        wait = time_ns - self._clock.now_ns()
        if wait > 0:
            await asyncio.sleep(wait / 1e9)
