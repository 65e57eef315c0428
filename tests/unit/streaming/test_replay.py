"""A recording made by the recorder beside a protocol, and what its replay publishes."""

import asyncio
import gzip
import selectors
from itertools import chain
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import SettableClock
from shared.errors import ConfigurationError
from shared.market.codec import Envelope
from shared.market.events import BookSnapshot, StreamState, StreamStatus
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from shared.market.recording import Frame, FrameKind, encode_frame, read_frames
from shared.settings import RecorderSettings
from streaming.exchanges.binance import BinanceProtocol
from streaming.exchanges.protocol import FetchSnapshot
from streaming.instrumentation import ConnectionStats
from streaming.pipeline import Pipeline
from streaming.recorder import Recorder
from streaming.replay import Replay, merged, play, recordings

WS = "ws://127.0.0.1:9470/stream"
REST = "http://127.0.0.1:9470"
START_NS = 1_700_000_000_000_000_000
# The symbols file may call a symbol other than the venue does.
BTC = Instrument(Exchange.BINANCE, Market.SPOT, "BITCOIN", "BTCUSDT")
WANTED = [Subscription(BTC, channel) for channel in ("aggTrade", "bookTicker", "depth@100ms")]


class Sink:
    """Keeps what would go to Kafka; full after every tenth frame until it is waited for."""

    def __init__(self):
        self.frames, self.events = [], []
        self.is_full = False
        self.pauses = 0

    def publish_frame(self, origin, frame, received_ns, events):
        self.frames.append((origin, frame, received_ns))
        self.publish(events)
        self.is_full = len(self.frames) % 10 == 0

    def publish(self, events):
        self.events += events

    async def drained(self):
        self.pauses += 1
        self.is_full = False


