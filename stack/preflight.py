"""What must be true of a machine before anything starts: every problem at once, with its remedy."""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from shared.clock import SystemClock
from shared.errors import ConfigurationError
from shared.settings import Settings
from shared.symbol_manager import load_symbols
from stack.deployment import Mode, ports

_GIB = 1024**3
_DISK_GIB = 3
_MEMORY_GIB = 4
_MOST_SKEW_S = 2


def problems(settings: Settings, mode: Mode, data_dir: Path) -> list[tuple[str, str]]:
    """Return (problem, remedy) of everything that stands in the way; none on a ready machine."""
    return [
        *_versions(),
        *_ports(settings, mode),
        *_room(data_dir),
        *_symbols(settings, mode),
        *(_venue(settings) if mode is Mode.LIVE else ()),
    ]


def java_major(text: str) -> int | None:
    """Return the major version in what `java -version` prints, None if it names none."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found[1]) if found else None


def _versions() -> Iterator[tuple[str, str]]:
    if sys.version_info[:2] != (3, 11):
        yield f"Python {sys.version.split()[0]} runs this, 3.11 is needed", "Install Python 3.11."
    if shutil.which("java") is None:
        yield "there is no java on the PATH", "Install a Java 17 runtime."
        return
    done = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)  # noqa: S607 - the user's java
    major = java_major(done.stderr)
    if major is None or not 17 <= major <= 21:
        yield f"java is version {major}", "Install Java 17 and put it first on the PATH."


def _ports(settings: Settings, mode: Mode) -> Iterator[tuple[str, str]]:
    for port, user in ports(settings, mode).items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OverflowError:
                yield f"port {port} for {user} is out of range", "Choose a smaller --port-offset."
            except OSError:
                yield (
                    f"port {port} for {user} is in use",
                    "Stop its user, or move all ports with --port-offset N.",
                )


def _room(data_dir: Path) -> Iterator[tuple[str, str]]:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        (data_dir / ".write-test").touch()
        (data_dir / ".write-test").unlink()
    except OSError as error:
        yield f"{data_dir} cannot be written ({error.strerror})", "Choose another --data-dir."
        return
    free = shutil.disk_usage(data_dir).free / _GIB
    if free < _DISK_GIB:
        yield f"{free:.1f} GiB are free under {data_dir}", f"Make room for {_DISK_GIB} GiB."
    memory = psutil.virtual_memory().available / _GIB
    if memory < _MEMORY_GIB:
        yield (
            f"{memory:.1f} GiB of memory are free, {_MEMORY_GIB} are needed",
            "End other programs, or lower CRYPTO_SPARK__DRIVER_MEMORY.",
        )
    written = Path(__file__).stat().st_mtime
    if written > _now() + _MOST_SKEW_S:
        yield "the clock is behind this folder's own files", "Set the clock; NTP keeps it right."


def _symbols(settings: Settings, mode: Mode) -> Iterator[tuple[str, str]]:
    if mode is Mode.RECORDING:
        return
    try:
        load_symbols(settings.paths.symbols_file)
    except ConfigurationError as error:
        yield f"{error.where}: {error.problem}", error.remedy


def _venue(settings: Settings) -> Iterator[tuple[str, str]]:
    url = f"{settings.binance.spot_rest_url}/api/v3/time"
    try:
        answer = httpx.get(url, timeout=10).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        yield (
            f"the exchange cannot be reached at {url} ({error})",
            "Check the network, or see the whole system without it: ./deploy.sh --demo",
        )
        return
    skew = abs(_now() - answer["serverTime"] / 1000)
    if skew > _MOST_SKEW_S:
        yield f"the clock is {skew:.1f} s off the exchange's", "Set the clock; NTP keeps it right."


def _now() -> float:
    return SystemClock().now_ns() / 1e9
