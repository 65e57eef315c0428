from datetime import UTC, date, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.market.events import AggregateTrade, DeadLetter, Event, Kline, Side, Source, Trade
from shared.market.instruments import Exchange, Instrument, Market
from streaming.exchanges.binance_archive import (
    ArchiveDay,
    UnknownColumnsError,
    archive_origin,
    file_path,
    is_archived,
)

DAY = date(2019, 10, 11)
DAY_MS = int(datetime(2019, 10, 11, tzinfo=UTC).timestamp() * 1000)
FUTURES_NAMES = (
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
)


def instrument(market: Market = Market.SPOT) -> Instrument:
    return Instrument(Exchange.BINANCE, market, "XRPETH", "XRPETH")


def day_of(channel: str = "aggTrade", market: Market = Market.SPOT) -> ArchiveDay:
    return ArchiveDay(archive_origin(instrument(market), channel), DAY, 7)


def aggregate(number: int, time: int = DAY_MS + 5, price: str = "0.00141342") -> str:
    return f"{number},{price},23.00000000,{number * 2},{number * 2 + 1},{time},True,True"


def read(day: ArchiveDay, *lines: str) -> list[Event]:
    return [*day.feed("".join(f"{line}\n" for line in lines).encode()), *day.finish()]


@pytest.mark.parametrize(
    ("market", "channel", "path"),
    [
        (Market.SPOT, "aggTrade", "spot/daily/aggTrades/XRPETH/XRPETH-aggTrades-2019-10-11.zip"),
        (Market.UM, "trade", "futures/um/daily/trades/XRPETH/XRPETH-trades-2019-10-11.zip"),
        (Market.CM, "kline_1m", "futures/cm/daily/klines/XRPETH/1m/XRPETH-1m-2019-10-11.zip"),
    ],
)
def test_a_file_lies_where_the_venue_puts_it(market, channel, path):
    assert file_path(instrument(market), channel, DAY) == f"/data/{path}"


@pytest.mark.parametrize("channel", ["depth@100ms", "bookTicker", "kline_1w", "kline_1M"])
def test_what_has_no_day_files_is_known(channel):
    assert not is_archived(channel)
    with pytest.raises(KeyError):
        file_path(instrument(), channel, DAY)


def test_a_spot_line_becomes_an_aggregate_trade_without_a_time_of_sending():
    day = day_of()
    (event,) = read(day, aggregate(13519807))
    assert event == AggregateTrade(
        origin=archive_origin(instrument(), "aggTrade"),
        received_ns=7,
        event_time=None,
        trade_id="13519807",
        price="0.00141342",
        quantity="23.00000000",
        side=Side.SELL,
        trade_time=(DAY_MS + 5) * 1000,
        first_trade_id="27039614",
        last_trade_id="27039615",
    )
    assert event.origin.source is Source.BINANCE_ARCHIVE
    assert day.summary.units == ["ms"]


def test_microseconds_are_told_by_their_size_and_named():
    day = day_of()
    first, second = read(day, aggregate(1, DAY_MS), aggregate(2, DAY_MS * 1000 + 1))
    assert (first.trade_time, second.trade_time) == (DAY_MS * 1000, DAY_MS * 1000 + 1)
    assert day.summary.units == ["ms", "µs"]


def test_a_futures_file_names_its_columns_and_writes_flags_small():
    day = day_of(market=Market.UM)
    (event,) = read(day, FUTURES_NAMES, f"1,2.50,1,3,4,{DAY_MS},false")
    assert (event.price, event.side) == ("2.50", Side.BUY)
    assert day.summary.bad_lines == 0


def test_unknown_columns_refuse_the_file_before_any_event():
    with pytest.raises(UnknownColumnsError, match="quantity,price"):
        read(day_of(), "agg_trade_id,quantity,price", aggregate(1))


@pytest.mark.parametrize(
    ("market", "line"),
    [
        (Market.SPOT, f"5,1.5,2,3.0,{DAY_MS},True,True"),
        (Market.UM, f"5,1.5,2,3.0,{DAY_MS},true"),
    ],
)
def test_single_trades_are_read_in_every_market(market, line):
    day = day_of("trade", market)
    (event,) = read(day, line)
    assert isinstance(event, Trade)
    assert (event.trade_id, event.price, event.quantity) == ("5", "1.5", "2")
    assert (event.side, event.execution_type) == (Side.SELL, None)


def candle(minute: int) -> str:
    begin = DAY_MS + minute * 60_000
    return f"{begin},1,3,0.5,2,10,{begin + 59_999},15.5,4,6,9.5,0"


def test_a_candle_is_closed_and_knows_its_interval():
    day = day_of("kline_1m", Market.UM)
    names = (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
        "taker_buy_quote_volume,ignore"
    )
    (event,) = read(day, names, candle(3))
    assert isinstance(event, Kline)
    assert (event.interval, event.is_closed, event.event_time) == ("1m", True, None)
    assert event.open_time == (DAY_MS + 180_000) * 1000
    assert event.close_time == (DAY_MS + 239_999) * 1000
    assert (event.open, event.high, event.low, event.close) == ("1", "3", "0.5", "2")
    assert (event.trade_count, event.taker_buy_quote_volume) == (4, "9.5")
    assert (event.first_trade_id, event.last_trade_id) == (None, None)