class Live:
    """A connection as the collector runs it, with a recorder beside it."""

    def __init__(self, folder: Path, name: str = "binance-spot-0"):
        self.sink = Sink()
        self.protocol = BinanceProtocol(Market.SPOT, name, WANTED)
        self.pipeline = Pipeline(self.protocol, self.sink, ConnectionStats(name))
        self.recorder = Recorder(folder, RecorderSettings(), SettableClock(START_NS))
        self.now_ns = START_NS
        self.number = 0
        self.update = 100
        self._name = name
        self._asked: list[FetchSnapshot] = []

    def open(self) -> None:
        self.pipeline.forward(self.protocol.open(self.now_ns))

    def close(self) -> None:
        self.pipeline.forward(self.protocol.close("test", self.now_ns))

    def _record(self, url: str, kind: FrameKind, raw: bytes) -> None:
        epoch = self.protocol.control_origin.epoch
        self.recorder.frame(url, kind, raw, self.now_ns, self._name, epoch)

    def receive(self, raw: bytes) -> None:
        self.now_ns += 1_234_567
        self._record(WS, FrameKind.WS, raw)
        self.pipeline.take(raw, self.now_ns)
        self._asked += [
            item for item in self.protocol.commands() if isinstance(item, FetchSnapshot)
        ]

    def trade(self, step: int = 1) -> None:
        self.number += step
        data = {"e": "aggTrade", "E": 1, "T": self.number, "a": self.number, "m": True}
        data |= {"f": self.number, "l": self.number, "p": f"1.{self.number}0", "q": "2"}
        self.receive(msgspec.json.encode({"stream": "btcusdt@aggTrade", "data": data}))

    def delta(self, step: int = 1) -> None:
        first = self.update + step
        self.update = first + 1
        data = {"e": "depthUpdate", "E": self.now_ns // 10**6, "s": "BTCUSDT", "U": first}
        data |= {"u": self.update, "b": [["1.0", str(self.update)]], "a": [["2.0", "1"]]}
        self.receive(msgspec.json.encode({"stream": "btcusdt@depth@100ms", "data": data}))

    def answer(self) -> None:
        """Answer the oldest snapshot request."""
        request = self._asked.pop(0)
        self.now_ns += 50_000_000
        body = msgspec.json.encode(
            {"lastUpdateId": self.update, "bids": [["1.0", "5"]], "asks": [["2.0", "5"]]}
        )
        self._record(REST + request.path, FrameKind.HTTP, body)
        self.pipeline.forward(self.protocol.receive_snapshot(request, body, self.now_ns))


def session(live: Live) -> None:
    """A socket's life: acknowledgement, data, a book, a gap in both, bad frames."""
    live.open()
    live.receive(b'{"result":null,"id":1}')
    live.trade()
    live.delta()
    live.delta()
    live.answer()
    for _ in range(10):
        live.delta()
        live.trade()
    live.trade(step=3)
    live.delta(step=9)
    live.answer()
    live.delta()
    live.receive(b'{"stream":"btcusdt@bookTicker","data":{"u":"bad"}}')
    live.receive(b'{"stream":"ethusdt@nothing","data":{}}')
    live.receive("{no json ü".encode())


@pytest.fixture
def live(tmp_path: Path) -> Live:
    live = Live(tmp_path)
    session(live)
    live.close()
    session(live)
    live.recorder.close()
    return live


def replayed(path: Path) -> tuple[Sink, Replay]:
    sink = Sink()
    replay = Replay(sink, WANTED, 1000)
    for frame in merged(recordings([path]), lambda _: None):
        replay.feed(frame)
    return sink, replay


def told(sink: Sink) -> list[bytes]:
    """Return the records of the events, without those that tell of the socket itself."""
    own = {StreamState.SUBSCRIBED, StreamState.ACKNOWLEDGED, StreamState.BROKEN}
    events = [
        event
        for event in sink.events
        if not (isinstance(event, StreamStatus) and event.state in own)
    ]
    return [Envelope(event.origin, "1.0.0").typed(event, 0) for event in events]


def test_a_replay_publishes_what_the_live_run_did_byte_for_byte(live: Live, tmp_path: Path):
    sink, replay = replayed(tmp_path)
    assert told(sink) == told(live.sink)
    # Live, an acknowledgement stands under the first stream that it answers.
    assert [item[1:] for item in sink.frames] == [item[1:] for item in live.sink.frames]
    assert [item for item in sink.frames if b"stream" in item[1]] == [
        item for item in live.sink.frames if b"stream" in item[1]
    ]
    assert {event.origin.epoch for event in sink.events} == {1, 2}
    assert any(isinstance(event, BookSnapshot) for event in sink.events)
    assert {event.origin.symbol for event in sink.events} == {"BITCOIN", "-"}
    counts = replay.counts
    assert counts.frames == len(list(merged(recordings([tmp_path]), lambda _: None)))
    assert (counts.dead_letters, counts.unanswered) == (6, 0)
    assert counts.gaps == 4


def test_a_reconnect_and_a_restart_of_the_collector_are_told_apart(tmp_path: Path):
    first = Live(tmp_path / "1")
    first.open()
    first.trade()
    first.close()
    first.open()
    first.trade(step=5)
    first.recorder.close()
    second = Live(tmp_path / "2")
    second.now_ns = first.now_ns + 1
    second.open()
    second.trade()
    second.recorder.close()
    sink, replay = replayed(tmp_path)
    assert told(sink) == told(first.sink) + told(second.sink)
    assert replay.counts.gaps == 1
    states = [event.state for event in sink.events if isinstance(event, StreamStatus)]
    assert states.count(StreamState.BROKEN) == 1


def test_a_recording_of_others_is_named_by_its_address_and_may_bring_its_snapshot_early(tmp_path):
    live = Live(tmp_path / "live")
    live.open()
    live.delta()
    live.delta()
    live.answer()
    live.delta()
    live.recorder.close()
    own = list(merged(recordings([tmp_path / "live"]), lambda _: None))
    bare = [
        Frame(frame.recv_ns, frame.kind, frame.url.replace("127.0.0.1:9470", host), frame.raw)
        for frame in own
        for host in ["api.x" if frame.kind is FrameKind.HTTP else "stream.x"]
    ]
    bare.sort(key=lambda frame: frame.kind is FrameKind.WS)
    sink = Sink()
    replay = Replay(sink, (), 1000)
    for frame in bare:
        replay.feed(frame)
    assert {event.origin.connection for event in sink.events} == {"binance-spot-0"}
    assert {event.origin.symbol for event in sink.events} == {"BTCUSDT"}
    assert any(isinstance(event, BookSnapshot) for event in sink.events)


@pytest.mark.parametrize(
    ("route", "name"),
    [
        ("/public/stream", "binance-um-public-0"),
        ("/market/stream", "binance-um-market-0"),
        ("/stream", "binance-um-0"),
    ],
)
def test_the_routes_of_um_are_connections_of_their_own(route, name):
    sink = Sink()
    Replay(sink, (), 10).feed(Frame(1, FrameKind.WS, f"wss://fstream.x{route}", '{"id":1}'))
    assert sink.frames[0][0].connection == name


def test_a_path_without_recordings_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="no recording there"):
        recordings([tmp_path])
    with pytest.raises(ConfigurationError, match="missing"):
        recordings([tmp_path / "missing"])


