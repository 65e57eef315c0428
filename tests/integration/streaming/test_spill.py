"""A real broker that goes away and comes back, with the producer in between."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from shared.clock import SystemClock
from shared.market.codec import split_raw
from shared.market.events import Origin, Source
from shared.market.instruments import Exchange, Market
from shared.market.topics import Feed
from shared.settings import KafkaSettings
from streaming.errors import DeliveryError
from streaming.kafka_producer import EventProducer
from streaming.segment_log import SegmentLog
from streaming.spill import SpillState
from tests.conftest import free_port
from tests.integration.conftest import REPO, clean_environment, create_topics, records, until

pytestmark = [pytest.mark.kafka]

SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE")


class Broker:
    """An embedded broker whose process can be ended and started again on its data."""

    def __init__(self, data_dir: Path):
        self.bootstrap = f"127.0.0.1:{free_port()}"
        self._log = data_dir / "log"
        self._environment = clean_environment() | {
            "CRYPTO_PATHS__DATA_DIR": str(data_dir),
            "CRYPTO_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stack.kafka_broker"],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=REPO,
            )
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

        def answers() -> bool:
            try:
                return bool(admin.list_topics(timeout=1).brokers)
            except Exception:  # noqa: BLE001 - Boundary: any refusal means that it is not up yet
                return False

        until(answers, 90, f"broker up; its log is {self._log}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=60)
            self.process = None


@pytest.fixture
def broker(jars: None, tmp_path: Path) -> Iterator[Broker]:
    """A broker with the topics, for one test alone."""
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(folder)
    broker.start()
    create_topics(broker.bootstrap)
    yield broker
    broker.stop(signal.SIGKILL)


def origin(symbol: str) -> Origin:
    return Origin(
        exchange=Exchange.BINANCE,
        market=Market.SPOT,
        symbol=symbol,
        venue_symbol=symbol,
        channel="trade",
        source=Source.BINANCE_WEBSOCKET,
        connection="binance-spot-0",
        epoch=1,
    )


ORIGINS = [origin(symbol) for symbol in SYMBOLS]


def sender(broker: Broker, folder: Path, most_bytes: int = 10**9) -> EventProducer:
    log = SegmentLog(folder, 1_000_000, most_bytes)
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap)
    return EventProducer(kafka, "1.0.0", SystemClock(), 20_000, 5_000, log)


async def send(producer: EventProducer, start: int, count: int) -> int:
    """Send numbered frames as a reader does, pausing when asked; returns the next number."""
    for number in range(start, start + count):
        producer.publish_frame(ORIGINS[number % len(ORIGINS)], b"%d" % number, number, ())
        if producer.is_full:
            await producer.drained()
        if number % 100 == 0:
            await asyncio.sleep(0)
    return start + count


async def until_state(producer: EventProducer, state: SpillState, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while producer.stats.spill_state is not state:  # noqa: ASYNC110 - a counter tells nobody
            await asyncio.sleep(0.05)


@contextmanager
def numbers_by_key(broker: Broker) -> Iterator[dict[str, list[int]]]:
    found: dict[str, list[int]] = {}
    for key, value in records(broker.bootstrap, Feed.RAW_EVENTS):
        found.setdefault(key, []).append(int(split_raw(value)[1]))
    yield found


def check_order(broker: Broker, count: int, may_repeat: bool = False) -> None:
    """Every number is there, and by key in order: exactly, or at their first appearance."""
    with numbers_by_key(broker) as found:
        for index, symbol in enumerate(SYMBOLS):
            mine = found[f"spot:{symbol}"]
            if may_repeat:
                mine = list(dict.fromkeys(mine))
            assert mine == list(range(index, count, len(SYMBOLS)))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP])
async def test_an_outage_loses_nothing_repeats_nothing_and_keeps_the_order(
    broker: Broker, tmp_path: Path, how: signal.Signals
):
    producer = sender(broker, tmp_path / "spill")
    running = asyncio.create_task(producer.run())
    sent = await send(producer, 0, 2_000)
    if how is signal.SIGSTOP:
        broker.process.send_signal(how)
    else:
        await asyncio.to_thread(broker.stop, how)
    sent = await send(producer, sent, 1_000)
    await until_state(producer, SpillState.SPILLING, 10)
    sent = await send(producer, sent, 50_000)
    stats = producer.stats
    assert stats.spill_records >= 50_000
    assert stats.buffered <= 3_000, "memory stays bounded"
    assert not producer.is_full
    if how is signal.SIGSTOP:
        broker.process.send_signal(signal.SIGCONT)
    else:
        await asyncio.to_thread(broker.start)
    sent = await send(producer, sent, 1_000)
    await until_state(producer, SpillState.OFF, 60)
    sent = await send(producer, sent, 1_000)
    running.cancel()
    assert await producer.close(20) == 0
    assert producer.stats.produced == sent
    assert not list((tmp_path / "spill").glob("*.segment"))
    # A broker killed before it answered gets those records again, as the same ones.
    check_order(broker, sent)


async def test_a_steady_flow_gets_back_to_the_straight_way(broker: Broker, tmp_path: Path):
    producer = sender(broker, tmp_path / "spill")
    running = asyncio.create_task(producer.run())
    await asyncio.to_thread(broker.stop)
    stop = asyncio.Event()

    async def flow() -> int:
        number = 0
        while not stop.is_set():
            number = await send(producer, number, 20)
            await asyncio.sleep(0.004)
        return number

    flowing = asyncio.create_task(flow())
    await until_state(producer, SpillState.SPILLING, 10)
    await asyncio.to_thread(broker.start)
    await until_state(producer, SpillState.OFF, 60)
    stop.set()
    sent = await flowing
    running.cancel()
    assert await producer.close(20) == 0
    check_order(broker, sent)


async def test_a_full_spill_pauses_the_reader_until_the_broker_is_back(
    broker: Broker, tmp_path: Path
):
    producer = sender(broker, tmp_path / "spill", most_bytes=3_000_000)
    running = asyncio.create_task(producer.run())
    await asyncio.to_thread(broker.stop)
    sending = asyncio.create_task(send(producer, 0, 50_000))
    await until_state(producer, SpillState.FULL, 30)
    assert producer.stats.spill_bytes < 3_500_000
    assert not sending.done()
    await asyncio.to_thread(broker.start)
    sent = await asyncio.wait_for(sending, 60)
    await until_state(producer, SpillState.OFF, 60)
    running.cancel()
    assert await producer.close(20) == 0
    check_order(broker, sent)


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.integration.streaming.test_spill import Broker, SpillState, send, sender

class At:
    bootstrap = sys.argv[1]

async def main():
    producer = sender(At, Path(sys.argv[2]))
    running = asyncio.create_task(producer.run())
    sent = int(sys.argv[3])
    while True:
        sent = await send(producer, sent, 500)
        await asyncio.sleep(0.06)
        stats = producer.stats
        print(sent, stats.spill_state.value, stats.buffered, flush=True)

asyncio.run(main())
"""


