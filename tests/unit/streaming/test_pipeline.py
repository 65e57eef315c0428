import msgspec
import pytest

from shared.market.events import (
    AggregateTrade,
    BestQuote,
    DeadLetter,
    Source,
    StreamState,
    StreamStatus,
)
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from streaming.exchanges.binance import BinanceProtocol
from streaming.instrumentation import ConnectionStats
from streaming.pipeline import LARGEST_FRAME, Pipeline


class Records:
    """Keeps what would go to Kafka, in order."""

    def __init__(self):
        self.frames, self.events = [], []

    def publish_frame(self, origin, frame, received_ns, events):
        self.frames.append((origin.symbol, frame))
        self.publish(events)

    def publish(self, events):
        self.events += events


@pytest.fixture
def records():
    return Records()


@pytest.fixture
def stats():
    return ConnectionStats("binance-spot-0")


@pytest.fixture
def pipeline(records, stats):
    instrument = Instrument(Exchange.BINANCE, Market.SPOT, "BTCUSDT", "BTCUSDT")
    wanted = [Subscription(instrument, channel) for channel in ("aggTrade", "bookTicker")]
    protocol = BinanceProtocol(Market.SPOT, "binance-spot-0", wanted)
    protocol.open(0)
    return Pipeline(protocol, records, stats)


def quote(**more) -> bytes:
    data = {"u": 1, "s": "BTCUSDT", "b": "1.0", "B": "2", "a": "1.5", "A": "3"} | more
    return msgspec.json.encode({"stream": "btcusdt@bookTicker", "data": data})


def trade(number: int) -> bytes:
    data = {"e": "aggTrade", "E": 1, "T": 1, "a": number, "f": number, "l": number, "m": True}
    return msgspec.json.encode(
        {"stream": "btcusdt@aggTrade", "data": data | {"p": "1.50", "q": "2"}}
    )


def test_a_frame_goes_raw_under_its_symbol_and_as_its_event(pipeline, records, stats):
    pipeline.take(quote(), 5)
    assert records.frames == [("BTCUSDT", quote())]
    event, first = records.events
    assert isinstance(event, BestQuote)
    assert event.origin.source is Source.BINANCE_WEBSOCKET
    assert event.bid_price == "1.0"
    assert isinstance(first, StreamStatus)
    assert (stats.received, stats.processed, stats.events, stats.last_message_ns) == (1, 1, 2, 5)


def test_an_acknowledgement_goes_raw_under_the_control_symbol(pipeline, records):
    pipeline.take(b'{"result":null,"id":9}', 5)
    assert records.frames == [("-", b'{"result":null,"id":9}')]


def test_json_that_is_refused_is_kept_raw_and_as_a_dead_letter(pipeline, records, stats):
    pipeline.take(quote(b="not a price"), 5)
    assert records.frames == [("BTCUSDT", quote(b="not a price"))]
    assert [type(event) for event in records.events] == [DeadLetter]
    assert stats.dead_letters == 1


@pytest.mark.parametrize(
    "frame", [b"<html>", b"", b'{"stream":"btcusdt@bookTicker","data":', b'"\\\xff"', b"\x00\x01"]
)
def test_what_is_no_json_is_never_spliced_into_a_raw_record(pipeline, records, frame):
    pipeline.take(frame, 5)
    assert records.frames == []
    (letter,) = records.events
    assert isinstance(letter, DeadLetter)
    assert letter.payload == frame.decode(errors="backslashreplace")


def test_broken_text_in_a_field_nobody_reads_keeps_the_event_and_a_dead_letter(pipeline, records):
    pipeline.take(trade(1).replace(b'"e":"aggTrade"', b'"e":"\xff"'), 5)
    assert records.frames == []
    assert isinstance(records.events[0], AggregateTrade)
    assert records.events[-1].reason == "frame: not UTF-8"


def test_text_beyond_ascii_goes_raw(pipeline, records):
    frame = '{"result":null,"id":9,"s":"这是测试币"}'.encode()
    pipeline.take(frame, 5)
    assert records.frames == [("-", frame)]


def test_a_frame_too_large_for_kafka_becomes_a_cut_dead_letter(pipeline, records, stats):
    pipeline.take(b"[" + b"1," * LARGEST_FRAME + b"1]", 5)
    assert records.frames == []
    (letter,) = records.events
    assert "1800003 bytes are too many" in letter.reason
    assert len(letter.payload) == 100_000


def test_a_gap_is_published_after_the_event_that_shows_it_and_counted(pipeline, records, stats):
    for number in (1, 2, 5):
        pipeline.take(trade(number), 5)
    gap = records.events[-1]
    assert (gap.state, gap.expected, gap.received) == (StreamState.GAP, 3, 5)
    assert stats.gaps == 1


def test_a_status_that_comes_alone_is_told_too(records, stats):
    instrument = Instrument(Exchange.BINANCE, Market.SPOT, "BTCUSDT", "BTCUSDT")
    protocol = BinanceProtocol(Market.SPOT, "c", [Subscription(instrument, "aggTrade")])
    protocol.open(0)
    told = []
    Pipeline(protocol, records, stats, on_status=told.append).take(b'{"result":null,"id":1}', 1)
    assert [status.state for status in told] == [StreamState.ACKNOWLEDGED]
