import json

import pytest

from shared.errors import ConfigurationError
from shared.market.events import Source
from shared.symbol_manager import load_symbols
from streaming.heal import read_holes

RANGE = {
    "exchange": "binance",
    "market": "spot",
    "symbol": "BTCUSDT",
    "channel": "trade",
    "first_id": 5,
    "last_id": 9,
}


@pytest.fixture
def symbols(tmp_path):
    path = tmp_path / "symbols.yaml"
    path.write_text(
        "version: 1\nexchanges:\n  binance:\n    spot:\n      BTCUSDT: {enabled: false}\n"
    )
    return load_symbols(path)


def read(symbols, *lines: str):
    return read_holes(lines, "ranges", symbols)


def test_a_line_becomes_a_hole_of_its_stream_even_of_a_disabled_symbol(symbols):
    (hole,) = read(symbols, json.dumps(RANGE), "\n")
    assert (hole.first_id, hole.last_id) == (5, 9)
    assert (hole.origin.symbol, hole.origin.venue_symbol) == ("BTCUSDT", "BTCUSDT")
    assert (hole.origin.channel, hole.origin.source) == ("trade", Source.BINANCE_REST)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "ranges, line 2: "),
        (json.dumps(RANGE | {"first_id": "5"}), "$.first_id"),
        (json.dumps(RANGE | {"market": "options"}), "$.market"),
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
