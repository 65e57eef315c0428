"""One planned connection, kept alive for as long as the service runs.

A socket that ends unasked is followed by another at once if it had delivered, else after a growing
pause. One that is to be replaced goes on until its successor has proved itself: make before break.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice

import structlog

from shared.market.events import StreamStatus
from shared.market.instruments import Subscription
from streaming.config import ConnectionPlan
from streaming.deduplicator import Deduplicator
from streaming.exchanges.protocol import ExchangeProtocol, RollOver, StreamView
from streaming.gate import Gate
from streaming.instrumentation import ConnectionStats
from streaming.link import Hooks, Link, Surroundings
from streaming.pipeline import Pipeline
from streaming.reconnect import backoff_delays

_LOOK_S = 0.1
# A successor that has not proved itself by then is given up; the old socket goes on.
_PROOF_S = 60.0
# Once acknowledged both sockets hear the same; a stream silent on both for so long is quiet.
_QUIET_NS = 5_000_000_000
# So long the old socket may take to come to where its successor began.
_CATCH_UP_S = 20.0
# How long copies may still come out of the successor's buffers.
_OVERLAP_S = 5.0
# Between two roll-overs that are not urgent: a replaced socket must be given a chance.
_BETWEEN_ROLL_OVERS_S = 60.0
# A socket that delivered for so long is followed by another at once.
_GOOD_AFTER_NS = 1_000_000_000

ProtocolOf = Callable[[ConnectionPlan], ExchangeProtocol]


class Connection:
    """Keeps one planned connection open; see the module.

    Args:
        plan: what it carries, and where.
        protocol_of: makes a protocol.
        around: what all connections share.
        gate: the endpoint's.
        on_status: learns of every status, so that holes are healed.
    """

    def __init__(
        self,
        plan: ConnectionPlan,
        protocol_of: ProtocolOf,
        around: Surroundings,
        gate: Gate,
        on_status: Callable[[StreamStatus], None],
    ) -> None:
        self.plan = plan
        self.stats = ConnectionStats(plan.name)
        self._protocol_of = protocol_of
        self._around = around
        self._gate = gate
        self._on_status = on_status
        self._deduplicator = Deduplicator()
        self._epochs = count(1)
        self._random = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._rolled_s = float("-inf")
        self._not_before_s = float("-inf")
        self._retries = self._pauses()
        self._link = self._new_link(protocol_of(plan))
        self._successor: Link | None = None
        self._log = structlog.get_logger().bind(connection=plan.name)

    async def run(self) -> None:
        """Connect and read for ever; returns only by cancellation."""
        delays = self._delays()
        while True:
            await asyncio.sleep(next(delays))
            await self._gate.admitted()
            await self._live()
            if self._has_delivered():
                delays = self._delays()
            self._link = self._new_link(self._link.protocol)

    def streams(self) -> Iterable[StreamView]:
        """Return the subscriptions as they stand."""
        return self._link.protocol.streams()

    def subscribe(self, plan: ConnectionPlan) -> None:
        """Change what this connection carries; other subscriptions flow on."""
        self.plan = plan
        for link in (self._link, self._successor):
            if link is not None:
                link.change(plan)

    async def _live(self) -> None:
        """Run the present link, and its successors, until one ends unasked."""
        running = asyncio.create_task(self._run_link(self._link, beside=False))
        try:
            while not running.done():
                await self._until_ended_or_wished(running)
                if not running.done():
                    running = await self._replace(running)
            running.result()
        finally:
            running.cancel()
            await asyncio.wait([running])
            self._deduplicator.end()
            self.stats.connected = False

    async def _until_ended_or_wished(self, running: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        lifetime_ns = self.plan.endpoint.lifetime_s * 1e9 * self._random.uniform(0.9, 1)
        while not running.done():
            link, now_s = self._link, loop.time()
            if link.opened_ns and self._around.clock.now_ns() - link.opened_ns > lifetime_ns:
                link.wish = link.wish or RollOver("the venue closes sockets after a day")
            if link.wish is not None and now_s >= self._due_s(link.wish):
                return
            if not self._deduplicator.is_idle and now_s - self._rolled_s > _OVERLAP_S:
                self._deduplicator.end()
            await asyncio.wait([running], timeout=_LOOK_S)

    def _due_s(self, wish: RollOver) -> float:
        pause_s = 0.0 if wish.is_urgent else _BETWEEN_ROLL_OVERS_S
        return max(self._not_before_s, self._rolled_s + pause_s)

    async def _replace(self, running: asyncio.Task[None]) -> asyncio.Task[None]:
        """Open and prove a second socket, then let the first go; returns what runs on."""
        reason = self._link.wish.reason if self._link.wish else ""
        self._log.info("rolling over", reason=reason)
        self._deduplicator.begin()
        new = self._successor = self._new_link(self._protocol_of(self.plan))
        opening = asyncio.create_task(self._open_beside(new))
        try:
            is_proved = await self._is_proved_in_time(running, opening, new)
            if is_proved or (running.done() and new.is_open):
                await self._hand_over(running, new, reason)
                return opening
        except BaseException:
            await _cancel(opening)
            raise
        finally:
            self._successor = None
            self._rolled_s = asyncio.get_running_loop().time()
        await _cancel(opening)
        self._not_before_s = self._rolled_s + next(self._retries)
        self._log.warning("roll-over failed, to be tried again", reason=reason)
        return running

    async def _is_proved_in_time(
        self, running: asyncio.Task[None], opening: asyncio.Task[None], new: Link
    ) -> bool:
        """Wait for the successor to prove itself; False if it or the old socket ends before."""
        loop = asyncio.get_running_loop()
        began, proved_s, old = loop.time(), None, self._link
        while not (running.done() or opening.done()) and loop.time() - began < _PROOF_S:
            if self._is_proved(new, old):
                proved_s = proved_s or loop.time()
                if new.protocol.joins(old.protocol) or loop.time() - proved_s > _CATCH_UP_S:
                    return True
            await asyncio.wait([running, opening], timeout=_LOOK_S)
        return False

    async def _hand_over(self, running: asyncio.Task[None], new: Link, reason: str) -> None:
        old = self._link
        await _cancel(running)
        self._deduplicator.socket_ended(old.protocol.control_origin)
        self._link = new
        new.take_over(old)
        self._retries = self._pauses()
        self._not_before_s = float("-inf")
        self.stats.rolled_over += 1
        self._log.info("rolled over", reason=reason)

    def _is_proved(self, new: Link, old: Link) -> bool:
        """Say whether the successor has delivered whatever the old socket delivers."""
        if not new.is_open:
            return False
        quiet_long_enough = self._around.clock.now_ns() - new.opened_ns > _QUIET_NS
        before = {view.subscription: view.life for view in old.protocol.streams()}
        return all(
            view.life.is_proved
            or (
                quiet_long_enough
                and view.life.is_acknowledged
                and before[view.subscription].seen_ns < new.opened_ns
            )
            for view in new.protocol.streams()
            if view.subscription in before
        )

    async def _open_beside(self, link: Link) -> None:
        await self._gate.admitted()
        await self._run_link(link, beside=True)

    async def _run_link(self, link: Link, *, beside: bool) -> None:
        try:
            await link.run(beside=beside)
        except asyncio.CancelledError:
            if not link.opened_ns:
                self._gate.abandoned()
            raise
        if not link.opened_ns:
            self._gate.failed()

    def _has_delivered(self) -> bool:
        opened_ns = self._link.opened_ns
        return bool(opened_ns) and any(
            view.life.seen_ns > opened_ns + _GOOD_AFTER_NS for view in self.streams()
        )

    def _new_link(self, protocol: ExchangeProtocol) -> Link:
        around = self._around
        pipeline = Pipeline(
            protocol,
            around.sink,
            self.stats,
            self._deduplicator,
            self._on_status,
            around.latencies.received,
        )
        hooks = Hooks(self._epochs.__next__, self._gate.succeeded)
        return Link(self.plan, protocol, pipeline, self.stats, around, hooks)

    def _pauses(self) -> Iterator[float]:
        """Yield the pauses between attempts to roll over; the old socket still delivers."""
        return islice(self._delays(), 1, None)

    def _delays(self) -> Iterator[float]:
        return backoff_delays(iter(self._random.random, None))


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def unhealthy(views: Iterable[StreamView]) -> Iterator[tuple[Subscription, str]]:
    """Yield the subscriptions that do not deliver, and in what state they are."""
    for view in views:
        if not view.life.is_healthy:
            yield view.subscription, view.life.state.value
