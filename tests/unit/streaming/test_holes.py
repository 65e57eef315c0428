import json
from datetime import UTC, date, datetime, timedelta

import pytest

from shared.errors import ConfigurationError
from shared.market.events import Source
from shared.symbol_manager import load_symbols
from streaming.holes import read_holes

RANGE = {
    "exchange": "binance",
    "market": "spot",
    "symbol": "BTCUSDT",
    "channel": "trade",
    "first_id": 5,
    "last_id": 9,
}
NOW = datetime(2026, 5, 10, 3, tzinfo=UTC)
OF_FUTURES = RANGE | {"market": "um", "channel": "aggTrade"}


@pytest.fixture
def symbols(tmp_path):
    path = tmp_path / "symbols.yaml"
    path.write_text(
        "version: 1\nexchanges:\n  binance:\n    spot:\n      BTCUSDT: {enabled: false}\n"
        "    um:\n      BTCUSDT: {}\n"
    )
    return load_symbols(path)


def read(symbols, *lines: str):
    return read_holes(lines, "ranges", symbols, NOW)


def test_a_line_becomes_a_hole_of_its_stream_even_of_a_disabled_symbol(symbols):
    (hole,) = read(symbols, json.dumps(RANGE), "\n")
    assert (hole.first_id, hole.last_id, hole.ids, hole.days) == (5, 9, 5, ())
    origin = hole.origin(Source.BINANCE_REST)
    assert (origin.symbol, origin.venue_symbol, origin.channel) == ("BTCUSDT", "BTCUSDT", "trade")
    assert origin.source is Source.BINANCE_REST


def days(symbols, before: timedelta, after: timedelta | None, **other: str) -> list[int]:
    """Return the days of May whose files are to be asked for a range between two times ago."""
    times = {
        "before_time": (NOW - before).isoformat(),
        "after_time": after and (NOW - after).isoformat(),
    }
    (hole,) = read(symbols, json.dumps(OF_FUTURES | times | other))
    assert all(day.replace(day=1) == date(2026, 5, 1) for day in hole.days)
    return [day.day for day in hole.days]


def test_trades_of_futures_that_rest_has_no_more_are_in_the_archive_of_their_days(symbols):
    hours = {number: timedelta(hours=number) for number in (1, 2, 46, 47, 48, 52, 96)}
    assert days(symbols, hours[96], hours[52]) == [6, 7]
    assert days(symbols, hours[52], hours[48]) == [7, 8]
    assert days(symbols, hours[48], hours[48]) == [8]
    assert days(symbols, hours[96], hours[1]) == [6, 7, 8, 9]
    assert days(symbols, hours[96], None) == [6, 7, 8, 9]
    assert days(symbols, hours[47], hours[46]) == []
    assert days(symbols, hours[96], hours[52], market="spot") == []
    assert days(symbols, hours[96], hours[52], channel="kline_1m") == []
    assert read(symbols, json.dumps(OF_FUTURES))[0].days == ()
    after = {"after_time": (NOW - hours[52]).isoformat()}
    (hole,) = read(symbols, json.dumps(OF_FUTURES | after))
    assert ([day.day for day in hole.days], hole.is_enclosed) == ([6, 7], True)


def test_a_range_is_enclosed_once_the_day_of_the_record_after_it_is_over(symbols):
    before = {"before_time": (NOW - timedelta(hours=96)).isoformat()}
    for after, is_enclosed in ((52, True), (4, True), (2, False)):
        times = before | {"after_time": (NOW - timedelta(hours=after)).isoformat()}
        (hole,) = read(symbols, json.dumps(OF_FUTURES | times))
        assert hole.is_enclosed is is_enclosed
    assert not read(symbols, json.dumps(OF_FUTURES | before))[0].is_enclosed


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "ranges, line 2: "),
        (json.dumps(RANGE | {"first_id": "5"}), "$.first_id"),
        (json.dumps(RANGE | {"market": "options"}), "$.market"),
        (json.dumps(RANGE | {"before_time": "2026-05-01T00:00:00"}), "$.before_time"),
        (json.dumps(RANGE | {"first_id": 10}), "first_id 10, last_id 9"),
        (json.dumps(RANGE | {"first_id": -1}), "first_id -1"),
        (json.dumps(RANGE | {"symbol": "ETHUSDT"}), "binance spot ETHUSDT is not in the symbols"),
    ],
)
def test_a_line_that_is_no_range_is_named(symbols, line, said):
    with pytest.raises(ConfigurationError) as caught:
        read(symbols, json.dumps(RANGE), line)
    assert "ranges, line 2: " in str(caught.value)
    assert said in str(caught.value)
