"""One socket from its opening to its end: frames in, commands out, at the venue's pace."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from picows import WSError

from shared.clock import Clock
from shared.market.recording import FrameKind
from streaming.config import ConnectionPlan
from streaming.errors import VenueError
from streaming.exchanges.protocol import (
    ExchangeProtocol,
    FetchSnapshot,
    Reconnect,
    RollOver,
    SendText,
)
from streaming.instrumentation import ConnectionStats, Latencies
from streaming.pipeline import Pipeline
from streaming.recorder import Recorder
from streaming.rest import RestPool
from streaming.silence import Measure, Silence
from streaming.sink import Sink
from streaming.web_socket import WebSocket, open_socket

_NETWORK_ERRORS = (WSError, OSError)
# Why a link ended that was told to.
_STOPPED = "stopped"
_TICK_S = 1.0


@dataclass(frozen=True)
class Surroundings:
    """What every link of a process shares."""

    sink: Sink
    rest: RestPool
    clock: Clock
    recorder: Recorder | None
    latencies: Latencies


@dataclass(frozen=True)
class Hooks:
    """What a link tells the connection that it belongs to, and asks of it."""

    next_epoch: Callable[[], int]
    opened: Callable[[], None]


class Link:
    """Drives one protocol over one socket, once.

    Args:
        plan: the endpoint, and the name for logs and recordings.
        protocol: the language; it is opened and closed here.
        pipeline: where frames and events go.
        stats: the connection's counters.
        around: what is shared.
        hooks: what the connection is told and asked.
    """

    def __init__(
        self,
        plan: ConnectionPlan,
        protocol: ExchangeProtocol,
        pipeline: Pipeline,
        stats: ConnectionStats,
        around: Surroundings,
        hooks: Hooks,
    ) -> None:
        self.protocol = protocol
        self.opened_ns = 0
        self.wish: RollOver | None = None
        """The roll-over that the protocol wants."""
        self._is_beside = False
        self._plan = plan
        self._pipeline = pipeline
        self._stats = stats
        self._around = around
        self._hooks = hooks
        self._is_paused = False
        self._socket: WebSocket | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._outbox: deque[str] = deque()
        self._posted = asyncio.Event()
        self._log = structlog.get_logger().bind(connection=plan.name)

    @property
    def is_open(self) -> bool:
        """Whether the socket is open."""
        return self._socket is not None

    async def run(self, *, beside: bool = False) -> None:
        """Open the socket and read until it ends.

        `beside` another link, books wait until this one takes over.
        """
        reason = _STOPPED
        self._is_beside = beside
        try:
            await self._session()
        except* _NETWORK_ERRORS as group:
            reason = _told(group)
        except* Exception as group:  # noqa: BLE001 - Boundary: a fault ends one socket, not all
            reason = _told(group)
            self._log.exception("a fault ended the socket")
        finally:
            self._end(reason)

    def change(self, plan: ConnectionPlan) -> None:
        """Carry other subscriptions from now on."""
        self._plan = plan
        now_ns = self._around.clock.now_ns()
        self._pipeline.forward(self.protocol.subscribe(plan.subscriptions, now_ns))
        self._obey()

    def take_over(self, before: "Link") -> None:
        """Go on alone where another link has ended."""
        self._is_beside = False
        now_ns = self._around.clock.now_ns()
        self._pipeline.forward(self.protocol.adopt(before.protocol, now_ns))
        self._obey()

    async def _session(self) -> None:
        endpoint = self._plan.endpoint
        socket = await open_socket(endpoint.ws_url)
        try:
            now_ns = self._around.clock.now_ns()
            self.opened_ns = now_ns
            self._stats.opened += 1
            self._stats.connected = True
            self._hooks.opened()
            self._log.info("connected", url=endpoint.ws_url, beside=self._is_beside)
            async with asyncio.TaskGroup() as tasks:
                self._socket, self._tasks = socket, tasks
                side_jobs = [
                    tasks.create_task(self._post(socket)),
                    tasks.create_task(self._tick(socket)),
                ]
                try:
                    epoch = self._hooks.next_epoch()
                    events = self.protocol.open(now_ns, beside=self._is_beside, epoch=epoch)
                    self._pipeline.forward(events)
                    self._obey()
                    socket.start(self._reader(socket, tasks))
                    await socket.ended()
                finally:
                    for job in side_jobs:
                        job.cancel()
        finally:
            await socket.close()

    def _reader(self, socket: WebSocket, tasks: asyncio.TaskGroup) -> Callable[[bytes], None]:
        """Return what takes the frames of a socket."""
        sink, protocol, recorder = self._around.sink, self.protocol, self._around.recorder
        take, now_ns = self._pipeline.take, self._around.clock.now_ns
        url = self._plan.endpoint.ws_url

        def read(frame: bytes) -> None:
            received_ns = now_ns()
            if recorder is not None:
                self._record(recorder, FrameKind.WS, url, frame, received_ns)
            take(frame, received_ns)
            if protocol.has_commands:
                self._obey()
            if sink.is_full and not self._is_paused:
                self._is_paused = True
                socket.pause()
                tasks.create_task(self._pause(socket))

        return read

    async def _pause(self, socket: WebSocket) -> None:
        """Read nothing until there is room; what is silent meanwhile is not to blame."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._around.sink.drained()
        self._is_paused = False
        if loop.time() - began >= _TICK_S:
            self.protocol.excuse(self._around.clock.now_ns())
        socket.resume()

    async def _tick(self, socket: WebSocket) -> None:
        longest_ns = round(self._plan.endpoint.ping_interval_s * 1e9)
        silence = Silence(longest_ns, self.opened_ns)
        while True:
            await asyncio.sleep(_TICK_S)
            now_ns = self._around.clock.now_ns()
            if self._is_paused:
                silence.end(now_ns)
                continue
            self._pipeline.forward(self.protocol.tick(now_ns))
            self._obey()
            heard_ns = max((view.life.seen_ns for view in self.protocol.streams()), default=now_ns)
            match silence.look(heard_ns, socket.pongs, now_ns):
                case Measure.PING:
                    socket.ping()
                case Measure.GIVE_UP:
                    socket.abort()
                case None:
                    pass

    def _obey(self) -> None:
        if not self.is_open:
            return
        for command in self.protocol.commands():
            match command:
                case SendText(text):
                    self._outbox.append(text)
                    self._posted.set()
                case FetchSnapshot():
                    if self._tasks is not None:
                        self._tasks.create_task(self._fetch(command))
                case RollOver():
                    self.wish = command
                case Reconnect(reason):
                    self._log.info("reconnecting", reason=reason)
                    if self._tasks is not None and self._socket is not None:
                        self._tasks.create_task(self._socket.close())

    async def _post(self, socket: WebSocket) -> None:
        """Send what waits, never more messages in a second than the venue takes."""
        loop = asyncio.get_running_loop()
        sent: deque[float] = deque(maxlen=self._plan.endpoint.messages_per_s)
        while True:
            await self._posted.wait()
            self._posted.clear()
            while self._outbox:
                if len(sent) == sent.maxlen:
                    await asyncio.sleep(max(0.0, sent[0] + 1.05 - loop.time()))
                socket.send(self._outbox.popleft())
                sent.append(loop.time())

    async def _fetch(self, request: FetchSnapshot) -> None:
        around = self._around
        try:
            body = await around.rest.fetch(request)
        except VenueError as error:
            self._log.warning("snapshot failed", path=request.path, reason=str(error))
            self.protocol.snapshot_failed(request, around.clock.now_ns())
        else:
            now_ns = around.clock.now_ns()
            if around.recorder is not None:
                url = self._plan.endpoint.rest_url + request.path
                self._record(around.recorder, FrameKind.HTTP, url, body, now_ns)
            self._pipeline.forward(self.protocol.receive_snapshot(request, body, now_ns))
        self._obey()

    def _record(
        self, recorder: Recorder, kind: FrameKind, url: str, raw: bytes, received_ns: int
    ) -> None:
        epoch = self.protocol.control_origin.epoch
        recorder.frame(url, kind, raw, received_ns, self._plan.name, epoch, self._is_beside)

    def _end(self, reason: str) -> None:
        if self._socket is not None:
            self._log.info("disconnected", reason=reason)
            now_ns, planned = self._around.clock.now_ns(), reason == _STOPPED
            self._pipeline.forward(self.protocol.close(reason, now_ns, planned=planned))
            for view in self.protocol.streams():
                self._around.sink.forget(view.origin)
        elif reason != _STOPPED:
            self._log.warning("cannot connect", url=self._plan.endpoint.ws_url, reason=reason)
        self._socket = self._tasks = None


def _told(group: BaseExceptionGroup[BaseException]) -> str:
    """Return the errors of a group in one line."""
    return "; ".join(f"{type(error).__name__}: {error}" for error in group.exceptions)