@given(st.lists(st.lists(st.integers(0, 50), max_size=12), max_size=5))
def test_files_are_merged_by_time_whatever_their_names_and_each_done_once(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("merge")
    paths = []
    for number, times in enumerate(files):
        paths.append(folder / f"{number}.jsonl.gz")
        frames = [Frame(moment, FrameKind.WS, "u", str(number)) for moment in sorted(times)]
        paths[-1].write_bytes(gzip.compress(b"".join(map(encode_frame, frames))))
    done = []
    found = list(merged(paths, done.append))
    assert [frame.recv_ns for frame in found] == sorted(chain.from_iterable(files))
    assert sorted(done) == sorted(paths)
    for number, path in enumerate(paths):
        assert [frame for frame in found if frame.raw == str(number)] == list(read_frames(path))


class TimeMachine(selectors.DefaultSelector):
    """Lets a loop's sleep pass at once, by its own clock, with the lateness of a busy machine."""

    now_s = 0.0

    def select(self, timeout: float | None = None):
        if timeout:
            self.now_s += timeout + 0.0007
        return super().select(0)


@pytest.mark.parametrize("speed", [1, 10])
def test_the_pace_is_kept_and_delays_do_not_add_up(speed):
    machine = TimeMachine()
    loop = asyncio.SelectorEventLoop(machine)
    loop.time = lambda: machine.now_s
    step_ns, count = 4_000_000 * speed, 5000
    frames = [
        Frame(START_NS + n * step_ns, FrameKind.WS, "wss://stream.x/stream", '{"id":1}')
        for n in range(count)
    ]
    moments = []

    def work(_frame: Frame) -> None:
        moments.append(machine.now_s)
        machine.now_s += 0.001

    sink = Sink()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(play(frames, Replay(sink, (), 10), sink, speed, work))
    late = [moment - moments[0] - n * 0.004 for n, moment in enumerate(moments)]
    assert max(map(abs, late)) < 0.001, "20 s in all, each frame late by itself only"
    assert sink.pauses == count // 10
    assert len(sink.frames) == count


async def test_as_fast_as_possible_others_still_have_their_turn():
    frames = [Frame(n * 10**9, FrameKind.WS, "wss://stream.x/stream", "[]") for n in range(2000)]
    turns = []

    async def other() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    sink = Sink()
    sink.publish_frame = lambda *_: None
    await asyncio.wait_for(play(frames, Replay(sink, (), 10), sink, None, lambda _: None), 10)
    task.cancel()
    assert len(turns) >= 7
