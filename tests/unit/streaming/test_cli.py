import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shared.settings import PREFIX
from streaming import cli, reachability

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def symbols(monkeypatch, tmp_path) -> Path:
    """A symbols file with spot and um, and no other setting."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    path = tmp_path / "symbols.yaml"
    channels = "{channels: [aggTrade, depth@100ms]}"
    path.write_text(
        f"version: 1\nexchanges:\n  binance:\n    spot:\n      BTCUSDT: {channels}\n"
        f"    um:\n      ETHUSDT: {channels}\n"
    )
    monkeypatch.setenv("CRYPTO_PATHS__SYMBOLS_FILE", str(path))
    monkeypatch.setenv("COLUMNS", "200")
    return path


def test_the_plan_names_each_connection_and_what_it_carries():
    result = RUNNER.invoke(cli.app, ["check", "--offline"])
    assert result.exit_code == 0
    assert "binance-spot-0" in result.output
    assert "binance-um-public-0" in result.output
    assert "btcusdt@aggTrade" in result.output
    assert "all answer" not in result.output


def test_what_does_not_answer_is_named_and_ends_with_1(monkeypatch, unused_tcp_port):
    here = f"127.0.0.1:{unused_tcp_port}"
    for name in ("SPOT", "UM_PUBLIC", "UM_MARKET", "CM"):
        monkeypatch.setenv(f"CRYPTO_BINANCE__{name}_WS_URL", f"ws://{here}")
    for name in ("SPOT", "UM", "CM"):
        monkeypatch.setenv(f"CRYPTO_BINANCE__{name}_REST_URL", f"http://{here}")
    monkeypatch.setenv("CRYPTO_KAFKA__BOOTSTRAP_SERVERS", here)
    monkeypatch.setattr(reachability, "_ANSWER_S", 0.5)
    result = RUNNER.invoke(cli.app, ["check"])
    assert result.exit_code == 1
    assert f"not reachable: http://{here}" in result.output
    assert f"not reachable: ws://{here}/stream" in result.output
    assert f"not reachable: Kafka at {here}" in result.output


@pytest.mark.parametrize(
    "command",
    [[], ["run"], ["record"], ["check"], ["status"], ["replay"]],
)
def test_help_teaches(command):
    result = RUNNER.invoke(cli.app, [*command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 8


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "inf", "nan"])
def test_a_speed_that_is_none_is_refused(speed, tmp_path):
    result = RUNNER.invoke(cli.app, ["replay", str(tmp_path), "--speed", speed])
    assert f"--speed {speed}: neither a factor nor max" in str(result.exception)


def test_a_folder_without_recordings_is_named(tmp_path):
    result = RUNNER.invoke(cli.app, ["replay", str(tmp_path), "--speed", "10"])
    assert f"{tmp_path}: no recording there" in str(result.exception)


def test_a_bad_symbols_file_is_one_clear_line_and_exit_2(monkeypatch, symbols, capsys):
    symbols.write_text("version: 7\nexchanges: {}\n")
    monkeypatch.setattr(sys, "argv", ["crypto-stream", "check", "--offline"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "version: must be 1" in capsys.readouterr().err


def test_status_of_a_collector_that_is_not_there_says_how_to_start_it(monkeypatch, capsys):
    monkeypatch.setenv("CRYPTO_STREAMING__HTTP_PORT", "1")
    monkeypatch.setattr(sys, "argv", ["crypto-stream", "status"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "Start it with crypto-stream run" in " ".join(capsys.readouterr().err.split())
