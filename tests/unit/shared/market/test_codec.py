import msgspec
import pytest

from shared.market.codec import Envelope, decode, split_raw
from shared.market.events import (
    AggregateTrade,
    BestQuote,
    BookDelta,
    BookSnapshot,
    DeadLetter,
    Event,
    Kline,
    MarkPrice,
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
    MarkPrice(**COMMON, mark_price=ONE, index_price=None, settle_price=None, funding_rate="-0.0001", next_funding_time=9),
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
    envelope = Envelope(ORIGIN, "1.0.0")
    assert decode(envelope.typed(event, 42)) == event
    assert decode(envelope.typed(event, 43)) == event


def test_a_record_carries_the_whole_envelope_flat():
    record = msgspec.json.decode(Envelope(ORIGIN, "1.0.0").typed(EVENTS[0], 42))
    assert record["schema_version"] == 1
    assert record["pipeline_version"] == "1.0.0"
    assert record["ingestion_timestamp"] == 42
    assert record["event_type"] == "trade"
    assert record["price"] == "1.10"
    assert "origin" not in record


def test_a_raw_record_gives_the_frame_back_byte_for_byte():
    frame = b'{ "p":"1.10", "payload":{} }'
    envelope, payload = split_raw(Envelope(ORIGIN, "1.0.0").raw(frame, 5, 42))
    assert payload == frame
    assert envelope["received_ns"] == 5
    assert envelope["symbol"] == "BTCUSDT"


@pytest.mark.parametrize(
    "value",
    [
        b"no json",
        b'{"schema_version":2}',
        b'{"schema_version":1,"event_type":"rumour"}',
        Envelope(ORIGIN, "1").typed(EVENTS[0], 1).replace(b'"price":"1.10",', b""),
    ],
)
def test_what_is_no_event_of_this_version_is_refused(value):
    with pytest.raises(msgspec.DecodeError):
        decode(value)


def test_a_typed_record_is_no_raw_record():
    with pytest.raises(msgspec.DecodeError):
        split_raw(Envelope(ORIGIN, "1").typed(EVENTS[0], 1))