def test_missing_minutes_are_counted_as_missing_ids_are():
    day = day_of("kline_1m")
    read(day, candle(0), candle(1), candle(4))
    assert day.summary.missing == 2


def test_missing_ids_are_counted_and_the_first_ranges_named():
    day = day_of()
    read(day, *(aggregate(number) for number in (10, 11, 14, 20, 30, 40, 50, 60)))
    assert day.summary.missing == 2 + 5 + 4 * 9
    assert day.summary.missing_ranges[:2] == [(12, 13), (15, 19)]
    assert len(day.summary.missing_ranges) == 5
    assert (day.summary.first_id, day.summary.last_id) == (10, 60)


def test_ids_of_single_futures_trades_may_jump():
    day = day_of("trade", Market.UM)
    read(day, f"5,1,2,2,{DAY_MS},true", f"9,1,2,2,{DAY_MS},true")
    assert day.summary.missing is None
    assert day.summary.missing_ranges == []


def test_rows_out_of_order_are_published_and_counted():
    day = day_of()
    events = read(day, aggregate(1), aggregate(3), aggregate(2), aggregate(4))
    assert [event.trade_id for event in events] == ["1", "3", "2", "4"]
    assert (day.summary.unsorted, day.summary.missing) == (1, 0)


def test_a_line_that_stands_twice_in_a_row_is_only_counted():
    day = day_of()
    assert len(read(day, aggregate(1), aggregate(1), aggregate(2))) == 2
    assert (day.summary.repeated, day.summary.bad_lines, day.summary.rows) == (1, 0, 2)


def test_an_id_that_comes_again_with_other_values_is_a_dead_letter():
    day = day_of()
    events = read(day, aggregate(1), aggregate(2), aggregate(1, price="0.5"))
    assert isinstance(events[-1], DeadLetter)
    assert events[-1].reason == "archive of 2019-10-11: id 1 stands twice"
    assert events[-1].payload == aggregate(1, price="0.5")
    assert (day.summary.repeated, day.summary.bad_lines, day.summary.rows) == (1, 1, 2)


def test_invalidated_rows_are_no_trades_and_no_holes():
    day = day_of()
    invalid = f"2,0.00000000,0.00000000,-1,-1,{DAY_MS},True,True"
    events = read(day, aggregate(1), invalid, aggregate(3))
    assert [event.trade_id for event in events] == ["1", "3"]
    assert (day.summary.invalidated, day.summary.missing, day.summary.bad_lines) == (1, 0, 0)


def test_an_invalidated_row_among_bad_lines_is_still_none_of_them():
    day = day_of()
    (letter,) = read(day, f"2,0,0,-1,-1,{DAY_MS},True,True", "nonsense")
    assert letter.payload == "nonsense"
    assert (day.summary.invalidated, day.summary.bad_lines) == (1, 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "not its columns"),
        ("", "not its columns"),
        (f"2,1e5,1,3,4,{DAY_MS},True,True", "not its columns"),
        (f"2,1,1,3,4,{DAY_MS},maybe,True", "not its columns"),
        (f"2,0,1,3,4,{DAY_MS},True,True", "price 0 and quantity 1 must be above 0"),
        (f"2,1,1,3,4,{DAY_MS - 1},True,True", f"time {DAY_MS - 1} is not of 2019-10-11"),
        (f"2,1,1,3,4,{DAY_MS + 86_400_000},True", "is not of 2019-10-11"),
    ],
)
def test_a_bad_line_is_a_dead_letter_and_the_rest_goes_on(line, reason):
    day = day_of()
    first, letter, last = read(day, aggregate(1), line, aggregate(3))
    assert (first.trade_id, last.trade_id) == ("1", "3")
    assert isinstance(letter, DeadLetter)
    assert reason in letter.reason
    assert letter.payload == line
    assert day.summary.bad_lines == 1


def test_bytes_that_are_no_text_are_kept_readable():
    day = day_of()
    (letter,) = day.feed(b"\xff\n")
    assert letter.payload == "\\xff"


@example("\u0640".encode(), 1)
@given(st.binary(max_size=300), st.integers(min_value=1, max_value=40))
def test_no_bytes_raise_but_unknown_columns(junk, size):
    day = day_of()
    try:
        for start in range(0, len(junk), size):
            day.feed(junk[start : start + size])
        day.finish()
    except UnknownColumnsError:
        assert junk[:1].isalpha()


@given(st.integers(min_value=1, max_value=100))
def test_pieces_of_any_size_give_the_same_events(size):
    text = "\r\n".join(aggregate(number) for number in range(1, 6)).encode()
    day = day_of()
    events = [
        event
        for start in range(0, len(text), size)
        for event in day.feed(text[start : start + size])
    ]
    events += day.finish()
    assert [event.trade_id for event in events] == ["1", "2", "3", "4", "5"]
    assert day.finish() == []


def test_an_empty_file_has_no_ids():
    summary = day_of().summary
    assert (summary.rows, summary.first_id, summary.last_id, summary.missing) == (0, None, None, 0)