def killed_writer(broker: Broker, folder: Path, start: int, lines: int) -> tuple[int, int]:
    """Run a producing process and kill it; returns (records sent at least, in memory alone)."""
    command = [sys.executable, "-c", WRITER, broker.bootstrap, str(folder), str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPO) as process:
        assert process.stdout is not None
        spilling = 0
        for line in process.stdout:
            sent, state, buffered = line.decode().split()[-3:]
            spilling += state == "spilling"
            if spilling == lines:
                process.send_signal(signal.SIGKILL)
                return int(sent), int(buffered)
    raise AssertionError("the writer ended by itself")


async def test_kill_9_in_an_outage_loses_nothing_that_was_spilled(broker: Broker, tmp_path: Path):
    folder = tmp_path / "spill"
    await asyncio.to_thread(broker.stop)
    first, in_memory = killed_writer(broker, folder, 0, 20)
    with SegmentLog(folder, 1_000_000, 10**9) as log:
        assert log.records >= first - in_memory
    second, _ = killed_writer(broker, folder, 1_000_000, 5)
    await asyncio.to_thread(broker.start)
    producer = sender(broker, folder)
    running = asyncio.create_task(producer.run())
    await until_state(producer, SpillState.OFF, 60)
    running.cancel()
    assert await producer.close(20) == 0
    with numbers_by_key(broker) as found:
        every = {number for numbers in found.values() for number in numbers}
        assert all(numbers == sorted(set(numbers)) for numbers in found.values())
    # Only the first ones were in memory alone: those handed over before the outage was noticed.
    assert {number for number in every if number < 1_000_000} >= set(range(in_memory, first))
    assert every >= set(range(1_000_000, second)), "with a spill left behind all goes to disk"


async def test_a_record_that_the_broker_refuses_for_good_still_ends_the_run(
    broker: Broker, tmp_path: Path
):
    producer = sender(broker, tmp_path / "spill")
    running = asyncio.create_task(producer.run())
    await send(producer, 0, 100)
    while producer.stats.produced < 100:  # noqa: ASYNC110 - a counter tells nobody
        await asyncio.sleep(0.05)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in admin.delete_topics(["binance-raw-events"]).values():
        future.result(30)
    await send(producer, 100, 50)
    with pytest.raises(DeliveryError, match="binance-raw-events"):
        await asyncio.wait_for(running, 120)
    assert producer.stats.failed > 0
    assert await producer.close(5) == producer.stats.failed
