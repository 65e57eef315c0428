"""The recorder on a real file system, killed, refused by the disk and given too much."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.clock import SettableClock
from shared.market.recording import Frame, FrameKind, read_frames
from shared.settings import RecorderSettings
from streaming import recorder as module
from streaming.recorder import Recorder, RecorderState

REPO = Path(__file__).parents[3]
START_NS = 1_700_000_000_123_456_000
URL = "ws://127.0.0.1/stream"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "_BATCH_S", 0.01)


def recorder(folder: Path, clock: SettableClock | None = None, **limits: float) -> Recorder:
    return Recorder(folder, RecorderSettings(**limits), clock or SettableClock(START_NS))


def take(target: Recorder, numbers: range, size: int = 0) -> None:
    for number in numbers:
        raw = b'{"n":%d,"x":"%b"}' % (number, os.urandom(size // 2).hex().encode())
        target.frame(URL, FrameKind.WS, raw, number, "binance-spot-0", 2)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl.gz"))


def frames(folder: Path) -> list[Frame]:
    return [frame for path in files(folder) for frame in read_frames(path)]


async def written(target: Recorder, folder: Path, count: int) -> None:
    """Run until so many frames can be read back."""
    running = asyncio.create_task(target.run())
    async with asyncio.timeout(30):
        while not files(folder) or len(frames(folder)) < count:  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.01)
    running.cancel()


async def test_frames_come_back_as_they_came(tmp_path):
    target = recorder(tmp_path)
    target.frame(URL, FrameKind.WS, '{"a":"ü"}'.encode(), 5, "binance-spot-0", 2)
    target.frame("http://x/depth?symbol=A", FrameKind.HTTP, b"{}", 6)
    await written(target, tmp_path, 2)
    target.frame(URL, FrameKind.WS, b"\xff", 7)
    target.close()
    assert frames(tmp_path) == [
        Frame(5, FrameKind.WS, URL, '{"a":"ü"}', "binance-spot-0", 2),
        Frame(6, FrameKind.HTTP, "http://x/depth?symbol=A", "{}"),
        Frame(7, FrameKind.WS, URL, "\\xff"),
    ]
    assert [path.name for path in files(tmp_path)] == ["20231114T221320.123456Z.jsonl.gz"]
    assert (target.state, target.frames, target.dropped) == (RecorderState.CLOSED, 3, 0)
    take(target, range(1))
    assert target.dropped == 1


async def test_before_it_is_closed_the_file_reads_and_says_that_it_is_open(tmp_path):
    target = recorder(tmp_path)
    take(target, range(10))
    tails = []
    await written(target, tmp_path, 10)
    assert len(list(read_frames(files(tmp_path)[0], tails.append))) == 10
    assert tails[0].bytes_left == 0
    target.close()
    assert len(list(read_frames(files(tmp_path)[0], tails.append))) == 10
    assert len(tails) == 1


def test_without_frames_there_is_no_file(tmp_path):
    target = recorder(tmp_path / "none")
    target.close()
    assert not (tmp_path / "none").exists()


def test_a_new_file_begins_at_a_size_and_after_a_time(tmp_path):
    clock = SettableClock(START_NS)
    target = recorder(tmp_path, clock, file_bytes=2500, file_s=60)
    for turn in range(4):
        take(target, range(turn * 10, turn * 10 + 10), size=600)
        target._write_waiting()
        clock.advance(1_000_000_000)
    assert len(files(tmp_path)) == 4
    take(target, range(40, 41))
    target._write_waiting()
    clock.advance(60_000_000_000)
    take(target, range(41, 42))
    target._write_waiting()
    take(target, range(42, 43))
    target.close()
    assert len(files(tmp_path)) == 6
    assert [frame.recv_ns for frame in frames(tmp_path)] == list(range(43))


def test_the_oldest_files_go_when_the_limit_is_reached(tmp_path):
    clock = SettableClock(START_NS)
    (tmp_path / "mine.jsonl.gz").write_bytes(b"x" * 100_000)
    target = recorder(tmp_path, clock, file_bytes=2500, most_bytes=15_000)
    for turn in range(20):
        take(target, range(turn * 10, turn * 10 + 10), size=600)
        target._write_waiting()
        clock.advance(1_000_000_000)
        own = [path for path in files(tmp_path) if path.name != "mine.jsonl.gz"]
        assert sum(path.stat().st_size for path in own) <= 15_000
    assert 2 <= len(own) < 20
    assert (tmp_path / "mine.jsonl.gz").exists()
    assert next(read_frames(own[-1])).recv_ns == 190


def test_files_older_than_the_limit_go(tmp_path):
    old, young = (tmp_path / f"2020010{day}T000000.000000Z.jsonl.gz" for day in (1, 2))
    for path, days in ((old, 31), (young, 29)):
        path.write_bytes(b"")
        os.utime(path, (START_NS / 1e9 - days * 86_400,) * 2)
    target = recorder(tmp_path, most_days=30)
    take(target, range(1))
    target.close()
    assert young.exists()
    assert not old.exists()


def test_a_disk_that_refuses_turns_recording_off_and_nothing_else(tmp_path):
    target = recorder(tmp_path)
    take(target, range(10))
    target._write_waiting()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    take(target, range(10, 500), size=600)
    with capture_logs() as lines:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            target._write_waiting()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (target.state, target.reason) == (RecorderState.FAILED, "File too large")
    assert [line["log_level"] for line in lines] == ["error"]
    take(target, range(500, 510))
    assert target.dropped == 490 + 10
    target.close()
    assert target.state is RecorderState.FAILED
    found = [frame.recv_ns for frame in frames(tmp_path)]
    assert found == list(range(len(found)))
    assert len(found) >= 10


async def test_what_comes_too_fast_is_dropped_and_recording_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_WAITING_BYTES", 10_000)
    target = recorder(tmp_path)
    take(target, range(100), size=100)
    assert target.state is RecorderState.BEHIND
    assert target.frames + target.dropped == 100
    assert target.dropped > 0
    running = asyncio.create_task(target.run())
    async with asyncio.timeout(30):
        while target.state is not RecorderState.RECORDING:  # noqa: ASYNC110 - a state tells nobody
            await asyncio.sleep(0.01)
    running.cancel()
    take(target, range(100, 101))
    target.close()
    assert len(frames(tmp_path)) == target.frames


WRITER = """
import asyncio, sys, time
from pathlib import Path
from shared.clock import SystemClock
from shared.market.recording import FrameKind
from shared.settings import RecorderSettings
from streaming.recorder import Recorder

async def main():
    recorder = Recorder(Path(sys.argv[1]), RecorderSettings(file_bytes=20_000), SystemClock())
    running = asyncio.create_task(recorder.run())
    number = 0
    while True:
        for _ in range(50):
            recorder.frame("ws://x", FrameKind.WS, b'{"n":%d}' % number, number)
            number += 1
        await asyncio.sleep(0.005)
        print(time.monotonic(), number, flush=True)

asyncio.run(main())
"""


def test_after_kill_9_all_but_the_last_second_is_there(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    seen = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPO) as process:
        assert process.stdout is not None
        for line in process.stdout:
            moment, number = line.split()
            seen.append((float(moment), int(number)))
            if seen[-1][0] - seen[0][0] > 3:
                process.send_signal(signal.SIGKILL)
                break
    found = [frame.recv_ns for frame in frames(tmp_path)]
    assert found == list(range(len(found)))
    second_before = max(number for moment, number in seen if moment < seen[-1][0] - 1)
    assert len(found) >= second_before
    assert len(files(tmp_path)) > 1
