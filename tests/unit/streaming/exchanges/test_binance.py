import json

import pytest

from shared.market.events import (
    AggregateTrade,
    BestQuote,
    BookDelta,
    BookSnapshot,
    DeadLetter,
    Kline,
    MarkPrice,
    Side,
    StreamState,
    StreamStatus,
    Trade,
)
from shared.market.instruments import Exchange, Instrument, Market, Subscription
from streaming.exchanges.binance import BinanceProtocol, stream_name
from streaming.exchanges.protocol import FetchSnapshot, Reconnect, RollOver, SendText

TRADE = {
    "e": "trade",
    "E": 1700000000001,
    "s": "BTCUSDT",
    "t": 7,
    "p": "10.5",
    "q": "2",
    "T": 1700000000000,
    "m": True,
}
AGGREGATE = {
    "e": "aggTrade",
    "E": 2,
    "a": 5,
    "p": "1",
    "q": "2",
    "f": 1,
    "l": 3,
    "T": 1,
    "m": False,
}
QUOTE = {"u": 9, "s": "BTCUSDT", "b": "1", "B": "2", "a": "3", "A": "4"}
MARK = {
    "E": 6,
    "s": "BTCUSDT",
    "p": "10.5",
    "i": "10.4",
    "P": "10.3",
    "r": "0.0001",
    "T": 28_800_000,
}
CANDLE = {
    "t": 60000, "T": 119999, "s": "BTCUSDT", "i": "1m", "f": -1, "L": -1, "o": "1", "c": "1", "h": "1", "l": "1",
    "v": "0", "n": 0, "x": True, "q": "0", "V": "0", "Q": "0", "B": "0",
}  # fmt: skip
SNAPSHOT = b'{"lastUpdateId":10,"bids":[["9","1"]],"asks":[["11","1"]]}'


def subscription(
    channel: str, market: Market = Market.SPOT, symbol: str = "BTCUSDT"
) -> Subscription:
    return Subscription(Instrument(Exchange.BINANCE, market, symbol, symbol), channel)


def opened(*channels: str, market: Market = Market.SPOT) -> BinanceProtocol:
    protocol = BinanceProtocol(market, "c", [subscription(item, market) for item in channels])
    protocol.open(0)
    protocol.commands()
    return protocol


def frame(channel: str, data: dict[str, object]) -> bytes:
    return json.dumps(
        {"stream": f"btcusdt@{channel}", "data": data}, separators=(",", ":")
    ).encode()


def delta(first: int, last: int, event_ms: int = 0, **more: object) -> bytes:
    data = {
        "e": "depthUpdate",
        "E": event_ms,
        "s": "BTCUSDT",
        "U": first,
        "u": last,
        "b": [],
        "a": [],
    }
    return frame("depth@100ms", data | more)


def only(events, kind):
    return [event for event in events if isinstance(event, kind)]


def states(events):
    return [event.state for event in only(events, StreamStatus)]


def test_opening_asks_for_every_stream_in_one_message():
    protocol = BinanceProtocol(Market.SPOT, "c", [subscription("trade"), subscription("aggTrade")])
    assert states(protocol.open(0)) == [StreamState.SUBSCRIBED] * 2
    assert protocol.has_commands
    (command,) = protocol.commands()
    assert isinstance(command, SendText)
    assert json.loads(command.text) == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@trade", "btcusdt@aggTrade"],
        "id": 1,
    }
    assert not protocol.has_commands
    acknowledged = protocol.receive(b'{"result":null,"id":1}', 0)
    assert states(acknowledged) == [StreamState.ACKNOWLEDGED] * 2
    assert [stream.life.is_healthy for stream in protocol.streams()] == [False, False]


