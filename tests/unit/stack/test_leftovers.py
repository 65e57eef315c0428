import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stack.__main__ import app
from stack.deployment import Deployment
from stack.errors import StackError
from stack.leftovers import end, find, named, refuse
from stack.services import Service
from tests.conftest import clean_environment

LASTING = """
import pathlib, signal, sys, time
name, log, ending = sys.argv[1:]
def leave(*_):
    with open(log, "a") as file:
        file.write(name + "\\n")
    if ending == "obeys":
        sys.exit()
signal.signal(signal.SIGTERM, leave)
print("up", flush=True)
time.sleep(60)
time.sleep(60)
"""
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """A deployment that has been, without a supervisord."""
    found = Deployment(str(tmp_path / "data"))
    found.save()
    return found


@pytest.fixture
def start(deployment: Deployment, tmp_path: Path) -> Iterator[Start]:
    """Start a process as supervisord would have, or `marked` otherwise."""
    started = []

    def starting(name: str, ending: str = "obeys", **marks: str) -> subprocess.Popen[bytes]:
        given = {"CRYPTO_PATHS__DATA_DIR": deployment.data_dir, "SUPERVISOR_PROCESS_NAME": name}
        process = subprocess.Popen(
            [sys.executable, "-c", LASTING, name, str(tmp_path / "ended"), ending],
            env=clean_environment() | (marks or given),
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        return process

    yield starting
    for process in started:
        process.kill()
        process.communicate()


def stack(command: str, deployment: Deployment, *options: str):
    return CliRunner().invoke(app, [command, "--data-dir", deployment.data_dir, *options])


def test_stop_ends_what_outlived_its_supervisord_in_order(deployment, start, tmp_path):
    pids = {name: start(name).pid for name in ("kafka", "streaming", "spark")}
    found = find(deployment)
    assert {name: processes[0].pid for name, processes in found.items()} == pids
    done = stack("stop", deployment)
    assert done.exit_code == 0, done.output
    assert f"kafka (pid {pids['kafka']})" in " ".join(done.output.split())
    assert (tmp_path / "ended").read_text().split() == ["streaming", "spark", "kafka"]
    assert find(deployment) == {}
    again = stack("stop", deployment)
    assert again.exit_code == 0
    assert "not running" in " ".join(again.output.split())


def test_only_what_supervisord_started_for_this_folder_is_ended(deployment, start, tmp_path):
    mine, other = deployment.data_dir, str(tmp_path / "other")
    shell = start("shell", CRYPTO_PATHS__DATA_DIR=mine)
    stranger = start("kafka", CRYPTO_PATHS__DATA_DIR=other, SUPERVISOR_PROCESS_NAME="kafka")
    assert stack("stop", deployment).exit_code == 0
    assert shell.poll() is None
    assert stranger.poll() is None


def test_what_does_not_obey_is_killed(deployment, start):
    process = start("kafka", "ignores")
    said: list[str] = []
    table = [Service("kafka", (), lambda: None, "", stop_within_s=0)]
    end(deployment, table, said.append)
    assert said == ["kafka"]
    assert process.wait(5) == -9


def test_what_cannot_be_ended_is_named(deployment, start):
    process = start("unknown")
    with pytest.raises(StackError, match=rf"not ended: unknown \(pid {process.pid}\)"):
        end(deployment, [], lambda _: None)
    assert named(find(deployment)) == f"unknown (pid {process.pid})"


def test_nothing_is_started_or_deleted_beside_what_is_left(deployment, start):
    refuse(deployment)
    process = start("kafka")
    for command, options in (("deploy", ("--demo",)), ("cleanup", ("--yes",))):
        done = stack(command, deployment, *options)
        assert isinstance(done.exception, StackError)
        assert f"kafka (pid {process.pid}). End it first: ./stop.sh" in str(done.exception)
    assert process.poll() is None
