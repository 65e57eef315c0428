import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from shared.settings import MockSettings, PathSettings, Settings
from stack.deployment import Mode
from stack.ground import java_major
from stack.preflight import problems

REPO = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_202"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("command not found", None),
    ],
)
def test_the_java_version_is_read_from_what_java_prints(text, major):
    assert java_major(text) == major


def test_a_busy_port_and_a_bad_symbols_file_are_both_named_with_a_remedy(tmp_path):
    symbols = tmp_path / "symbols.yaml"
    symbols.write_text("version: 9\nexchanges: {}\n")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        settings = Settings(paths=PathSettings(symbols_file=symbols), mock=MockSettings(port=port))
        found = dict(problems(settings, Mode.DEMO, tmp_path / "data"))
    assert f"port {port} for mock exchange is in use" in found
    assert any("version: must be 1" in problem for problem in found)
    assert all(found.values())


def test_the_demo_has_no_cm_market_and_says_so_instead_of_asking_the_real_one(tmp_path):
    symbols = tmp_path / "symbols.yaml"
    settings = Settings(paths=PathSettings(symbols_file=symbols))
    for enabled, named in (("true", True), ("false", False)):
        symbols.write_text(
            "version: 1\nexchanges:\n  binance:\n    cm:\n"
            f"      BTCUSD_PERP: {{enabled: {enabled}}}\n"
        )
        found = dict(problems(settings, Mode.DEMO, tmp_path / "data"))
        assert ("the demo has no cm market" in found) is named


def test_a_jar_that_is_not_what_is_pinned_is_named(tmp_path, monkeypatch):
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "jars.txt").write_text(
        "# a comment\nkafka org.x one 1 00\nkafka org.x two 1 00\n"
    )
    changed = tmp_path / "jars" / "kafka" / "one-1.jar"
    changed.parent.mkdir(parents=True)
    changed.write_text("other")
    monkeypatch.setattr("stack.preflight._REPO", tmp_path)
    found = dict(problems(Settings(), Mode.RECORDING, tmp_path / "data"))
    assert [problem for problem in found if "jar" in problem] == [
        f"{changed} is not what infra/jars.txt expects"
    ]


@pytest.mark.parametrize("inside", ["", "symbol=A", "symbol=A/date=2024-08-08"])
def test_a_link_within_a_table_is_named_but_not_one_above(tmp_path, inside):
    (tmp_path / "other").mkdir()
    link = tmp_path / "real" / "lake" / "silver_trades" / inside
    link.parent.mkdir(parents=True)
    (tmp_path / "data").symlink_to(tmp_path / "real")
    settings = Settings(paths=PathSettings(data_dir=tmp_path / "data"))
    links = [text for text, _ in problems(settings, Mode.DEMO, tmp_path) if "is a link" in text]
    assert links == []
    link.symlink_to(tmp_path / "other")
    links = [text for text, _ in problems(settings, Mode.DEMO, tmp_path) if "is a link" in text]
    assert len(links) == 1
    assert links[0].startswith(f"{link} ")


def test_what_the_installation_needs_is_named_before_anything_is_installed(tmp_path):
    """As deploy.sh does: no package is there yet, and no java on the PATH."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = subprocess.run(
        [sys.executable, "-S", "-m", "stack.ground", str(blocked / "data")],
        cwd=REPO,
        env={
            "PATH": str(tmp_path),
            **{k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"},
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Java 17" in done.stderr
    assert "Choose another --data-dir" in done.stderr
    assert "2 problems; nothing was installed" in done.stderr


@pytest.mark.parametrize("rest", [[], ["--data-dir", "elsewhere"], ["--once"]])
def test_a_recording_without_a_file_is_refused_instead_of_asking_the_real_exchange(rest):
    done = subprocess.run(
        [str(REPO / "deploy.sh"), "--recording", *rest], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "name at least one file" in done.stderr


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    found = dict(problems(Settings(), Mode.RECORDING, blocked / "data"))
    assert any("cannot be written" in problem for problem in found)


def test_an_exchange_that_cannot_be_reached_is_said_plainly_and_the_demo_offered(tmp_path):
    settings = Settings.model_validate({"binance": {"spot_rest_url": "http://127.0.0.1:1"}})
    found = dict(problems(settings, Mode.LIVE, tmp_path))
    (remedy,) = [text for problem, text in found.items() if "cannot be reached" in problem]
    assert "--demo" in remedy
