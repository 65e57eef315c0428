import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.market.events import AggregateTrade, DeadLetter, Kline, Origin, Side, Source, Trade
from shared.market.instruments import Exchange, Market
from shared.market.numbering import is_fetchable
from streaming.exchanges.binance_rest import (
    Outcome,
    TradesAnswer,
    is_final,
    read_trades,
    trades_call,
)


def origin(channel: str = "aggTrade", market: Market = Market.SPOT) -> Origin:
    return Origin(
        Exchange.BINANCE, market, "BTCUSDT", "BTCUSDT", channel, Source.BINANCE_REST, "c-0", 1
    )


# Rows in the form of the venue's pages.
AGGREGATE = {
    "a": 26129,
    "p": "0.01633102",
    "q": "4.70443515",
    "f": 27781,
    "l": 27782,
    "T": 1498793709153,
    "m": True,
    "M": True,
}
FILL = {
    "id": 28457,
    "price": "4.00000100",
    "qty": "12.00000000",
    "quoteQty": "48.000012",
    "time": 1499865549590,
    "isBuyerMaker": False,
    "isBestMatch": True,
}


def read(rows: list[object], first: int, last: int, channel: str = "aggTrade") -> TradesAnswer:
    source = origin(channel)
    answer = read_trades(trades_call(source, first, last), source, json.dumps(rows).encode(), 5)
    assert isinstance(answer, TradesAnswer)
    return answer


def aggregates(*numbers: int) -> list[object]:
    return [AGGREGATE | {"a": number} for number in numbers]


@pytest.mark.parametrize(
    ("market", "channel", "path", "weight"),
    [
        (Market.SPOT, "aggTrade", "/api/v3/aggTrades", 4),
        (Market.UM, "aggTrade", "/fapi/v1/aggTrades", 20),
        (Market.CM, "aggTrade", "/dapi/v1/aggTrades", 20),
        (Market.SPOT, "trade", "/api/v3/historicalTrades", 25),
    ],
)
def test_a_call_asks_from_the_first_id_for_as_many_rows_as_ids(market, channel, path, weight):
    call = trades_call(origin(channel, market), 101, 110)
    assert call.path == f"{path}?symbol=BTCUSDT&fromId=101&limit=10"
    assert (call.weight, call.first_id, call.last_id) == (weight, 101, 110)


CANDLE = [
    1499040000000,
    "0.01634790",
    "0.80000000",
    "0.01575800",
    "0.01577100",
    "148976.11427815",
    1499040059999,
    "2434.19055334",
    308,
    "1756.87402397",
    "28.46694368",
    "0",
]
MINUTE = 1499040000 // 60


@pytest.mark.parametrize(
    ("market", "path", "weight"),
    [
        (Market.SPOT, "/api/v3/klines", 2),
        (Market.UM, "/fapi/v1/klines", 5),
        (Market.CM, "/dapi/v1/klines", 5),
    ],
)
def test_candles_are_asked_for_by_their_open_times(market, path, weight):
    call = trades_call(origin("kline_1m", market), MINUTE, MINUTE + 2)
    times = "startTime=1499040000000&endTime=1499040120000"
    assert call.path == f"{path}?symbol=BTCUSDT&interval=1m&{times}&limit=3"
    assert call.weight == weight


def candles(*rows: list[object], received_ns: int = 1_600_000_000 * 10**9) -> TradesAnswer:
    source = origin("kline_1m")
    call = trades_call(source, MINUTE, MINUTE + 2)
    answer = read_trades(call, source, json.dumps(rows).encode(), received_ns)
    assert isinstance(answer, TradesAnswer)
    return answer


def test_a_row_of_klines_is_the_closed_candle_without_trade_ids():
    answer = candles(CANDLE)
    assert answer.outcomes == [Outcome(MINUTE, MINUTE, is_found=True)]
    (event,) = answer.events
    assert event == Kline(
        origin=origin("kline_1m"),
        received_ns=1_600_000_000 * 10**9,
        event_time=None,
        interval="1m",
        open_time=1499040000000000,
        close_time=1499040059999000,
        open="0.01634790",
        high="0.80000000",
        low="0.01575800",
        close="0.01577100",
        volume="148976.11427815",
        quote_volume="2434.19055334",
        trade_count=308,
        taker_buy_volume="1756.87402397",
        taker_buy_quote_volume="28.46694368",
        first_trade_id=None,
        last_trade_id=None,
        is_closed=True,
    )


def test_a_candle_that_is_open_yet_does_not_count():
    assert candles(CANDLE, received_ns=1499040059999 * 10**6) == TradesAnswer([], [])


def test_a_candle_that_cannot_be_is_a_dead_letter_of_its_own():
    answer = candles([*CANDLE[:8], -1, *CANDLE[9:]])
    (letter,) = answer.events
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "-1 trades cannot be"


def test_one_call_asks_for_a_thousand_ids_at_most():
    call = trades_call(origin(), 1, 5000)
    assert call.path.endswith("fromId=1&limit=1000")
    assert call.last_id == 1000


