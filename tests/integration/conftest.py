"""A mock exchange and a collector as processes of their own, joined to a real broker."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from shared.market.codec import Envelope, decode
from shared.market.events import Event
from shared.market.instruments import Exchange
from shared.market.topics import Feed, feed_of, message_key, topic_name, topic_specs
from tests.conftest import REPO, clean_environment

CAPTURES = REPO.parent / "shared" / "captures"

needs_captures = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the recordings in ../shared are not on this machine"
)


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition; fail with its name when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def get_json(url: str) -> dict[str, Any] | None:
    """Return the JSON of a local address, whatever its status; None while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback
            return dict(json.load(answer))
    except urllib.error.HTTPError as refused:
        return dict(json.load(refused))
    except OSError:
        return None


@dataclass
class Venue:
    """A running mock exchange, and the collector's settings that lead to it."""

    port: int
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        spot, um = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.port + 1}"
        self.environment = {
            "CRYPTO_BINANCE__SPOT_WS_URL": f"ws://{spot}",
            "CRYPTO_BINANCE__SPOT_REST_URL": f"http://{spot}",
            "CRYPTO_BINANCE__UM_PUBLIC_WS_URL": f"ws://{um}/public",
            "CRYPTO_BINANCE__UM_MARKET_WS_URL": f"ws://{um}/market",
            "CRYPTO_BINANCE__UM_REST_URL": f"http://{um}",
            "CRYPTO_BINANCE__ARCHIVE_URL": f"http://{spot}",
        }

    def status(self) -> dict[str, Any]:
        """Return what the control port says, empty while it is not up."""
        return get_json(f"http://127.0.0.1:{self.port + 9}/status") or {}


def _own_spill(log: Path) -> dict[str, str]:
    """A collector that a test kills must not leave records to the next one."""
    return {"CRYPTO_STREAMING__SPILL_DIR": str(log.with_suffix(".spill"))}


@contextmanager
def running(
    arguments: list[str], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module of the project; ended by SIGTERM, and killed if that does not do."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=clean_environment() | _own_spill(log) | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=REPO,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def mock_exchange(port: int, log: Path, *arguments: str) -> Iterator[Venue]:
    """A mock exchange that answers."""
    venue = Venue(port)
    with running(["mock_exchange", *arguments], {"CRYPTO_MOCK__PORT": str(port)}, log):
        until(lambda: bool(venue.status()), 30, f"mock exchange up; its log is {log}")
        yield venue


def create_topics(bootstrap: str) -> list[str]:
    """Create Binance's topics with two partitions each; returns their names."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    names = [spec.name for spec in topic_specs(Exchange.BINANCE)]
    for future in admin.create_topics([NewTopic(name, 2, 1) for name in names]).values():
        future.result(30)
    return names


@contextmanager
def fresh_topics(kafka_broker: str) -> Iterator[str]:
    """A broker whose topics of Binance are new, and removed again."""
    names = create_topics(kafka_broker)
    yield kafka_broker
    admin = AdminClient({"bootstrap.servers": kafka_broker})
    for future in admin.delete_topics(names).values():
        future.result(30)


@pytest.fixture
def topics(kafka_broker: str) -> Iterator[str]:
    """A broker with fresh topics."""
    with fresh_topics(kafka_broker) as bootstrap:
        yield bootstrap


def publish(bootstrap: str, events: Iterable[Event]) -> None:
    """Send events as the collector would."""
    publish_values(
        bootstrap,
        (
            (
                topic_name(event.origin.exchange, feed_of(event)),
                message_key(event.origin.market, event.origin.symbol),
                Envelope(event.origin, "1.0.0").typed(event, 1),
            )
            for event in events
        ),
    )


def publish_values(bootstrap: str, values: Iterable[tuple[str, str, bytes]]) -> None:
    """Send (topic, key, value) as they are."""
    # Idempotent, as the collector's: a new topic refuses its first batches, and without that the
    # ones sent again come after those that followed them.
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 20, "enable.idempotence": True}
    )
    for topic, key, value in values:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(60) == 0


def records(bootstrap: str, feed: Feed) -> list[tuple[str, bytes]]:
    """Return (key, value) of all records of a feed, in order per partition."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "test", "enable.auto.commit": False}
    )
    name = topic_name(Exchange.BINANCE, feed)
    partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
    found: list[tuple[str, bytes]] = []
    for number in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(name, number), timeout=10)
        consumer.assign([TopicPartition(name, number, low)])
        while low < high:
            for message in consumer.consume(min(high - low, 5000), timeout=10):
                found.append(((message.key() or b"").decode(), message.value() or b""))
                low += 1
    consumer.close()
    return found


def events(bootstrap: str, feed: Feed) -> list[Any]:
    """Return the decoded events of a feed."""
    return [decode(value) for _, value in records(bootstrap, feed)]
