"""Without a broker: what the producer asks of librdkafka, and what it does when nothing gets out."""

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from shared.clock import SettableClock
from shared.market.codec import decode, split_raw
from shared.market.events import Origin, Source, StreamState, StreamStatus
from shared.market.instruments import Exchange, Market
from shared.settings import Compression, KafkaSettings
from streaming import kafka_producer
from streaming.errors import BrokerError, DeliveryError
from streaming.kafka_producer import EventProducer, producer_config
from streaming.segment_log import SegmentLog
from streaming.spill import SpillState

ORIGIN = Origin(
    exchange=Exchange.BINANCE,
    market=Market.SPOT,
    symbol="BTCUSDT",
    venue_symbol="BTCUSDT",
    channel="trade",
    source=Source.BINANCE_WEBSOCKET,
    connection="binance-spot-0",
    epoch=1,
)


def producer(port: int, high: int = 100, low: int = 10, **settings: float) -> EventProducer:
    kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}", **settings)
    return EventProducer(kafka, "1.0.0", SettableClock(), high, low)


@pytest.mark.parametrize("compression", list(Compression))
def test_the_producer_is_idempotent_and_waits_for_all_replicas(compression):
    config = producer_config(KafkaSettings(compression=compression, delivery_timeout_s=7))
    assert config["enable.idempotence"] is True
    assert config["acks"] == "all"
    assert config["max.in.flight.requests.per.connection"] == 5
    assert config["compression.type"] == compression
    assert config["delivery.timeout.ms"] == 7000


async def test_a_broker_that_is_not_there_is_named(unused_tcp_port, monkeypatch):
    monkeypatch.setattr(kafka_producer, "_METADATA_TIMEOUT_S", 0.5)
    sender = producer(unused_tcp_port)
    with pytest.raises(BrokerError, match=f"127.0.0.1:{unused_tcp_port}.*Start it"):
        await sender.check(["binance-trades"])


async def test_what_librdkafka_has_no_room_for_waits_in_order_and_is_counted(unused_tcp_port):
    sender = producer(unused_tcp_port, queue_messages=1000)
    for number in range(1500):
        sender.publish_frame(ORIGIN, b"%d" % number, 0, ())
    assert sender.is_full
    assert sender.stats.buffered == 1500
    assert [record[-4:-1] for _, record, _ in list(sender._waiting)[:3]] == [b"000", b"001", b"002"]
    assert await sender.close(0.2) == 1500


async def test_readers_pause_above_the_high_mark_until_the_low_one(unused_tcp_port):
    sender = producer(unused_tcp_port, delivery_timeout_s=1)
    assert not sender.is_full
    for _ in range(100):
        sender.publish_frame(ORIGIN, b"1", 0, ())
    assert sender.is_full
    paused = asyncio.create_task(sender.drained())
    done, _ = await asyncio.wait([paused], timeout=0.3)
    assert not done
    await asyncio.wait_for(paused, 10)
    assert sender.failure is not None, "the delivery time-out has let go, and says so"


async def test_a_record_that_cannot_be_delivered_ends_the_run_and_is_kept(unused_tcp_port):
    sender = producer(unused_tcp_port, delivery_timeout_s=0.5)
    sender.publish_frame(ORIGIN, b"1", 0, ())
    with pytest.raises(DeliveryError, match="binance-raw-events") as caught:
        await asyncio.wait_for(sender.run(), 10)
    assert sender.failure is caught.value
    assert sender.stats.failed == 1
    assert await sender.close(0.1) == 1


async def test_waiting_for_an_acknowledgement_ends_with_the_delivery_error(unused_tcp_port):
    sender = producer(unused_tcp_port, delivery_timeout_s=0.3)
    await sender.acknowledged()
    sender.publish_frame(ORIGIN, b"1", 0, ())
    with pytest.raises(DeliveryError):
        await sender.acknowledged()


async def test_a_record_larger_than_kafka_takes_is_a_delivery_error(unused_tcp_port):
    sender = producer(unused_tcp_port)
    sender.publish_frame(ORIGIN, b"1" * 2_000_000, 0, ())
    assert "too large" in str(sender.failure)


async def test_before_the_first_record_nothing_is_acknowledged_whatever_librdkafka_has_to_say(
    unused_tcp_port, tmp_path
):
    sender = spilling(unused_tcp_port, tmp_path)
    async with asyncio.timeout(30):
        while not len(sender._producer):  # noqa: ASYNC110 - librdkafka tells nobody
            await asyncio.sleep(0.01)
    assert sender.stats.produced == 0
    assert await sender.close(0.1) == 0


async def test_routes_of_old_epochs_are_forgotten(unused_tcp_port, monkeypatch):
    monkeypatch.setattr(kafka_producer, "_MOST_ROUTES", 2)
    sender = producer(unused_tcp_port)
    for epoch in range(5):
        origin = Origin(
            **{name: getattr(ORIGIN, name) for name in Origin.__struct_fields__[:-1]}, epoch=epoch
        )
        sender.publish_frame(origin, b"1", 0, ())
    assert len(sender._routes) <= 2
    assert await sender.close(0.1) == 5