def test_a_trade_keeps_its_decimals_its_times_and_the_takers_side():
    trade, first = opened("trade").receive(frame("trade", TRADE).decode(), 5)
    assert isinstance(trade, Trade)
    assert (trade.price, trade.quantity, trade.side) == ("10.5", "2", Side.SELL)
    assert trade.trade_time == 1_700_000_000_000_000
    assert trade.trade_id == "7"
    assert trade.origin.symbol == "BTCUSDT"
    assert states([first]) == [StreamState.FIRST_DATA]


def test_microsecond_times_are_told_by_their_size():
    (trade, _) = opened("trade").receive(frame("trade", TRADE | {"T": 1_700_000_000_000_123}), 5)
    assert trade.trade_time == 1_700_000_000_000_123


def test_an_aggregate_trade_names_the_fills_it_spans():
    (trade, _) = opened("aggTrade").receive(frame("aggTrade", AGGREGATE), 5)
    assert isinstance(trade, AggregateTrade)
    assert (trade.first_trade_id, trade.last_trade_id, trade.side) == ("1", "3", Side.BUY)


def test_a_spot_quote_has_no_event_time_and_a_futures_one_has():
    (quote, _) = opened("bookTicker").receive(frame("bookTicker", QUOTE), 5)
    assert isinstance(quote, BestQuote)
    assert quote.event_time is None
    protocol = opened("bookTicker", market=Market.UM)
    (quote, _) = protocol.receive(frame("bookTicker", QUOTE | {"E": 3, "T": 2}), 5)
    assert (quote.event_time, quote.transaction_time) == (3000, 2000)
    assert len(protocol.receive(frame("bookTicker", QUOTE), 6)) == 1


def test_a_mark_price_keeps_a_funding_below_zero_and_has_none_where_a_contract_expires():
    protocol = opened("markPrice@1s", market=Market.UM)
    (mark, _) = protocol.receive(frame("markPrice@1s", MARK | {"r": "-0.00010000"}), 5)
    assert isinstance(mark, MarkPrice)
    assert (mark.mark_price, mark.index_price, mark.settle_price) == ("10.5", "10.4", "10.3")
    assert (mark.funding_rate, mark.next_funding_time) == ("-0.00010000", 28_800_000_000)
    for rate in ("", "0.00000000"):
        (mark,) = protocol.receive(frame("markPrice@1s", MARK | {"r": rate, "T": 0}), 6)
        assert (mark.funding_rate, mark.next_funding_time) == (None, None)
    (mark,) = protocol.receive(frame("markPrice@1s", MARK | {"i": "0.00000000", "P": ""}), 6)
    assert (mark.mark_price, mark.index_price, mark.settle_price) == ("10.5", None, None)
    (mark,) = protocol.receive(frame("markPrice@1s", {"E": 7, "p": "10.5", "P": "10.3"}), 7)
    assert (mark.index_price, mark.settle_price, mark.funding_rate) == (None, "10.3", None)


def test_a_candle_without_trades_has_no_trade_ids():
    (kline, _) = opened("kline_1m").receive(
        frame("kline_1m", {"e": "kline", "E": 1, "k": CANDLE}), 5
    )
    assert isinstance(kline, Kline)
    assert (kline.first_trade_id, kline.is_closed, kline.open_time) == (None, True, 60_000_000)
    (kline, *_) = opened("kline_1m").receive(
        frame("kline_1m", {"e": "kline", "E": 1, "k": CANDLE | {"f": 4, "L": 5}}), 5
    )
    assert (kline.first_trade_id, kline.last_trade_id) == ("4", "5")


