import msgspec
import pytest
from msgspec import structs

from shared.market import codec as codec_module
from shared.market.codec import Codec, decode, split_raw
from shared.market.events import (
    AggregateTrade,
    BestQuote,
    BookDelta,
    BookSnapshot,
    DeadLetter,
    Event,
    Kline,
    Origin,
    Side,
    Source,
    StreamState,
    StreamStatus,
    Trade,
)
from shared.market.instruments import Exchange, Market

ORIGIN = Origin(
    Exchange.BINANCE, Market.UM, "BTCUSDT", "BTCUSDT", "trade", Source.BINANCE_WEBSOCKET, "c-0", 3
)
COMMON = {"origin": ORIGIN, "received_ns": 5, "event_time": 7}
ONE = "1.10"
EVENTS: list[Event] = [
    Trade(**COMMON, trade_id="9", price=ONE, quantity=ONE, side=Side.SELL, trade_time=6, execution_type="MARKET"),
    AggregateTrade(**COMMON, trade_id="9", price=ONE, quantity=ONE, side=Side.BUY, trade_time=6, first_trade_id="1", last_trade_id="2"),
    BookDelta(**COMMON, first_update_id=1, last_update_id=2, previous_update_id=None, bids=[(ONE, ONE)], asks=[]),
    BookSnapshot(**COMMON, last_update_id=2, bids=[], asks=[(ONE, ONE)]),
    BestQuote(**COMMON | {"event_time": None}, update_id=1, bid_price=ONE, bid_quantity=ONE, ask_price=ONE, ask_quantity=ONE),
    Kline(
        **COMMON, interval="1m", open_time=0, close_time=1, open=ONE, high=ONE, low=ONE, close=ONE, volume=ONE,
        quote_volume=ONE, trade_count=1, taker_buy_volume=ONE, taker_buy_quote_volume=ONE, first_trade_id=None,
        last_trade_id=None, is_closed=True,
    ),
    StreamStatus(**COMMON, state=StreamState.GAP, reason="ids", expected=1, received=3, first_id=1, last_id=2),
    DeadLetter(**COMMON, reason='not "JSON"', payload='{"origin":{'),
]  # fmt: skip


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_comes_back_as_it_went(event):
    codec = Codec("1.0.0")
    assert decode(codec.encode(event, 42)) == event
    assert decode(codec.encode(event, 43)) == event


def test_a_record_carries_the_whole_envelope_flat():
    record = msgspec.json.decode(Codec("1.0.0").encode(EVENTS[0], 42))
    assert record["schema_version"] == 1
    assert record["pipeline_version"] == "1.0.0"
    assert record["ingestion_timestamp"] == 42
    assert record["event_type"] == "trade"
    assert record["price"] == "1.10"
    assert "origin" not in record


def test_a_raw_record_gives_the_frame_back_byte_for_byte():
    frame = b'{ "p":"1.10", "payload":{} }'
    envelope, payload = split_raw(Codec("1.0.0").encode_raw(ORIGIN, frame, 5, 42))
    assert payload == frame
    assert envelope["received_ns"] == 5
    assert envelope["symbol"] == "BTCUSDT"


@pytest.mark.parametrize(
    "value",
    [
        b"no json",
        b'{"schema_version":2}',
        b'{"schema_version":1,"event_type":"rumour"}',
        Codec("1").encode(EVENTS[0], 1).replace(b'"price":"1.10",', b""),
    ],
)
def test_what_is_no_event_of_this_version_is_refused(value):
    with pytest.raises(msgspec.DecodeError):
        decode(value)


def test_a_typed_record_is_no_raw_record():
    with pytest.raises(msgspec.DecodeError):
        split_raw(Codec("1").encode(EVENTS[0], 1))


def test_prefixes_of_old_epochs_are_forgotten_and_made_again(monkeypatch):
    monkeypatch.setattr(codec_module, "_MOST_PREFIXES", 2)
    codec = Codec("1.0.0")
    event = EVENTS[0]
    for epoch in (1, 2, 3, 4, 1):
        other = structs.replace(event, origin=structs.replace(event.origin, epoch=epoch))
        assert decode(codec.encode(other, 1)) == other
        assert len(codec._prefixes) <= 2


def test_an_origin_that_is_over_leaves_nothing_behind():
    codec = Codec("1.0.0")
    for event in EVENTS:
        codec.encode(event, 1)
        codec.encode_raw(event.origin, b"{}", 1, 1)
    codec.forget(EVENTS[0].origin)
    assert codec._heads == codec._prefixes == {}
    assert decode(codec.encode(EVENTS[0], 1)) == EVENTS[0]


def test_heads_are_bounded_too(monkeypatch):
    monkeypatch.setattr(codec_module, "_MOST_PREFIXES", 2)
    codec = Codec("1.0.0")
    for event in EVENTS:
        assert decode(codec.encode(event, 1)) == event
    assert len(codec._heads) <= 2
