"""The services of the stack in one table: command, health, address, in the order they start."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from shared.settings import Settings
from stack import health
from stack.deployment import Deployment, Mode

_BIN = Path(sys.executable).parent
_DEFINITIONS = "crypto_pipeline.definitions"


@dataclass(frozen=True)
class Service:
    """One process under the supervisor; `setup` runs once it is healthy, before the next starts."""

    name: str
    command: tuple[str, ...]
    check: health.Check = field(compare=False)
    url: str
    start_within_s: float = 60
    stop_within_s: int = 30
    setup: tuple[str, ...] = ()

    @property
    def stops_with_children(self) -> bool:
        """Whether its children are asked to stop too; the collector ends its own."""
        return self.name != "streaming"


def services(deployment: Deployment, settings: Settings, *, with_dagster: bool) -> list[Service]:
    """Return this deployment's services in starting order; they stop in the reverse order."""
    python = sys.executable
    streaming = f"http://{settings.streaming.host}:{settings.streaming.http_port}"
    table = [
        Service(
            "kafka",
            (python, "-m", "stack.kafka_broker"),
            health.kafka(settings),
            settings.kafka.bootstrap_servers,
            setup=(python, "scripts/setup_kafka.py"),
        ),
        Service(
            "spark",
            (python, "-m", "stack.spark_server"),
            health.spark(settings),
            settings.spark.remote,
            start_within_s=120,
        ),
    ]
    if deployment.mode is not Mode.LIVE:
        control = f"http://{settings.mock.host}:{settings.mock.port + 9}/status"
        table.append(
            Service(
                "mock-exchange",
                (python, "-m", "mock_exchange", *_mock_arguments(deployment)),
                health.http(control),
                control,
                stop_within_s=5,
            )
        )
    table.append(
        Service(
            "streaming",
            (str(_BIN / "crypto-stream"), "run"),
            health.http(f"{streaming}/livez"),
            f"{streaming}/readyz",
            stop_within_s=int(settings.streaming.shutdown_budget_s) + 10,
        )
    )
    if with_dagster:
        table += _dagster(settings)
    return table


def _dagster(settings: Settings) -> list[Service]:
    host, port = settings.dagster.host, str(settings.dagster.port)
    page = f"http://{host}:{port}"
    webserver = (str(_BIN / "dagster-webserver"), "-h", host, "-p", port, "-m", _DEFINITIONS)
    return [
        Service(
            "dagster-webserver",
            webserver,
            health.http(f"{page}/server_info"),
            page,
            start_within_s=120,
        ),
        Service(
            "dagster-daemon",
            (str(_BIN / "dagster-daemon"), "run", "-m", _DEFINITIONS),
            health.http(f"{page}/server_info"),
            page,
        ),
    ]


def _mock_arguments(deployment: Deployment) -> tuple[str, ...]:
    if deployment.mode is Mode.DEMO:
        return ("simulate",)
    rewind = ("--rewind",) if deployment.rewind else ()
    return ("play", "--speed", deployment.speed, *rewind, *deployment.recordings)