@pytest.mark.parametrize(
    ("channel", "data"),
    [
        ("trade", TRADE | {"p": "-1"}),
        ("trade", TRADE | {"q": "0"}),
        ("trade", TRADE | {"q": "NaN"}),
        ("trade", TRADE | {"q": "Infinity"}),
        ("trade", TRADE | {"p": "ten"}),
        ("trade", {key: value for key, value in TRADE.items() if key != "p"}),
        ("aggTrade", AGGREGATE | {"p": "0", "q": "0", "f": -1, "l": -1}),
        ("bookTicker", QUOTE | {"B": "-2"}),
        ("markPrice@1s", MARK | {"p": "0"}),
        ("markPrice@1s", MARK | {"i": "-1"}),
        ("markPrice@1s", MARK | {"P": "soon"}),
        ("markPrice@1s", MARK | {"r": "--1"}),
        ("markPrice@1s", MARK | {"r": "1e-4"}),
        ("kline_1m", {"e": "kline", "E": 1, "k": CANDLE | {"v": "-1"}}),
        ("depth@100ms", {"E": 0, "U": 1, "u": 1, "b": [["1", "-1"]], "a": []}),
    ],
)
def test_what_cannot_be_true_is_a_dead_letter_with_payload_and_reason(channel, data):
    (letter,) = opened(channel).receive(frame(channel, data), 5)
    assert isinstance(letter, DeadLetter)
    assert letter.reason
    assert json.loads(letter.payload)["data"].keys() == data.keys()


def test_a_futures_record_that_is_no_book_trade_may_have_no_size():
    protocol = opened("trade", market=Market.UM)
    (trade, _) = protocol.receive(frame("trade", TRADE | {"p": "0", "q": "0", "X": "NA"}), 5)
    assert trade.execution_type == "NA"


@pytest.mark.parametrize("data", [b"not json", b"\xff\xfe", b'{"stream":"nobody@trade","data":{}}'])
def test_a_frame_of_nothing_subscribed_is_a_dead_letter(data):
    (letter,) = opened("trade").receive(data, 5)
    assert isinstance(letter, DeadLetter)
    assert letter.origin.symbol == "-"


@pytest.mark.parametrize(
    "data",
    [b'{"code":2,"msg":"bad request"}', b'{"error":{"code":2,"msg":"bad request"},"id":1}'],
)
def test_a_refused_request_reconnects_in_both_shapes_of_errors(data):
    protocol = opened("trade")
    (letter,) = protocol.receive(data, 5)
    assert letter.reason == "bad request"
    assert protocol.commands() == [Reconnect("request refused: bad request")]


def test_a_frame_that_names_two_streams_is_a_dead_letter():
    protocol = opened("trade")
    whole = frame("trade", TRADE)
    assert isinstance(protocol.receive(whole, 5)[0], Trade)
    doubled = whole.replace(b',"data"', b',"stream":"ethusdt@trade","data"', 1)
    (letter,) = protocol.receive(doubled, 6)
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "also says that it is of ethusdt@trade"


@pytest.mark.parametrize(
    "data",
    [b'{"xstream":"btcusdt@trade","data":{"t":1}}', b'{"stream":null,"data":{}}', b"{}"],
)
def test_a_frame_that_is_neither_data_nor_an_answer_is_a_dead_letter(data):
    protocol = opened("trade")
    (letter,) = protocol.receive(data, 5)
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "neither a stream's data nor an answer to a request"
    assert protocol.commands() == []


@pytest.mark.parametrize(
    "data",
    [
        b'{"e":"serverShutdown","E":1}',
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown"}}',
    ],
)
def test_a_server_shutdown_rolls_over_and_is_no_error(data):
    protocol = opened("trade")
    assert protocol.receive(data, 5) == []
    assert protocol.commands() == [RollOver("serverShutdown", is_urgent=True)]


def test_a_jump_of_spot_trade_ids_is_a_gap_with_both_ids_also_over_a_reconnect():
    protocol = opened("trade")
    protocol.receive(frame("trade", TRADE), 5)
    assert states(protocol.receive(frame("trade", TRADE | {"t": 8}), 5)) == []
    assert states(protocol.close("cut", 6)) == [StreamState.BROKEN]
    protocol.open(7)
    events = protocol.receive(frame("trade", TRADE | {"t": 11}), 8)
    (gap,) = [event for event in only(events, StreamStatus) if event.state is StreamState.GAP]
    assert (gap.expected, gap.received, gap.origin.epoch) == (9, 11, 2)