def spilling(port: int, folder: Path, most_bytes: int = 10**9, **settings: float) -> EventProducer:
    kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}", **settings)
    log = SegmentLog(folder, 100_000, most_bytes)
    return EventProducer(kafka, "1.0.0", SettableClock(), 100, 10, log)


async def until_spilling(sender: EventProducer) -> None:
    async with asyncio.timeout(30):
        while sender.stats.spill_state is SpillState.OFF:
            await asyncio.sleep(0.01)
            sender.publish_frame(ORIGIN, b"0", 0, ())
            assert sender.is_full is False


def payloads(folder: Path) -> list[bytes]:
    with SegmentLog(folder, 100_000, 10**9) as log:
        found = []
        while records := log.read(1000):
            found += [split_raw(record.value)[1] for record in records]
    return found


def test_with_a_log_an_outage_never_fails_a_record():
    config = producer_config(KafkaSettings(delivery_timeout_s=7), is_patient=True)
    assert config["delivery.timeout.ms"] == 0


async def test_without_a_broker_records_go_to_disk_and_reading_goes_on(unused_tcp_port, tmp_path):
    sender = spilling(unused_tcp_port, tmp_path)
    running = asyncio.create_task(sender.run())
    await until_spilling(sender)
    for number in range(1, 1000):
        sender.publish_frame(ORIGIN, b"%d" % number, 0, ())
        assert not sender.is_full
    stats = sender.stats
    assert stats.spill_state is SpillState.SPILLING
    assert stats.spill_records >= 999
    assert stats.buffered + stats.spill_records == stats.sent
    assert stats.produced == 0
    await asyncio.wait_for(sender.drained(), 1)
    running.cancel()
    sent = stats.sent
    assert await sender.close(20) == 0, "all of it is kept for the next start"
    found = payloads(tmp_path)
    assert len(found) == sent
    assert found[-999:] == [b"%d" % number for number in range(1, 1000)]


async def test_what_an_earlier_process_left_needs_no_broker_to_start(unused_tcp_port, tmp_path):
    sender = spilling(unused_tcp_port, tmp_path)
    for number in range(50):
        sender.publish_frame(ORIGIN, b"%d" % number, 0, ())
    assert await sender.close(0.1) == 0
    again = spilling(unused_tcp_port, tmp_path)
    assert again.stats.spill_state is SpillState.DRAINING
    assert again.stats.spill_records == 50
    await again.check(["binance-trades"])
    assert again.stats.spill_state is SpillState.SPILLING
    again.publish_frame(ORIGIN, b"50", 0, ())
    assert await again.close(0.1) == 0
    assert payloads(tmp_path) == [b"%d" % number for number in range(51)]


async def test_a_full_spill_pauses_readers_and_drops_nothing(unused_tcp_port, tmp_path):
    sender = spilling(unused_tcp_port, tmp_path, most_bytes=200_000)
    await until_spilling(sender)
    for _ in range(400):
        if not sender.is_full:
            sender.publish_frame(ORIGIN, b'"%s"' % (b"x" * 1000), 0, ())
    assert sender.stats.spill_state is SpillState.FULL
    sender.publish_frame(ORIGIN, b"1", 0, ())
    stats = sender.stats
    assert stats.buffered + stats.spill_records == stats.sent
    paused = asyncio.create_task(sender.drained())
    done, _ = await asyncio.wait([paused], timeout=0.1)
    assert not done
    paused.cancel()
    lost = await sender.close(0.1)
    assert lost > 0, "what is in memory has no place to go"
    assert len(payloads(tmp_path)) == stats.sent - lost


async def test_a_record_too_large_for_kafka_does_not_get_into_the_log(unused_tcp_port, tmp_path):
    sender = spilling(unused_tcp_port, tmp_path)
    await until_spilling(sender)
    sender.publish_frame(ORIGIN, b"1" * 2_000_000, 0, ())
    assert "too large" in str(sender.failure)
    with pytest.raises(DeliveryError):
        await sender.run()
    assert await sender.close(0.1) == 1


async def test_each_event_of_a_frame_goes_where_its_own_origin_says(unused_tcp_port, monkeypatch):
    sender, records = producer(unused_tcp_port), []
    monkeypatch.setattr(sender, "_produce", lambda *record: records.append(record))
    other = structs.replace(ORIGIN, symbol="ETHUSDT", venue_symbol="ETHUSDT")
    status = {"received_ns": 1, "event_time": None, "state": StreamState.LIVE, "reason": ""}
    events = [StreamStatus(origin=item, **status) for item in (ORIGIN, other, ORIGIN)]
    sender.publish_frame(ORIGIN, b"{}", 1, events)
    assert [key for _, _, key in records] == [
        b"spot:BTCUSDT",
        b"spot:BTCUSDT",
        b"spot:ETHUSDT",
        b"spot:BTCUSDT",
    ]
    assert [decode(record) for _, record, _ in records[1:]] == events