@pytest.mark.parametrize("market", Market)
@pytest.mark.parametrize(
    "channel", ["trade", "aggTrade", "depth@100ms", "bookTicker", "kline_1m", "kline_1M"]
)
def test_there_is_a_call_for_just_what_is_said_to_be_fetchable(market, channel):
    if is_fetchable(Exchange.BINANCE, market, channel):
        assert trades_call(origin(channel, market), 1, 2).last_id == 2
        return
    with pytest.raises(KeyError):
        trades_call(origin(channel, market), 1, 2)


def test_a_row_of_aggtrades_is_the_event_that_the_stream_would_have_sent():
    answer = read([AGGREGATE], 26129, 26129)
    assert answer.events == [
        AggregateTrade(
            origin=origin(),
            received_ns=5,
            event_time=None,
            trade_id="26129",
            price="0.01633102",
            quantity="4.70443515",
            side=Side.SELL,
            trade_time=1498793709153000,
            first_trade_id="27781",
            last_trade_id="27782",
        )
    ]
    assert str(answer.events[0].price) == "0.01633102"


def test_a_row_of_historical_trades_is_a_trade():
    answer = read([FILL], 28457, 28457, "trade")
    assert answer.events == [
        Trade(
            origin=origin("trade"),
            received_ns=5,
            event_time=None,
            trade_id="28457",
            price="4.00000100",
            quantity="12.00000000",
            side=Side.BUY,
            trade_time=1499865549590000,
        )
    ]
    assert answer.outcomes == [Outcome(28457, 28457, True)]


def test_ids_that_the_answer_passes_over_are_not_there_and_those_behind_it_may_yet_come():
    answer = read(aggregates(3, 4, 7, 8), 1, 10)
    assert [event.trade_id for event in answer.events] == ["3", "4", "7", "8"]
    assert answer.outcomes == [
        Outcome(1, 2, False),
        Outcome(3, 4, True),
        Outcome(5, 6, False),
        Outcome(7, 8, True),
    ]


def test_rows_beyond_the_last_id_are_not_taken_but_prove_what_is_missing():
    answer = read(aggregates(1, 7, 8, 9), 1, 4)
    assert [event.trade_id for event in answer.events] == ["1"]
    assert answer.outcomes == [Outcome(1, 1, True), Outcome(2, 4, False)]


def test_an_empty_answer_says_nothing_of_the_ids():
    assert read([], 1, 4) == TradesAnswer([], [])


def test_a_row_that_comes_twice_or_was_not_asked_for_is_published_once_or_not():
    answer = read(aggregates(1, 2, 3, 2), 2, 3)
    assert [event.trade_id for event in answer.events] == ["2", "3"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"p": "0", "q": "0", "f": -1, "l": -1}, "must be above 0"),
        ({"p": "NaN"}, "not only digits"),
    ],
)
def test_a_row_that_is_no_trade_is_a_dead_letter_in_its_place(fault, reason):
    bad = AGGREGATE | {"a": 2} | fault
    answer = read([*aggregates(1), bad, *aggregates(3)], 1, 3)
    assert [type(event) for event in answer.events] == [AggregateTrade, DeadLetter, AggregateTrade]
    letter = answer.events[1]
    assert json.loads(letter.payload) == bad
    assert reason in letter.reason
    # Nobody will ever hold that id: it must not be asked for again.
    assert answer.outcomes == [Outcome(1, 1, True), Outcome(2, 2, False), Outcome(3, 3, True)]


@pytest.mark.parametrize("row", [{"a": 2}, 7, AGGREGATE | {"a": "2"}])
def test_a_row_without_a_readable_id_leaves_its_id_missing(row):
    answer = read([*aggregates(1), row, *aggregates(3)], 1, 3)
    assert isinstance(answer.events[1], DeadLetter)
    assert answer.outcomes == [Outcome(1, 1, True), Outcome(2, 2, False), Outcome(3, 3, True)]


@pytest.mark.parametrize("body", [b"<html>", b'{"code":0}', b"", b"\xff", b"[{]"])
def test_a_body_that_is_no_list_of_rows_is_one_dead_letter(body):
    letter = read_trades(trades_call(origin(), 1, 2), origin(), body, 5)
    assert isinstance(letter, DeadLetter)
    assert letter.payload == body.decode(errors="backslashreplace")
    assert letter.reason.startswith("/api/v3/aggTrades")


@given(st.integers(1, 30), st.integers(0, 12), st.sets(st.integers(0, 40)))
def test_outcomes_cover_each_id_up_to_the_newest_row_once(first, more, numbers):
    last = first + more
    answer = read(aggregates(*sorted(number for number in numbers if number >= first)), first, last)
    told = [
        (number, outcome.is_found)
        for outcome in answer.outcomes
        for number in range(outcome.first_id, outcome.last_id + 1)
    ]
    newest = max((number for number in numbers if number >= first), default=first - 1)
    expected = range(first, min(last, newest) + 1)
    assert told == [(number, number in numbers) for number in expected]


def test_only_an_answer_about_the_call_itself_is_final():
    assert [status for status in (400, 401, 404) if not is_final(status)] == []
    assert [status for status in (None, 403, 418, 429, 451, 500, 503) if is_final(status)] == []
