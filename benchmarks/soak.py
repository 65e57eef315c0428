"""Hours of steady load in small: memory, descriptors and losses of a collector that is often cut.

`python benchmarks/soak.py --minutes 60` runs the mock exchange, a broker and a collector, resets
connections all the while, and samples the collector. It writes the samples as CSV and as a picture.
`make bench` runs two minutes of it.
"""

import argparse
import csv
import random
import sys
import tempfile
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import httpx
import psutil
from _picture import picture as drawn
from _venue import addresses, simulation, write_symbols
from confluent_kafka.admin import AdminClient, NewTopic
from ingest import broker, free_port, process
from rich.table import Table

from shared.market.instruments import Exchange
from shared.market.topics import topic_specs

SYMBOLS = 5
# The mock needs ten ports in a row, below those that the system gives away.
MOCK_PORT = 27970
_EVERY_S = 10
_MIB = 1024 * 1024
_CORES = set(psutil.Process().cpu_affinity())
# Topics keep little, so that an hour of them fits on a disk.
_KEEP = {"retention.bytes": str(128 * _MIB), "segment.bytes": str(32 * _MIB)}


@dataclass
class Sample:
    """The collector at one moment; counts are since its start."""

    seconds: float
    resident_mib: float
    descriptors: int
    frames: int
    reconnects: int
    gaps: int
    healed: int
    unhealable: int
    missing: int


def main(minutes: float = 2, settle_minutes: float = 1, picture: Path | None = None) -> Table:
    """Run, and return the table of figures."""
    with tempfile.TemporaryDirectory() as name:
        samples = _run(Path(name), minutes * 60)
    if picture is not None:
        _write(samples, picture)
    settled = [item for item in samples if item.seconds >= settle_minutes * 60]
    first, last = settled[0], samples[-1]
    span = last.seconds - first.seconds
    table = Table(title=f"Soak: {minutes:g} minutes, {SYMBOLS} symbols on spot, 4 channels each")
    for column in ("frames/s", "reconnects", "healed", "unhealable", "missing"):
        table.add_column(column, justify="right")
    table.add_column(f"resident MiB, slope/h after {settle_minutes:g} min", justify="right")
    table.add_column("descriptors", justify="right")
    counts = (last.reconnects, last.healed, last.unhealable, last.missing)
    descriptors = [item.descriptors for item in settled]
    table.add_row(
        f"{(last.frames - first.frames) / span:,.0f}",
        *(f"{number:,}" for number in counts),
        f"{last.resident_mib:.1f}, {slope_per_hour(settled):+.2f}",
        f"{min(descriptors)} to {max(descriptors)}",
    )
    return table


def slope_per_hour(samples: list[Sample]) -> float:
    """Return the least-squares slope of resident memory, MiB per hour."""
    times = [item.seconds / 3600 for item in samples]
    sizes = [item.resident_mib for item in samples]
    middle, mean = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((at - middle) ** 2 for at in times)
    shared = sum((at - middle) * (size - mean) for at, size in zip(times, sizes, strict=True))
    return shared / spread if spread else 0.0


def _run(folder: Path, seconds: float) -> list[Sample]:
    mock, http = MOCK_PORT, free_port()
    symbols = folder / "symbols.yaml"
    write_symbols(symbols, SYMBOLS, "[aggTrade, trade, depth@100ms, bookTicker]")
    with broker(folder) as bootstrap:
        _make_topics(bootstrap)
        venue = {"CRYPTO_MOCK__PORT": str(mock)}
        settings = {
            "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            **addresses(mock),
            "CRYPTO_STREAMING__HTTP_PORT": str(http),
            "CRYPTO_PATHS__SYMBOLS_FILE": str(symbols),
            "CRYPTO_PATHS__DATA_DIR": str(folder),
        }
        collect = [sys.executable, "-m", "streaming.cli", "run"]
        with (
            process(simulation(SYMBOLS, 200), _CORES, folder / "mock.log", venue),
            process(collect, _CORES, folder / "collector.log", settings) as tested,
        ):
            _await(f"http://127.0.0.1:{http}/livez", tested)
            return _sample(tested, http, mock + 9, seconds)


def _await(url: str, tested: psutil.Process) -> None:
    """Wait until the collector answers."""
    while True:
        try:
            httpx.get(url, timeout=5)
        except httpx.TransportError:
            if tested.status() == psutil.STATUS_ZOMBIE:
                sys.exit("the collector has ended; its log says why")
            time.sleep(0.2)
        else:
            return


def _make_topics(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = [NewTopic(spec.name, 2, 1, config=_KEEP) for spec in topic_specs(Exchange.BINANCE)]
    for future in admin.create_topics(topics).values():
        future.result(30)


def _sample(tested: psutil.Process, http: int, control: int, seconds: float) -> list[Sample]:
    """Reset the connection ten times a minute at random moments, and look every ten seconds."""
    generator = random.Random(1)  # noqa: S311 - a fixed seed, so that runs can be compared
    began, samples = time.monotonic(), []
    next_reset, next_look = 20.0, float(_EVERY_S)
    with httpx.Client(timeout=30) as client:
        while (elapsed := time.monotonic() - began) < seconds:
            if elapsed >= next_reset:
                fault = {"kind": "drop", "streams": "*"}
                client.post(f"http://127.0.0.1:{control}/faults", json=fault).raise_for_status()
                next_reset += generator.uniform(3, 9)
            if elapsed >= next_look:
                metrics = client.get(f"http://127.0.0.1:{http}/metrics").text
                samples.append(_look(elapsed, tested, metrics))
                next_look += _EVERY_S
            time.sleep(0.2)
    return samples


def _look(elapsed: float, tested: psutil.Process, metrics: str) -> Sample:
    def total(name: str) -> int:
        lines = (line for line in metrics.splitlines() if line.startswith(f"crypto_{name}"))
        return int(sum(float(line.rpartition(" ")[2]) for line in lines))

    return Sample(
        seconds=round(elapsed, 1),
        resident_mib=round(tested.memory_info().rss / _MIB, 2),
        descriptors=tested.num_fds(),
        frames=total("received_total"),
        reconnects=total("reconnects_total"),
        gaps=total("gaps_total"),
        healed=total("healed_total"),
        unhealable=total("unhealable_total"),
        missing=total("missing "),
    )


def _write(samples: list[Sample], picture: Path) -> None:
    with picture.with_suffix(".csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([field.name for field in fields(Sample)])
        rows.writerows(astuple(item) for item in samples)
    resident = [item.resident_mib for item in samples]
    lines = {
        "resident memory, MiB": ("#1668a8", resident),
        "open descriptors": ("#c0552b", [item.descriptors for item in samples]),
    }
    seconds = [item.seconds for item in samples]
    last = f"{seconds[-1] / 60:.0f} minutes"
    picture.write_text(drawn(seconds, lines, last, max(resident) * 1.2))


if __name__ == "__main__":
    from rich.console import Console

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--settle-minutes", type=float, default=15)
    parser.add_argument("--picture", type=Path, default=Path("docs/soak.svg"))
    options = parser.parse_args()
    Console().print(main(options.minutes, options.settle_minutes, options.picture))
