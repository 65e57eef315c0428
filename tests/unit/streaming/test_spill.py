"""The detour on a real log, with a broker that the test is: it takes, acknowledges or stays away."""

from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming import spill as module
from streaming.segment_format import Record
from streaming.segment_log import SegmentLog
from streaming.spill import Spill, SpillState


class Broker:
    """Librdkafka's queue and what was delivered from it."""

    def __init__(self, room: int = 10**9):
        self.queue: list[bytes] = []
        self.delivered: list[bytes] = []
        self.room = room
        self.now_s = 0.0

    def hand(self, topic: str, value: bytes, key: bytes) -> bool:
        if len(self.queue) >= self.room:
            return False
        self.queue.append(value)
        return True

    def acknowledge(self, count: int = 10**9) -> None:
        self.delivered += self.queue[:count]
        del self.queue[:count]


class Sender:
    """What the producer does with records, without Kafka."""

    def __init__(self, folder: Path, broker: Broker, most_bytes: int = 10**9):
        self.broker = broker
        self.log = SegmentLog(folder, 2000, most_bytes)
        self.spill = Spill(
            self.log, broker.hand, lambda: len(broker.queue), lambda: self.broker.now_s
        )
        self.waiting: deque[Record] = deque()

    def send(self, number: int) -> None:
        record = Record("t", b"%d" % number, b"k")
        if not self.spill.is_active:
            assert not self.waiting
            self.broker.hand(*record)
        elif self.waiting or not self.spill.take(record):
            self.waiting.append(record)

    def step(self) -> None:
        if self.spill.is_active:
            self.spill.step(self.waiting, len(self.broker.delivered))
        else:
            self.spill.watch(len(self.broker.delivered))
        if not self.spill.is_active:
            while self.waiting:
                self.broker.hand(*self.waiting.popleft())

    def drain(self) -> list[int]:
        """Let the broker take everything; returns what it got, in order."""
        for _ in range(200):
            self.step()
            self.broker.acknowledge()
        assert not self.spill.is_active
        return numbers(self.broker.delivered)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def sender(tmp_path: Path, broker: Broker) -> Sender:
    return Sender(tmp_path, broker)


def numbers(values: list[bytes]) -> list[int]:
    return list(map(int, values))


def test_a_queue_that_stands_still_begins_the_detour_and_one_that_moves_does_not(sender, broker):
    sender.send(0)
    sender.send(1)
    sender.step()
    broker.now_s = 2.9
    broker.acknowledge(1)
    sender.step()
    broker.now_s = 5.8
    sender.step()
    assert sender.spill.state is SpillState.OFF
    broker.now_s = 5.9
    sender.step()
    assert sender.spill.state is SpillState.SPILLING


def test_an_idle_queue_never_begins_it(sender, broker):
    for broker.now_s in (0.0, 100.0, 200.0):
        sender.step()
    assert sender.spill.state is SpillState.OFF


def test_first_the_queue_then_the_log_then_what_is_new(sender, broker):
    sender.send(0)
    sender.spill.begin("test")
    for number in range(1, 4):
        sender.send(number)
        sender.step()
    assert numbers(broker.queue) == [0]
    assert sender.spill.records == 3
    broker.acknowledge()
    sender.step()
    assert sender.spill.state is SpillState.DRAINING
    assert numbers(broker.queue) == [1, 2, 3]
    sender.send(4)
    assert numbers([item.value for item in sender.waiting]) == [4], "the end is near"
    broker.acknowledge()
    sender.step()
    assert sender.spill.state is SpillState.OFF
    sender.send(5)
    assert numbers(broker.queue) == [4, 5]
    assert numbers(broker.delivered) == [0, 1, 2, 3]
    assert sender.log.records == 0


def test_an_outage_without_new_records_ends_with_the_queue(sender, broker):
    sender.send(0)
    sender.spill.begin("test")
    sender.step()
    assert sender.spill.state is SpillState.SPILLING
    broker.acknowledge()
    sender.step()
    assert sender.spill.state is SpillState.OFF


def test_with_an_empty_queue_the_next_record_finds_out_whether_the_broker_is_back(sender, broker):
    sender.spill.begin("test")
    sender.step()
    assert sender.spill.is_active
    sender.send(0)
    sender.step()
    assert numbers(broker.queue) == [0]
    broker.acknowledge()
    sender.step()
    assert sender.spill.state is SpillState.OFF


def nearly_drained(sender: Sender) -> None:
    """Record 0 is delivered and 1 of the log handed over, so that 2 waits in memory."""
    sender.send(0)
    sender.spill.begin("test")
    sender.send(1)
    sender.broker.acknowledge()
    sender.step()
    sender.send(2)
    assert len(sender.waiting) == 1


