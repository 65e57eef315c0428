"""The log on a real file system, cut, damaged, killed and refused by the disk."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from shared.errors import ConfigurationError
from streaming.segment_format import Record, encode
from streaming.segment_log import SegmentLog

REPO = Path(__file__).parents[3]


def record(number: int) -> Record:
    return Record(f"topic-{number % 3}", b"value %d" % number, b"key-%d" % (number % 2))


def numbers(records: list[Record]) -> list[int]:
    return [int(item.value.split()[1]) for item in records]


def opened(folder: Path, segment_bytes: int = 400, most_bytes: int = 10**9) -> SegmentLog:
    return SegmentLog(folder, segment_bytes, most_bytes)


def fill(log: SegmentLog, count: int, start: int = 0, each: int = 3) -> None:
    """Append records, flushing after every few, so that several segments arise."""
    for number in range(start, start + count):
        log.append(record(number))
        if number % each == each - 1:
            log.flush()
    log.flush()


def rest(log: SegmentLog, most: int = 7) -> list[int]:
    found = []
    while records := log.read(most):
        found += numbers(records)
    return found


def take(log: SegmentLog, count: int) -> list[int]:
    """Read this many records, or all that are there."""
    found: list[int] = []
    while len(found) < count and (records := log.read(count - len(found))):
        found += numbers(records)
    return found


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.segment"))


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the operating system refuse to write more than this into a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_records_come_back_in_order_over_segments_and_each_once(tmp_path):
    with opened(tmp_path) as log:
        fill(log, 100)
        assert len(segments(tmp_path)) > 5
        assert (log.records, log.unread) == (100, 100)
        assert rest(log) == list(range(100))
        assert (log.records, log.unread) == (100, 0)


def test_what_is_not_flushed_cannot_be_read_yet(tmp_path):
    with opened(tmp_path) as log:
        log.append(record(0))
        assert log.read(9) == []
        assert log.unwritten == 1
        log.flush()
        assert numbers(log.read(9)) == [0]
        assert log.unwritten == 0


def test_much_is_written_without_a_flush(tmp_path):
    with opened(tmp_path, segment_bytes=10**9) as log:
        log.append(Record("t", b"x" * 300_000, b"k"))
        assert len(log.read(9)) == 1


def test_drained_segments_are_deleted_and_the_log_goes_on(tmp_path):
    with opened(tmp_path) as log:
        fill(log, 100)
        take(log, 50)
        before = log.size
        log.commit()
        assert log.records == 50
        assert log.size < before
        assert rest(log) == list(range(50, 100))
        log.commit()
        assert (log.records, log.size, segments(tmp_path)) == (0, 0, [])
        fill(log, 5, start=100)
        assert rest(log) == [100, 101, 102, 103, 104]


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(1, 5))
def test_a_restart_goes_on_where_the_last_commit_was(tmp_path_factory, count, read, more, each):
    folder = tmp_path_factory.mktemp("log")
    with opened(folder) as log:
        fill(log, count, each=each)
        done = len(take(log, read))
        log.commit()
        log.read(5)
    with opened(folder) as log:
        assert log.records == count - done
        fill(log, more, start=count, each=each)
        assert rest(log) == list(range(done, count + more))
        log.commit()
    with opened(folder) as log:
        assert log.records == 0
        assert rest(log) == []


def test_the_last_segment_cut_at_every_byte_keeps_all_whole_records(tmp_path):
    with opened(tmp_path / "log") as log:
        fill(log, 20)
    *others, last = segments(tmp_path / "log")
    data = last.read_bytes()
    first = int(last.stem) - int(others[0].stem)
    ends, at = [0], 0
    for number in range(first, 20):
        at += len(encode(record(number)))
        ends.append(at)
    for cut in range(len(data) + 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        for path in others:
            os.link(path, folder / path.name)
        (folder / last.name).write_bytes(data[:cut])
        whole = first + sum(end <= cut for end in ends) - 1
        with capture_logs() as lines, opened(folder) as log:
            assert log.records == whole
            log.append(record(99))
            log.flush()
            assert rest(log) == [*range(whole), 99]
        told = [line["bytes"] for line in lines if "torn" in line["event"]]
        assert told == ([] if cut in ends else [cut - max(end for end in ends if end <= cut)])


@pytest.mark.parametrize(
    ("which", "is_restarted"), [(0, False), (1, False), (0, True), (1, True), (-1, True)]
)
def test_a_damaged_segment_is_read_up_to_there_kept_and_told(tmp_path, which, is_restarted):
    log = opened(tmp_path)
    fill(log, 29)
    if is_restarted:
        log.close()
    path = segments(tmp_path)[which]
    base = int(path.stem) - int(segments(tmp_path)[0].stem)
    data = bytearray(path.read_bytes())
    data[len(encode(record(base))) + 20] ^= 4
    path.write_bytes(data)
    following = [int(other.stem) for other in segments(tmp_path) if other.stem > path.stem]
    after = min(following) - int(segments(tmp_path)[0].stem) if following else 29
    if is_restarted:
        log = opened(tmp_path)
    with log, capture_logs() as lines:
        fill(log, 2, start=50)
        assert rest(log) == [*range(base + 1), *range(after, 29), 50, 51]
        log.commit()
        assert log.records == 0
        assert log.size == len(data), "it counts against the limit"
    (line,) = lines
    assert line["log_level"] == "error"
    assert line["at_byte"] == len(encode(record(base)))
    if following:
        assert line["records_left"] == after - base - 1
    assert [item.read_bytes() for item in tmp_path.glob("*.damaged")] == [bytes(data)]


def test_damage_in_the_segment_being_written_ends_that_segment(tmp_path):
    with opened(tmp_path, segment_bytes=10**6) as log:
        fill(log, 3)
        (path,) = segments(tmp_path)
        data = bytearray(path.read_bytes())
        data[2] ^= 1
        path.write_bytes(data)
        assert rest(log) == []
        fill(log, 2, start=3)
        assert rest(log) == [3, 4]


def test_a_position_that_cannot_be_read_repeats_and_loses_nothing(tmp_path):
    with opened(tmp_path) as log:
        fill(log, 20)
        take(log, 4)
        log.commit()
    (tmp_path / "position").write_text("{")
    with opened(tmp_path) as log:
        kept = int(segments(tmp_path)[0].stem) - 10**15
        assert kept <= 4
        assert rest(log) == list(range(kept, 20))


def test_segments_that_a_kill_left_behind_the_position_are_deleted(tmp_path):
    with opened(tmp_path) as log:
        fill(log, 20)
    copies = {path: path.read_bytes() for path in segments(tmp_path)}
    with opened(tmp_path) as log:
        rest(log)
        log.commit()
    for path, data in copies.items():
        path.write_bytes(data)
    (tmp_path / "5.draft").write_bytes(b"half")
    with opened(tmp_path) as log:
        assert log.records == 0
        assert segments(tmp_path) == []
        assert not (tmp_path / "5.draft").exists()


def test_what_is_put_in_front_comes_first_even_after_a_restart(tmp_path):
    with opened(tmp_path) as log:
        fill(log, 4, start=10)
        log.prepend([record(number) for number in range(3)])
        log.prepend([])
        assert log.records == 7
    with opened(tmp_path) as log:
        assert rest(log) == [0, 1, 2, 10, 11, 12, 13]


def test_what_cannot_be_put_in_front_leaves_the_log_as_it_was(tmp_path):
    with opened(tmp_path) as log:
        fill(log, 4)
        with files_of_at_most(100), pytest.raises(OSError, match="too large"):
            log.prepend([record(number) for number in range(20, 40)])
        assert rest(log) == [0, 1, 2, 3]
    with opened(tmp_path) as log:
        assert rest(log) == [0, 1, 2, 3]


def test_at_the_limit_it_is_full_until_segments_are_drained(tmp_path):
    with opened(tmp_path, segment_bytes=200, most_bytes=1000) as log:
        count = 0
        while not log.is_full:
            fill(log, 1, start=count)
            count += 1
        assert log.size >= 1000
        assert log.fault is None
        take(log, count // 2)
        log.commit()
        assert not log.is_full


def test_a_disk_that_refuses_is_told_and_used_again_when_it_takes_more(tmp_path):
    with opened(tmp_path, segment_bytes=10**6) as log:
        fill(log, 3)
        with files_of_at_most(130), capture_logs() as lines:
            fill(log, 3, start=3)
            log.flush()
            assert log.is_full
            assert log.fault == "File too large"
            assert rest(log) == [0, 1, 2], "what is half written waits"
        assert [line["log_level"] for line in lines] == ["error"], "told once"
        log.flush()
        assert not log.is_full
        assert rest(log) == [3, 4, 5]


def test_a_position_that_the_disk_refuses_stops_nothing(tmp_path):
    with opened(tmp_path) as log:
        fill(log, 30)
        take(log, 25)
        with files_of_at_most(5), capture_logs():
            log.commit()
        oldest = int(segments(tmp_path)[0].stem) - 10**15
        assert oldest > 0
    with opened(tmp_path) as log:
        assert rest(log) == list(range(oldest, 30))


def test_with_fsync_the_same_comes_back(tmp_path):
    with SegmentLog(tmp_path, 400, 10**6, fsync=True) as log:
        fill(log, 30)
        log.prepend([record(99)])
        assert rest(log) == [99, *range(30)]
        log.commit()


def test_a_folder_in_use_or_without_permission_is_named(tmp_path):
    with opened(tmp_path), pytest.raises(ConfigurationError, match="CRYPTO_STREAMING__SPILL_DIR"):
        opened(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        opened(tmp_path / "file")
    opened(tmp_path).close()


WRITER = """
import sys
from pathlib import Path
from streaming.segment_format import Record
from streaming.segment_log import SegmentLog

log = SegmentLog(Path(sys.argv[1]), 50_000, 10**9)
number = 0
while True:
    for _ in range(50):
        log.append(Record("t", b"value %d" % number, b"k"))
        number += 1
    log.flush()
    print(number, flush=True)
"""


def test_after_kill_9_all_that_was_flushed_is_there_in_order(tmp_path):
    for lines in (1, 40, 400):
        folder = tmp_path / str(lines)
        command = [sys.executable, "-c", WRITER, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPO) as process:
            assert process.stdout is not None
            for _ in range(lines - 1):
                process.stdout.readline()
            flushed = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
        with opened(folder) as log:
            found = rest(log, most=1000)
            assert len(found) >= flushed
            assert found == list(range(len(found)))
