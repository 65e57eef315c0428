import socket

import pytest

from shared.settings import MockSettings, PathSettings, Settings
from stack.deployment import Mode
from stack.preflight import java_major, problems


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