def test_a_jump_of_futures_trade_ids_is_none():
    protocol = opened("trade", market=Market.UM)
    protocol.receive(frame("trade", TRADE), 5)
    assert states(protocol.receive(frame("trade", TRADE | {"t": 99}), 5)) == []


def test_a_book_is_fetched_at_its_first_delta_and_a_snapshot_told_at_sync_and_each_minute():
    protocol = opened("depth@100ms")
    assert only(protocol.receive(delta(9, 11), 5), BookSnapshot) == []
    (request,) = protocol.commands()
    assert isinstance(request, FetchSnapshot)
    assert request.path == "/api/v3/depth?symbol=BTCUSDT&limit=1000"
    assert states(protocol.receive_snapshot(request, SNAPSHOT, 6)) == [StreamState.RESYNCED]
    assert protocol.receive_snapshot(request, SNAPSHOT, 6) == []
    told = protocol.receive(delta(12, 13, 100, b=[["9.5", "2"]]), 7)
    (snapshot,) = only(told, BookSnapshot)
    assert (snapshot.last_update_id, snapshot.event_time) == (13, 100_000)
    assert snapshot.bids[0] == ("9.5", "2")
    assert only(protocol.receive(delta(14, 14, 59_999), 8), BookSnapshot) == []
    assert only(protocol.receive(delta(12, 13, 60_000), 8), BookSnapshot) == []
    assert len(only(protocol.receive(delta(15, 15, 60_000), 9), BookSnapshot)) == 1


def test_a_depth_gap_resets_that_book_and_asks_again_later_each_time():
    protocol = opened("depth@100ms")
    protocol.receive(delta(9, 11), 5)
    (first,) = protocol.commands()
    protocol.receive_snapshot(first, SNAPSHOT, 6)
    events = protocol.receive(delta(20, 21), 1_000)
    (gap,) = only(events, StreamStatus)
    assert (gap.state, gap.expected, gap.received) == (StreamState.GAP, 12, 20)
    assert len(only(events, BookDelta)) == 1
    (second,) = protocol.commands()
    assert second.not_before_ns == 1_000 + 500_000_000
    (late,) = protocol.receive_snapshot(second, SNAPSHOT, 2_000)
    assert late.state is StreamState.GAP
    (third,) = protocol.commands()
    assert third.not_before_ns == 2_000 + 1_000_000_000


def test_a_snapshot_that_fails_or_makes_no_sense_is_asked_for_again():
    protocol = opened("depth@100ms")
    protocol.receive(delta(9, 11), 5)
    (request,) = protocol.commands()
    protocol.snapshot_failed(request, 6)
    (request,) = protocol.commands()
    (letter,) = protocol.receive_snapshot(request, b"<html>", 7)
    assert isinstance(letter, DeadLetter)
    (request,) = protocol.commands()
    protocol.receive_snapshot(request, SNAPSHOT, 8)
    protocol.snapshot_failed(request, 9)
    assert protocol.commands() == []


def test_a_snapshot_for_what_is_no_longer_subscribed_is_ignored():
    protocol = opened("trade")
    request = FetchSnapshot(subscription("depth@100ms"), "", 0)
    assert protocol.receive_snapshot(request, SNAPSHOT, 5) == []
    protocol.snapshot_failed(request, 5)
    trades = FetchSnapshot(subscription("trade"), "", 0)
    assert protocol.receive_snapshot(trades, SNAPSHOT, 5) == []
    assert protocol.commands() == []


