"""What a stranger does: start the demo, look at the data, stop, start again."""

import json
import socket
import time
from contextlib import suppress

import psutil
import pytest

from tests.e2e.conftest import Deployment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

PORT_OFFSET = 14000
SYMBOLS = {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
# A bound for a hang, not a measure: alone on two cores the first tick fills gold 60 to 140 s after the
# services are up.
PATIENCE_S = 300
FUTURES = {"BTCUSDT"}
LOOPBACK = {"127.0.0.1", "::1"}
LAYERS = dict.fromkeys(
    ("bronze_trades", "silver_trades", "silver_book", "gold_ohlcv", "gold_book_metrics"), SYMBOLS
) | {"silver_marks": FUTURES, "gold_funding_basis": FUTURES}


def symbols_of(stack: Deployment, table: str) -> set[str]:
    try:
        return {row["symbol"] for row in stack.query(f"select distinct symbol from {table}")}
    except AssertionError:  # the table does not exist yet
        return set()


def wait_for_layers(stack: Deployment, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(symbols_of(stack, table) != symbols for table, symbols in LAYERS.items()):
        assert time.monotonic() < deadline, f"not all layers have rows within {seconds} s"
        time.sleep(2)


def processes_of(stack: Deployment) -> list[psutil.Process]:
    """Return the processes that know the deployment's folder."""
    return [
        process
        for process in psutil.process_iter(["environ"])
        if (process.info["environ"] or {}).get("CRYPTO_PATHS__DATA_DIR") == str(stack.data_dir)
    ]


def open_to_others(processes: list[psutil.Process]) -> list[str]:
    """Return the addresses at which processes listen for other machines too."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            for item in process.net_connections("inet"):
                is_loopback = item.laddr and item.laddr.ip.removeprefix("::ffff:") in LOOPBACK
                if item.status == psutil.CONN_LISTEN and not is_loopback:
                    found.append(f"{item.laddr.ip}:{item.laddr.port} of {process.name()}")
    return found


def test_the_demo_fills_every_layer_stops_clean_and_continues_on_its_data(
    deployment: Deployment,
) -> None:
    started = deployment.script("deploy.sh", "--demo")
    assert started.returncode == 0, started.stdout + started.stderr
    wait_for_layers(deployment, PATIENCE_S)
    again = deployment.script("deploy.sh", "--demo")
    assert again.returncode == 0
    assert "already running" in again.stdout
    shown = deployment.script("monitor.sh", "--json")
    assert shown.returncode == 0, shown.stdout
    status = json.loads(shown.stdout)
    assert {item["state"] for item in status["services"]} == {"RUNNING"}
    assert {item["symbol"] for item in status["last_events"]} == {
        *(f"spot:{name}" for name in SYMBOLS),
        *(f"um:{name}" for name in FUTURES),
    }
    assert status["faults"] == []
    refused = deployment.script("cleanup.sh", "--yes")
    assert refused.returncode == 1
    running = processes_of(deployment)
    assert running != []
    assert open_to_others(running) == []
    stopped = deployment.script("stop.sh")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert processes_of(deployment) == []
    before = deployment.query("select count(*) as n from silver_trades")[0]["n"]
    restarted = deployment.script("deploy.sh", "--demo")
    assert restarted.returncode == 0, restarted.stdout + restarted.stderr
    deadline = time.monotonic() + PATIENCE_S
    while deployment.query("select count(*) as n from silver_trades")[0]["n"] <= before:
        assert time.monotonic() < deadline, "no new trades after the second start"
        time.sleep(2)
    twice = deployment.query(
        "select market, symbol, channel, trade_id from silver_trades"
        " group by all having count(*) > 1"
    )
    assert twice == []


def test_preflight_names_every_problem_at_once_and_starts_nothing(tmp_path) -> None:
    stack = Deployment(tmp_path / "data", port_offset=15000)
    with socket.socket() as kafka, socket.socket() as dagster:
        for listener, port in ((kafka, 9092), (dagster, 3000)):
            listener.bind(("127.0.0.1", port + 15000))
            listener.listen()
        done = stack.script("deploy.sh", "--demo")
    assert done.returncode == 1
    assert "24092" in done.stdout
    assert "18000" in done.stdout
    assert "--port-offset" in done.stdout
    assert processes_of(stack) == []


def test_docker_says_plainly_what_is_missing(tmp_path) -> None:
    done = Deployment(tmp_path, port_offset=15000).script("deploy.sh", "--docker")
    assert done.returncode == 1
    assert "docker-compose.yml" in done.stderr
