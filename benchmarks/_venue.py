"""The mock exchange that benchmarks of the whole way collect from: made-up spot symbols on loopback."""

import subprocess
import sys
from pathlib import Path

_MOCK = [sys.executable, "-m", "mock_exchange"]


def write_symbols(path: Path, count: int, channels: str) -> None:
    """Write a symbols file of so many made-up spot symbols with these channels, a YAML list."""
    command = [*_MOCK, "listings", *_made_up(count)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    path.write_text(text.replace("{}", f"{{channels: {channels}}}"))


def simulation(count: int, rate: float) -> list[str]:
    """Return the command that simulates them, at so many market orders per second and symbol."""
    return [*_MOCK, "simulate", *_made_up(count), "--rate", str(rate)]


def addresses(port: int) -> dict[str, str]:
    """Return the collector's settings that lead to the mock exchange at this port."""
    return {
        "CRYPTO_BINANCE__SPOT_WS_URL": f"ws://127.0.0.1:{port}",
        "CRYPTO_BINANCE__SPOT_REST_URL": f"http://127.0.0.1:{port}",
    }


def _made_up(count: int) -> list[str]:
    return ["--symbols", "", "--count", str(count), "--markets", "spot"]
