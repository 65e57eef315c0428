"""The scripts around topics, as a user runs them, against a real broker."""

import subprocess
import sys

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from shared.market.instruments import Exchange
from shared.market.topics import topic_specs
from tests.integration.conftest import REPO, clean_environment

pytestmark = [pytest.mark.kafka]

NAMES = [spec.name for spec in topic_specs(Exchange.BINANCE)]


def script(name: str, bootstrap: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = {"CRYPTO_KAFKA__BOOTSTRAP_SERVERS": bootstrap, "COLUMNS": "160"}
    return subprocess.run(
        [sys.executable, f"scripts/{name}.py", *arguments],
        env=clean_environment() | settings,
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def broker(kafka_broker: str):
    """A broker whose topics are gone again afterwards."""
    yield kafka_broker
    admin = AdminClient({"bootstrap.servers": kafka_broker, "log_level": 0})
    held = [name for name in NAMES if name in admin.list_topics(timeout=10).topics]
    for future in admin.delete_topics(held).values() if held else ():
        future.result(30)


def test_topics_are_created_once_and_drift_is_reported(broker: str):
    missing = script("setup_kafka", broker, "--check")
    assert missing.returncode == 1
    assert "missing" in missing.stdout
    created = script("setup_kafka", broker)
    assert created.returncode == 0, created.stdout + created.stderr
    assert all(name in created.stdout for name in NAMES)
    again = script("setup_kafka", broker)
    assert (again.returncode, again.stdout) == (0, "")
    assert script("setup_kafka", broker, "--check").returncode == 0
    admin = AdminClient({"bootstrap.servers": broker, "log_level": 0})
    for future in admin.create_partitions([NewPartitions("binance-trades", 9)]).values():
        future.result(30)
    drifted = script("setup_kafka", broker, "--check")
    assert drifted.returncode == 1
    row = next(line for line in drifted.stdout.splitlines() if "binance-trades" in line)
    assert row.replace("│", " ").split() == ["binance-trades", "partitions", "4", "9"]


def test_the_example_consumer_shows_typed_raw_and_broken_records(broker: str):
    assert script("setup_kafka", broker).returncode == 0
    producer = Producer({"bootstrap.servers": broker, "log_level": 0})
    producer.produce("binance-raw-events", b'{"event_type":"raw_frame","payload":{"p":"1"}}', "a:B")
    producer.produce("binance-trades", b'{"event_type":"trade","price":"1.50"}', "spot:BTCUSDT")
    producer.produce("binance-trades", b'{"event_type":"trade","price":"9"}', "spot:ETHUSDT")
    producer.produce("dead-letters", b"\xff not json", "spot:BTCUSDT")
    assert producer.flush(20) == 0
    common = ("--from-beginning", "--limit", "1")
    trades = script(
        "consumer_example", broker, "--topic", "binance-trades", *common, "--symbol", "BTCUSDT"
    )
    assert '"price": "1.50"' in trades.stdout
    assert "ETHUSDT" not in trades.stdout
    raw = script("consumer_example", broker, "--topic", "binance-raw-events", *common)
    assert '"p": "1"' in raw.stdout
    broken = script("consumer_example", broker, "--topic", "dead-letters", *common)
    assert "not JSON" in broken.stdout
    unknown = script("consumer_example", broker, "--topic", "nope", *common)
    assert unknown.returncode == 2
    assert "no such topic" in unknown.stdout