def test_a_changed_subscription_touches_only_what_differs():
    protocol = opened("trade", "aggTrade")
    protocol.receive(frame("trade", TRADE), 5)
    closed = protocol.subscribe([subscription("trade"), subscription("bookTicker")], 6)
    assert [(event.state, event.origin.channel) for event in closed] == [
        (StreamState.SUBSCRIBED, "bookTicker"),
        (StreamState.CLOSED, "aggTrade"),
    ]
    requests = [json.loads(command.text) for command in protocol.commands()]
    assert [(item["method"], item["params"]) for item in requests] == [
        ("SUBSCRIBE", ["btcusdt@bookTicker"]),
        ("UNSUBSCRIBE", ["btcusdt@aggTrade"]),
    ]
    assert [stream.life.state for stream in protocol.streams()] == [
        StreamState.FIRST_DATA,
        StreamState.SUBSCRIBED,
    ]
    assert protocol.receive(b'{"result":null,"id":3}', 7) == []


def test_letting_go_of_a_stream_asks_for_nothing_else():
    protocol = opened("trade", "aggTrade")
    protocol.subscribe([subscription("trade")], 6)
    (command,) = protocol.commands()
    assert json.loads(command.text)["method"] == "UNSUBSCRIBE"


def test_subscriptions_changed_while_closed_are_asked_for_at_the_next_opening():
    protocol = opened("trade")
    protocol.close("cut", 1)
    protocol.subscribe([subscription("aggTrade")], 2)
    assert protocol.commands() == []
    protocol.open(3)
    assert "btcusdt@aggTrade" in protocol.commands()[0].text


def test_stream_names_are_the_venues():
    assert stream_name(subscription("depth@100ms")) == "btcusdt@depth@100ms"


def test_a_channel_that_binance_does_not_have_is_refused():
    with pytest.raises(KeyError, match="moods"):
        BinanceProtocol(Market.SPOT, "c", [subscription("moods")])


SECOND = 10**9


def methods(protocol) -> list[str]:
    return [json.loads(item.text)["method"] for item in protocol.commands()]


def test_a_stream_that_was_acknowledged_and_never_delivers_is_named_asked_again_and_moved():
    protocol = opened("trade", "aggTrade")
    protocol.receive(b'{"result":null,"id":1}', 0)
    for second in range(1, 15):
        protocol.receive(frame("trade", TRADE | {"t": second}), second * SECOND)
        told = states(protocol.tick(second * SECOND))
        assert told == ([StreamState.LIVE] if second == 1 else [])
    named, again = protocol.tick(15 * SECOND)
    assert (named.state, named.origin.channel) == (StreamState.UNPROVED, "aggTrade")
    assert (again.state, again.origin.channel) == (StreamState.SUBSCRIBED, "aggTrade")
    assert again.reason == "again: no data for 15.0 s"
    assert methods(protocol) == ["UNSUBSCRIBE", "SUBSCRIBE"]
    assert protocol.tick(29 * SECOND) == []
    protocol.receive(frame("trade", TRADE | {"t": 15}), 30 * SECOND)
    protocol.tick(30 * SECOND)
    assert protocol.commands() == [RollOver("btcusdt@aggTrade stays silent")]


def test_a_socket_on_which_nothing_comes_is_replaced():
    protocol = opened("trade", "aggTrade")
    assert states(protocol.tick(15 * SECOND)) == [StreamState.UNPROVED] * 2
    assert protocol.commands() == [RollOver("every stream is silent")]


def test_a_closed_socket_is_not_looked_at():
    protocol = opened("trade")
    protocol.close("cut", 1)
    assert protocol.tick(99 * SECOND) == []


def successor(before, *channels, market=Market.SPOT):
    wanted = [subscription(item, market) for item in channels]
    protocol = BinanceProtocol(market, "c", wanted)
    protocol.open(0, beside=True, epoch=before.control_origin.epoch + 1)
    protocol.commands()
    return protocol


def agg(number: int) -> bytes:
    return frame("aggTrade", AGGREGATE | {"a": number})


def test_a_successor_goes_on_where_the_trades_of_the_other_ended():
    old = opened("aggTrade", "bookTicker")
    old.receive(agg(5), 1)
    new = successor(old, "aggTrade", "bookTicker")
    assert new.control_origin.epoch == 2
    assert new.adopt(old, 2) == []
    (gap,) = only(new.receive(agg(8), 3), StreamStatus)[1:]
    assert (gap.state, gap.expected, gap.received) == (StreamState.GAP, 6, 8)


