"""The stage of a claim: a broker, a mock venue and collectors, processes of their own on free ports."""

import json
import math
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from shared.market.instruments import Exchange
from shared.market.topics import Feed, topic_name
from tests.conftest import free_port
from tests.integration.conftest import (
    REPO,
    Venue,
    clean_environment,
    create_topics,
    get_json,
    mock_exchange,
    until,
)
from tests.integration.streaming.test_spill import Broker

Channels = dict[str, dict[str, list[str]]]
"""Market, symbol, channels."""

StreamKey = tuple[str, str, str]
"""Market, symbol and channel."""


class Row(msgspec.Struct):
    """A typed record as it stands in Kafka: the envelope and what the judges look at."""

    event_type: str
    market: str
    symbol: str
    channel: str
    connection: str
    epoch: int
    source: str
    received_ns: int
    trade_id: str = ""
    update_id: int = 0
    first_update_id: int = 0
    last_update_id: int = 0
    previous_update_id: int | None = None
    state: str = ""
    reason: str = ""
    expected: int | None = None
    received: int | None = None
    first_id: int | None = None
    last_id: int | None = None

    @property
    def key(self) -> StreamKey:
        """The stream it belongs to."""
        return self.market, self.symbol, self.channel


_decoder = msgspec.json.Decoder(Row)


class Tail:
    """Reads topics from their beginning to their present end, as often as asked.

    `instance` is part of the connection's names and picks one claim's collector out. Where there are
    too many rows to keep, `take` gets each with its value.
    """

    def __init__(
        self,
        bootstrap: str,
        feeds: Iterable[Feed],
        instance: str = "",
        take: Callable[[Row, bytes], None] | None = None,
    ) -> None:
        self._bootstrap = bootstrap
        self._ends: dict[tuple[str, int], int] = {}
        self._consumer = self._connected()
        self._instance = f"-{instance}-" if instance else ""
        for feed in feeds:
            name = topic_name(Exchange.BINANCE, feed)
            found = self._consumer.list_topics(name, timeout=20).topics[name].partitions
            self._ends |= {(name, number): 0 for number in found}
        self._consumer.assign([TopicPartition(*place, 0) for place in self._ends])
        self.rows: list[Row] = []
        self._take = take or (lambda row, _: self.rows.append(row))

    def read(self) -> list[Row]:
        """Read on to the present end; returns all rows so far, in order per partition."""
        ends = {place: self._end(place) for place in self._ends}
        while any(self._ends[place] < end for place, end in ends.items()):
            for message in self._consumer.consume(10_000, timeout=0.2):
                place = (message.topic() or "", message.partition() or 0)
                self._ends[place] = (message.offset() or 0) + 1
                value = message.value() or b""
                row = _decoder.decode(value)
                if self._instance in f"{row.connection}-":
                    self._take(row, value)
        return self.rows

    def _connected(self) -> Consumer:
        """Return a consumer that goes on where the last one was."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "claims",
                "enable.auto.commit": False,
            }
        )
        if self._ends:
            consumer.assign([TopicPartition(*place, at) for place, at in self._ends.items()])
        return consumer

    def _end(self, place: tuple[str, int]) -> int:
        """Return where a partition ends; a broker that was away for a while is asked again."""
        deadline = time.monotonic() + 60
        while True:
            try:
                ends = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=20)
                return int(ends[1])
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                # Frozen with the broker, librdkafka forgets the partitions; a new client asks again.
                self._consumer.close()
                self._consumer = self._connected()

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()


class Mock:
    """A running mock exchange, seen through its control port."""

    def __init__(self, venue: Venue) -> None:
        self.environment = venue.environment
        self._url = f"http://127.0.0.1:{venue.port + 9}"

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON that the control port answers with."""
        return get_json(self._url + path) or {}

    def fault(self, **entry: Any) -> int:
        """Begin a fault; returns how many connections it has touched at once."""
        number = self._send("POST", json.dumps(entry).encode())["ids"][0]
        report = next(item for item in self.get("/faults")["faults"] if item["id"] == number)
        return int(report["applied"])

    def lift(self) -> None:
        """End every fault."""
        self._send("DELETE", None)

    def last_id(self, key: StreamKey) -> int:
        """Return the id of the latest message that the venue had to send."""
        market, symbol, channel = key
        answer = self.get(f"/truth?market={market}&stream={symbol.lower()}@{channel}")
        return int(answer["venue"]["last"])

    def last_ids(self, keys: Iterable[StreamKey]) -> dict[StreamKey, int]:
        """Return the latest id of each stream."""
        return {key: self.last_id(key) for key in keys}

    def _send(self, method: str, body: bytes | None) -> dict[str, Any]:
        request = urllib.request.Request(self._url + "/faults", body, method=method)  # noqa: S310 - our own loopback
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            return dict(json.load(answer))