def test_a_broker_that_goes_while_the_end_is_near_sends_what_waits_to_disk(sender, broker):
    nearly_drained(sender)
    broker.now_s = 1.1
    sender.step()
    assert not sender.waiting
    assert sender.spill.records == 2
    broker.now_s = 4.2
    sender.step()
    assert sender.spill.state is SpillState.SPILLING
    sender.send(3)
    assert sender.drain() == [0, 1, 2, 3]


def test_a_broker_said_to_be_down_while_the_end_is_near_does_the_same(sender):
    nearly_drained(sender)
    sender.spill.begin("test")
    sender.step()
    assert not sender.waiting
    assert sender.drain() == [0, 1, 2]


def test_too_many_that_wait_for_the_end_go_to_disk(sender, monkeypatch):
    monkeypatch.setattr(module, "_MOST_WAITING", 3)
    nearly_drained(sender)
    for number in range(3, 6):
        sender.send(number)
    sender.step()
    assert not sender.waiting
    assert sender.drain() == list(range(6))


def test_a_queue_with_little_room_gets_the_log_bit_by_bit(tmp_path):
    broker = Broker(room=2)
    sender = Sender(tmp_path, broker)
    sender.spill.begin("test")
    for number in range(7):
        sender.send(number)
    for _ in range(6):
        sender.step()
        broker.acknowledge()
    assert numbers(broker.delivered) == list(range(7))
    sender.step()
    assert sender.spill.state is SpillState.OFF


def test_what_was_handed_over_and_not_acknowledged_comes_again_after_a_crash(tmp_path, broker):
    sender = Sender(tmp_path, broker)
    sender.spill.begin("test")
    for number in range(3):
        sender.send(number)
    sender.step()
    assert sender.spill.is_in_queue
    sender.log.close()
    again = Sender(tmp_path, Broker())
    assert again.spill.state is SpillState.DRAINING
    again.send(3)
    assert again.drain() == [0, 1, 2, 3]


def test_full_holds_records_in_memory_and_recovers_in_order(tmp_path, broker):
    sender = Sender(tmp_path, broker, most_bytes=6000)
    sender.send(0)
    sender.spill.begin("test")
    number = 1
    while sender.spill.state is not SpillState.FULL:
        sender.send(number)
        sender.step()
        number += 1
    sender.send(number)
    sender.step()
    assert len(sender.waiting) == 1
    assert sender.spill.is_full
    assert sender.drain() == list(range(number + 1))
    assert sender.spill.state is SpillState.OFF


def test_at_the_end_everything_not_delivered_is_kept_in_order(tmp_path, broker):
    sender = Sender(tmp_path, broker)
    sender.spill.begin("test")
    sender.send(1)
    before = [Record("t", b"0", b"k")]
    assert sender.spill.close(before, deque([Record("t", b"2", b"k")]), is_delivered=True) == 0
    assert Sender(tmp_path, broker).drain() == [0, 1, 2]


@pytest.mark.parametrize("is_delivered", [True, False])
def test_at_the_end_only_what_was_delivered_is_forgotten(tmp_path, broker, is_delivered):
    sender = Sender(tmp_path, broker)
    sender.spill.begin("test")
    sender.send(0)
    sender.step()
    broker.acknowledge()
    assert sender.spill.close([], deque(), is_delivered) == 0
    assert Sender(tmp_path, broker).spill.is_active is not is_delivered


def test_what_does_not_fit_at_the_end_is_counted(tmp_path, broker):
    sender = Sender(tmp_path, broker, most_bytes=100)
    sender.spill.begin("test")
    waiting = deque(Record("t", b"%d" % number, b"k") for number in range(20))
    lost = sender.spill.close([], waiting, is_delivered=True)
    assert 0 < lost < 20
    assert Sender(tmp_path, broker).log.records == 20 - lost


ACTIONS = st.lists(
    st.one_of(
        st.sampled_from(["send", "send", "send", "step", "step", "down", "restart"]),
        st.integers(1, 30),
    ),
    max_size=120,
)


@given(ACTIONS)
def test_whatever_happens_nothing_is_lost_and_first_deliveries_are_in_order(
    tmp_path_factory, actions
):
    """A number acknowledges so many records; "down" is librdkafka's word; 0.7 s pass each time."""
    folder = tmp_path_factory.mktemp("spill")
    broker = Broker()
    sender = Sender(folder, broker)
    sent = 0
    for action in actions:
        broker.now_s += 0.7
        match action:
            case "send":
                sender.send(sent)
                sent += 1
            case "step":
                sender.step()
            case "down":
                sender.spill.begin("test")
            case "restart":
                in_log = sender.spill.is_in_queue
                before = [] if in_log else [Record("t", value, b"k") for value in broker.queue]
                broker.queue.clear()
                assert sender.spill.close(before, sender.waiting, is_delivered=not in_log) == 0
                sender = Sender(folder, broker)
            case count:
                broker.acknowledge(count)
    sender.send(sent)
    delivered = list(dict.fromkeys(sender.drain()))
    sender.log.close()
    assert delivered == list(range(sent + 1))