def test_a_hole_between_two_connections_is_a_gap_and_an_overlap_is_none():
    old = opened("aggTrade")
    old.receive(agg(5), 1)
    late, early = successor(old, "aggTrade"), successor(old, "aggTrade")
    late.receive(agg(8), 2)
    (gap,) = late.adopt(old, 3)
    assert (gap.state, gap.expected, gap.received) == (StreamState.GAP, 6, 8)
    early.receive(agg(4), 2)
    assert early.adopt(old, 3) == []
    assert only(early.receive(agg(6), 3), StreamStatus) == []


def test_a_successor_takes_the_book_over_and_asks_for_none():
    old = opened("depth@100ms")
    old.receive(delta(9, 11), 5)
    old.receive_snapshot(old.commands()[0], SNAPSHOT, 6)
    old.receive(delta(12, 13, 100, b=[["9.5", "2"]]), 7)
    new = successor(old, "depth@100ms")
    assert only(new.receive(delta(12, 13, 100, b=[["9.5", "2"]]), 8), BookSnapshot) == []
    new.receive(delta(14, 15, 200, b=[["9.6", "3"]]), 9)
    assert new.commands() == []
    assert new.adopt(old, 10) == []
    (told,) = only(new.receive(delta(16, 16, 300), 11), BookSnapshot)
    assert told.bids[:2] == [("9.6", "3"), ("9.5", "2")]
    assert new.commands() == []


def test_a_book_that_does_not_join_the_others_is_fetched():
    old = opened("depth@100ms")
    old.receive(delta(9, 11), 5)
    old.receive_snapshot(old.commands()[0], SNAPSHOT, 6)
    new = successor(old, "depth@100ms")
    new.receive(delta(20, 21), 8)
    assert states(new.adopt(old, 10)) == [StreamState.GAP]
    assert isinstance(new.commands()[0], FetchSnapshot)


def test_a_book_that_the_other_did_not_have_is_fetched():
    old = opened("depth@100ms")
    new = successor(old, "depth@100ms")
    assert new.adopt(old, 1) == []
    assert new.commands() == [], "before its first delta a book waits"
    new = successor(old, "depth@100ms", "aggTrade")
    new.receive(delta(20, 21), 2)
    new.receive(agg(1), 2)
    assert new.adopt(old, 3) == []
    assert isinstance(new.commands()[0], FetchSnapshot)
    another = successor(opened("trade"), "depth@100ms")
    another.receive(delta(20, 21), 2)
    another.adopt(opened("trade"), 3)
    assert isinstance(another.commands()[0], FetchSnapshot)


def test_a_book_that_runs_out_of_known_levels_is_fetched_anew():
    protocol = opened("depth@100ms")
    protocol.receive(delta(9, 11), 5)
    levels = [[f"{2000 - number}", "1"] for number in range(1000)]
    body = json.dumps({"lastUpdateId": 10, "bids": levels, "asks": [["3000", "1"]]}).encode()
    protocol.receive_snapshot(protocol.commands()[0], body, 6)
    gone = [[f"{2000 - number}", "0"] for number in range(950)] + [["900", "7"]]
    (told,) = only(protocol.receive(delta(12, 13, 60_000, b=gone), 7), BookSnapshot)
    assert len(told.bids) == 50, "900 lies beyond the snapshot's reach"
    assert isinstance(protocol.commands()[0], FetchSnapshot)