class Collector:
    """A collector that can be killed and started again on what it left on disk."""

    def __init__(
        self, bootstrap: str, mock: Mock, channels: Channels, folder: Path, instance: str
    ) -> None:
        self.port = free_port()
        self.spill = folder / f"{instance}.spill"
        self.log = folder / f"{instance}.log"
        self._environment = (
            clean_environment()
            | mock.environment
            | {
                "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
                "CRYPTO_STREAMING__HTTP_PORT": str(self.port),
                "CRYPTO_STREAMING__INSTANCE": instance,
                "CRYPTO_STREAMING__SPILL_DIR": str(self.spill),
                "CRYPTO_PATHS__DATA_DIR": str(folder / f"{instance}.data"),
                "CRYPTO_PATHS__SYMBOLS_FILE": str(
                    symbols_file(folder / f"{instance}.yaml", channels)
                ),
            }
        )
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start the process, not waiting for it to be ready."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streaming.cli", "run"],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=REPO,
            )

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it as an operator does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                self.kill()

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON of one of its pages, empty while it does not answer."""
        return get_json(f"http://127.0.0.1:{self.port}{path}") or {}

    @property
    def is_ready(self) -> bool:
        """Whether it says that everything flows."""
        return bool(self.get("/readyz").get("ready", False))

    def until_ready(self, seconds: float = 60) -> None:
        """Wait until it says that everything flows."""
        until(lambda: self.is_ready, seconds, f"ready: {self.get('/readyz')}; see {self.log}")

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels; no number, equal to none, while it does not answer."""
        try:
            url = f"http://127.0.0.1:{self.port}/metrics"
            with urllib.request.urlopen(url, timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return math.nan
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def symbols_file(path: Path, channels: Channels) -> Path:
    """Write what to collect; returns the path."""
    lines = ["version: 1", "exchanges:", "  binance:"]
    for market, symbols in channels.items():
        lines.append(f"    {market}:")
        for symbol, names in symbols.items():
            lines += [f"      {symbol}:", f"        channels: [{', '.join(names)}]"]
    path.write_text("\n".join(lines) + "\n")
    return path


def streams(channels: Channels) -> list[StreamKey]:
    """Return every stream of what is collected."""
    return [
        (market, symbol, channel)
        for market, symbols in channels.items()
        for symbol, names in symbols.items()
        for channel in names
    ]


def free_base() -> int:
    """Return a port for a mock exchange: it, the next and the ninth above are free."""
    while True:
        base = random.randrange(20_000, 32_000, 10)
        try:
            for offset in (0, 1, 9):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        return base


class Stage:
    """Where a claim plays; everything that is started ends with it."""

    def __init__(self, folder: Path, bootstrap: str, broker: Broker | None) -> None:
        self.folder = folder
        self.bootstrap = bootstrap
        self._broker = broker

    @property
    def broker(self) -> Broker:
        """The broker that was started here alone; RuntimeError if it is somebody else's."""
        if self._broker is None:
            raise RuntimeError("this claim stops the broker and needs one of its own")
        return self._broker

    @contextmanager
    def mock(self, *arguments: str) -> Iterator[Mock]:
        """Run a simulated venue."""
        log = self.folder / "mock.log"
        with mock_exchange(free_base(), log, "simulate", *arguments) as venue:
            yield Mock(venue)

    @contextmanager
    def collector(self, mock: Mock, channels: Channels, instance: str) -> Iterator[Collector]:
        """Run a collector, not waiting for it to be ready."""
        found = Collector(self.bootstrap, mock, channels, self.folder, instance)
        found.start()
        try:
            yield found
        finally:
            found.stop()

    @contextmanager
    def tail(
        self,
        feeds: Iterable[Feed],
        instance: str = "",
        take: Callable[[Row, bytes], None] | None = None,
    ) -> Iterator[Tail]:
        """Read topics of the broker."""
        found = Tail(self.bootstrap, feeds, instance, take)
        try:
            yield found
        finally:
            found.close()


@contextmanager
def stage(bootstrap: str | None) -> Iterator[Stage]:
    """A stage on a running broker, or on one of its own that has the topics."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if bootstrap is not None:
            yield Stage(folder, bootstrap, None)
            return
        subprocess.run([str(REPO / "scripts/download_jars.sh")], cwd=REPO, check=True)
        data_dir = folder / "broker"
        data_dir.mkdir()
        broker = Broker(data_dir)
        try:
            broker.start()
            create_topics(broker.bootstrap)
            yield Stage(folder, broker.bootstrap, broker)
        finally:
            broker.stop(signal.SIGKILL)


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition; returns whether it came, for the judge to say what that means."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def pause(seconds: float) -> None:
    """Let the scene play for a while, as a length or a random moment, not to wait for anything."""
    time.sleep(seconds)
