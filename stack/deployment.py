"""What one deployment is: mode, ports and folders, as settings that every service gets."""

from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from shared.settings import Settings, variable_name
from stack.errors import StackError


class Mode(StrEnum):
    """Where the data comes from: the real exchange, a simulation, or recordings."""

    LIVE = "live"
    DEMO = "demo"
    RECORDING = "recording"


class Deployment(msgspec.Struct, frozen=True):
    """The choices of one `deploy.sh`; kept in the data folder for the other scripts."""

    data_dir: str
    port_offset: int = 0
    mode: Mode = Mode.LIVE
    recordings: tuple[str, ...] = ()
    speed: str = "max"
    rewind: bool = False

    @property
    def run_dir(self) -> Path:
        """Folder of generated configuration and sockets."""
        return Path(self.data_dir) / "run"

    @property
    def log_dir(self) -> Path:
        """Folder of the services' logs."""
        return Path(self.data_dir) / "logs"

    def save(self) -> None:
        """Write the choices where `load` finds them."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        (self.run_dir / "deployment.json").write_bytes(msgspec.json.encode(self))


def load(data_dir: Path) -> Deployment:
    """Return the deployment of a data folder.

    Raises:
        StackError: nothing was deployed there.
    """
    path = data_dir.resolve() / "run" / "deployment.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Deployment)
    except FileNotFoundError as error:
        raise StackError(
            f"{data_dir}: nothing was deployed here. Start with ./deploy.sh, or name --data-dir."
        ) from error


def environment(deployment: Deployment, base: Settings) -> dict[str, str]:
    """Return the variables that turn the base settings into this deployment's."""
    offset = deployment.port_offset
    variables = {
        ("paths", "data_dir"): deployment.data_dir,
        ("paths", "symbols_file"): str(symbols_file(deployment, base)),
        ("kafka", "bootstrap_servers"): _shifted(base.kafka.bootstrap_servers, offset),
        ("spark", "remote"): _shifted(base.spark.remote, offset),
        ("spark", "ui_port"): str(base.spark.ui_port + offset),
        ("streaming", "http_port"): str(base.streaming.http_port + offset),
        ("dagster", "port"): str(base.dagster.port + offset),
        ("mock", "port"): str(base.mock.port + offset),
    }
    if deployment.mode is not Mode.LIVE:
        variables |= _mock_addresses(base.mock.host, base.mock.port + offset)
    named = {variable_name(*key): value for key, value in variables.items()}
    return named | {"DAGSTER_HOME": str(Path(deployment.data_dir) / "dagster")}


def symbols_file(deployment: Deployment, base: Settings) -> Path:
    """Return the symbols file in use: a recording brings its own."""
    if deployment.mode is Mode.RECORDING:
        return deployment.run_dir / "symbols.yaml"
    return base.paths.symbols_file.resolve()


def ports(settings: Settings, mode: Mode) -> dict[int, str]:
    """Return every port that this deployment listens on, with its user."""
    broker = int(settings.kafka.bootstrap_servers.partition(",")[0].rpartition(":")[2])
    found = {
        broker: "Kafka",
        broker + 1: "Kafka's controller",
        urlsplit(settings.spark.remote).port or 15002: "Spark Connect",
        settings.spark.ui_port: "Spark's web page",
        settings.streaming.http_port: "streaming",
        settings.dagster.port: "Dagster",
    }
    if mode is not Mode.LIVE:
        found |= {settings.mock.port + step: "mock exchange" for step in (0, 1, 2, 9)}
    return found


def _mock_addresses(host: str, port: int) -> dict[tuple[str, str], str]:
    spot, um, cm = (f"{host}:{port + step}" for step in range(3))
    return {
        ("binance", "spot_ws_url"): f"ws://{spot}",
        ("binance", "spot_rest_url"): f"http://{spot}",
        ("binance", "um_public_ws_url"): f"ws://{um}/public",
        ("binance", "um_market_ws_url"): f"ws://{um}/market",
        ("binance", "um_rest_url"): f"http://{um}",
        ("binance", "cm_ws_url"): f"ws://{cm}",
        ("binance", "cm_rest_url"): f"http://{cm}",
        ("binance", "archive_url"): f"http://{spot}",
    }


def _shifted(address: str, offset: int) -> str:
    head, _, port = address.partition(",")[0].rpartition(":")
    return f"{head}:{int(port) + offset}"