def test_a_crossed_book_is_found_within_ten_seconds_and_fetched_anew():
    protocol = opened("depth@100ms")
    protocol.receive(delta(9, 11), 5)
    protocol.receive_snapshot(protocol.commands()[0], SNAPSHOT, 6)
    protocol.receive(delta(12, 12, 1000), 7)
    crossing = [["9999", "1"]]
    assert states(protocol.receive(delta(13, 13, 2000, b=crossing), 8)) == []
    (gap,) = only(protocol.receive(delta(14, 14, 10_000), 9), StreamStatus)
    assert (gap.state, gap.reason) == (StreamState.GAP, "crossed book")
    (request,) = protocol.commands()
    assert isinstance(request, FetchSnapshot)
    newer = json.dumps(json.loads(SNAPSHOT) | {"lastUpdateId": 14}).encode()
    protocol.receive_snapshot(request, newer, 10)
    assert len(only(protocol.receive(delta(15, 15, 10_100), 11), BookSnapshot)) == 1


def test_a_candle_with_a_negative_number_of_trades_is_refused():
    protocol = opened("kline_1m")
    (letter,) = protocol.receive(frame("kline_1m", {"E": 1, "k": CANDLE | {"n": -1}}), 1)
    assert isinstance(letter, DeadLetter)
    assert "-1 trades" in letter.reason


def test_a_successor_with_more_streams_than_the_other_asks_for_what_is_new():
    old, new = opened("aggTrade"), successor(opened("aggTrade"), "aggTrade", "depth@100ms")
    assert new.adopt(old, 1) == []
    assert new.commands() == []


def test_one_absurd_trade_id_does_not_blind_the_count_of_gaps():
    protocol = opened("aggTrade")
    protocol.receive(agg(5), 1)
    assert only(protocol.receive(agg(10**15), 2), StreamStatus) == []
    assert only(protocol.receive(agg(6), 3), StreamStatus) == []
    assert states(protocol.receive(agg(9), 4)) == [StreamState.GAP]


def test_a_jump_that_a_second_id_confirms_is_a_gap():
    protocol = opened("aggTrade")
    protocol.receive(agg(5), 1)
    protocol.receive(agg(10**15), 2)
    (gap,) = only(protocol.receive(agg(10**15 + 1), 3), StreamStatus)
    assert (gap.expected, gap.received) == (6, 10**15 + 1)


def test_a_successor_joins_where_the_other_has_come_to():
    old = opened("aggTrade", "depth@100ms", "bookTicker")
    old.receive(agg(5), 1)
    old.receive(delta(9, 11), 5)
    old.receive_snapshot(old.commands()[0], SNAPSHOT, 6)
    new = successor(old, "aggTrade", "depth@100ms", "bookTicker", "trade")
    assert new.joins(old), "nothing has come yet"
    new.receive(agg(8), 7)
    assert not new.joins(old)
    old.receive(agg(6), 8)
    old.receive(agg(7), 8)
    assert new.joins(old)
    new.receive(delta(15, 16), 9)
    assert not new.joins(old)
    old.receive(delta(12, 14), 9)
    assert new.joins(old)


def test_a_long_refused_frame_keeps_its_beginning():
    protocol = opened("trade")
    (letter,) = protocol.receive(frame("trade", {"x": "y" * 200_000}), 1)
    assert len(letter.payload) == 100_000
    assert "100000 of 2000" in letter.reason


def test_json_without_end_is_refused():
    protocol = opened("trade")
    deep = b'{"stream":"btcusdt@trade","data":' + b"[" * 100_000
    assert isinstance(protocol.receive(deep, 1)[0], DeadLetter)
    assert isinstance(protocol.receive(b"[" * 100_000, 1)[0], DeadLetter)


def test_a_closed_connections_streams_are_not_healthy():
    protocol = opened("trade")
    protocol.receive(frame("trade", TRADE), 1)
    protocol.close("cut", 2)
    (stream,) = protocol.streams()
    assert (stream.life.state, stream.life.is_healthy) == (StreamState.BROKEN, False)


def test_time_in_which_nothing_was_read_is_excused():
    protocol = opened("trade", "aggTrade")
    protocol.receive(frame("trade", TRADE), 1)
    protocol.tick(10 * SECOND)
    protocol.excuse(900 * SECOND)
    assert states(protocol.tick(901 * SECOND)) == []
