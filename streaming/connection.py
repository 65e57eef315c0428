"""One planned connection, kept alive for as long as the service runs.

A socket that ends unasked is followed by another at once if it had delivered, else after a growing
pause. One that is to be replaced goes on until its successor has proved itself: make before break.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator

import structlog

from shared.market.events import StreamStatus
from shared.market.instruments import Subscription
from streaming.config import ConnectionPlan
from streaming.deduplicator import Deduplicator
from streaming.exchanges.protocol import ExchangeProtocol, StreamView
from streaming.gate import Gate
from streaming.instrumentation import ConnectionStats
from streaming.link import Link, Surroundings
from streaming.pipeline import Pipeline
from streaming.reconnect import backoff_delays

_LOOK_S = 0.1
# A successor that has not proved itself by then is given up; the old socket goes on.
_PROOF_S = 60.0
# After an acknowledgement both sockets hear the same; a stream silent on both for so long is quiet.
_QUIET_NS = 5_000_000_000
# How long copies may still come out of the successor's buffers.
_OVERLAP_S = 5.0
# Between two roll-overs that the protocol asks for: a replaced socket must be given a chance.
_BETWEEN_ROLL_OVERS_S = 60.0

ProtocolOf = Callable[[ConnectionPlan, int], ExchangeProtocol]


class Connection:
    """Keeps one planned connection open; see the module.

    Args:
        plan: what it carries, and where.
        protocol_of: makes a protocol that goes on from an epoch.
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
        self._wish = asyncio.Event()
        self._reason = ""
        self._rolled_s = float("-inf")
        self._random = random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._link = self._new_link(protocol_of(plan, 0))
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
        now_ns = self._around.clock.now_ns()
        for link, pipeline in self._links():
            pipeline.forward(link.protocol.subscribe(plan.subscriptions, now_ns))
            link.obey()

    def roll_over(self, reason: str) -> None:
        """Ask for a fresh socket; nothing is lost and nothing comes twice."""
        self._reason = reason
        self._wish.set()

    async def _live(self) -> None:
        """Run the present link, and its successors, until one ends unasked."""
        running = asyncio.create_task(self._run_link(self._link, beside=False))
        try:
            while True:
                await self._until_ended_or_wished(running)
                if running.done():
                    return
                self._wish.clear()
                running = await self._replace(running)
        finally:
            running.cancel()
            await asyncio.wait([running])
            self._deduplicator.end()
            self.stats.connected = False

    async def _until_ended_or_wished(self, running: asyncio.Task[str]) -> None:
        loop = asyncio.get_running_loop()
        lifetime_ns = self.plan.endpoint.lifetime_s * 1e9 * self._random.uniform(0.9, 1)
        while not running.done():
            if self._wish.is_set() and loop.time() - self._rolled_s >= self._pause_s():
                return
            opened_ns = self._link.opened_ns
            if opened_ns and self._around.clock.now_ns() - opened_ns > lifetime_ns:
                self.roll_over("the venue closes sockets after a day")
            if not self._deduplicator.is_idle and loop.time() - self._rolled_s > _OVERLAP_S:
                self._deduplicator.end()
            await asyncio.wait([running], timeout=_LOOK_S)

    def _pause_s(self) -> float:
        return 0.0 if self._reason == "serverShutdown" else _BETWEEN_ROLL_OVERS_S

    async def _replace(self, running: asyncio.Task[str]) -> asyncio.Task[str]:
        """Open and prove a second socket, then let the first go; returns what runs on."""
        loop = asyncio.get_running_loop()
        self._rolled_s = loop.time()
        self._log.info("rolling over", reason=self._reason)
        await self._gate.admitted()
        old = self._link
        self._deduplicator.begin()
        epoch = old.protocol.control_origin.epoch
        new = self._successor = self._new_link(self._protocol_of(self.plan, epoch))
        opening = asyncio.create_task(self._run_link(new, beside=True))
        try:
            while not (running.done() or opening.done() or self._is_proved(new, old)):
                if loop.time() - self._rolled_s > _PROOF_S:
                    opening.cancel()
                await asyncio.wait([running, opening], timeout=_LOOK_S)
            if opening.done():
                self._log.warning("roll-over failed, the old socket goes on", reason=self._reason)
                return running
            return await self._hand_over(running, opening, old, new)
        except BaseException:
            opening.cancel()
            await asyncio.wait([opening])
            raise
        finally:
            self._successor = None
            self._rolled_s = loop.time()

    async def _hand_over(
        self, running: asyncio.Task[str], opening: asyncio.Task[str], old: Link, new: Link
    ) -> asyncio.Task[str]:
        running.cancel()
        await asyncio.wait([running])
        self._link = new
        pipeline = self._pipeline(new.protocol)
        pipeline.forward(new.protocol.adopt(old.protocol, self._around.clock.now_ns()))
        new.obey()
        self._wish.clear()
        self.stats.rolled_over += 1
        self.stats.connected = new.is_open
        self._log.info("rolled over", reason=self._reason)
        return opening

    def _is_proved(self, new: Link, old: Link) -> bool:
        """Say whether the successor has delivered whatever the old socket delivers."""
        if not new.is_open:
            return False
        now_ns = self._around.clock.now_ns()
        before = {view.subscription: view.life for view in old.protocol.streams()}
        return all(
            view.life.is_proved
            or (
                now_ns - new.opened_ns > _QUIET_NS
                and before[view.subscription].seen_ns < new.opened_ns
            )
            for view in new.protocol.streams()
            if view.subscription in before
        )

    async def _run_link(self, link: Link, *, beside: bool) -> str:
        reason = await link.run(beside=beside)
        if link.opened_ns:
            self._gate.succeeded()
        else:
            self._gate.failed()
        return reason

    def _has_delivered(self) -> bool:
        opened_ns = self._link.opened_ns
        return bool(opened_ns) and any(view.life.seen_ns > opened_ns for view in self.streams())

    def _links(self) -> Iterator[tuple[Link, Pipeline]]:
        for link in (self._link, self._successor):
            if link is not None:
                yield link, self._pipeline(link.protocol)

    def _new_link(self, protocol: ExchangeProtocol) -> Link:
        pipeline = self._pipeline(protocol)
        return Link(self.plan, protocol, pipeline, self.stats, self._around, self.roll_over)

    def _pipeline(self, protocol: ExchangeProtocol) -> Pipeline:
        around = self._around
        return Pipeline(
            protocol,
            around.sink,
            self.stats,
            self._deduplicator,
            self._on_status,
            around.latencies.received,
        )

    def _delays(self) -> Iterator[float]:
        return backoff_delays(iter(self._random.random, None))


def unhealthy(views: Iterable[StreamView]) -> Iterator[tuple[Subscription, str]]:
    """Yield the subscriptions that do not deliver, and in what state they are."""
    for view in views:
        if not view.life.is_healthy:
            yield view.subscription, view.life.state.value
