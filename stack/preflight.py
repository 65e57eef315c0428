"""What must be true of a machine before anything starts: every problem at once, with its remedy."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from shared.clock import SystemClock
from shared.errors import ConfigurationError
from shared.market.instruments import Market
from shared.settings import Settings
from shared.symbol_manager import load_symbols
from stack.deployment import Mode, ports
from stack.ground import missing

_REPO = Path(__file__).parent.parent
_GIB = 1024**3
_MEMORY_GIB = 4
_MOST_SKEW_S = 2


def problems(settings: Settings, mode: Mode, data_dir: Path) -> list[tuple[str, str]]:
    """Return (problem, remedy) of everything that stands in the way; none on a ready machine."""
    return [
        *missing(data_dir),
        *_ports(settings, mode),
        *_memory_and_clock(),
        *_jars(),
        *_links(Path(settings.paths.lake)),
        *_symbols(settings, mode),
        *(_venue(settings) if mode is Mode.LIVE else ()),
    ]


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


def _memory_and_clock() -> Iterator[tuple[str, str]]:
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
        entries = load_symbols(settings.paths.symbols_file).entries
    except ConfigurationError as error:
        yield f"{error.where}: {error.problem}", error.remedy
        return
    cm = [one for one in entries if one.enabled and one.instrument.market is Market.CM]
    if mode is Mode.DEMO and cm:
        yield "the demo has no cm market", "Disable the cm symbols, or name another symbols file."


def _jars() -> Iterator[tuple[str, str]]:
    """Look at the jars that are there; those that are not are downloaded later."""
    for line in (_REPO / "infra" / "jars.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        group, _, module, revision, sha256 = line.split()
        jar = _REPO / "jars" / group / f"{module}-{revision}.jar"
        if jar.exists() and hashlib.sha256(jar.read_bytes()).hexdigest() != sha256:
            yield f"{jar} is not what infra/jars.txt expects", "Delete it; it is downloaded again."


def _links(lake: Path) -> Iterator[tuple[str, str]]:
    """Look for links in a table's folders: the file system that Spark writes with does not follow them."""
    for pattern in ("*", "*/symbol=*", "*/symbol=*/date=*"):
        for folder in filter(Path.is_symlink, sorted(lake.glob(pattern))):
            yield (
                f"{folder} is a link, and Spark would not see the rows behind it",
                "Mount the other disk's folder there (mount --bind), or link the whole data folder.",
            )


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
