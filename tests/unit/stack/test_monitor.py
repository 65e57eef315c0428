from io import StringIO

import pytest
from rich.console import Console

from shared.symbol_manager import load_symbols
from stack.monitor import last_events, note_newest, render, traded_symbols

SYMBOLS = """
version: 1
exchanges:
  binance:
    spot:
      BTCUSDT: {}
      OFFUSDT: {enabled: false}
      BOOKUSDT: {channels: [depth@100ms]}
    um:
      BTCUSDT: {channels: [aggTrade]}
"""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"spot:X", b"oops"),
        (b"spot:X", b"\xff\xfe"),
        (b"spot:X", b"[1]"),
        (b"spot:X", b"{}"),
        (b"spot:X", b'{"received_ns":"soon"}'),
        (b"spot:X", b'{"received_ns":%d}' % 10**30),
        (b"spot:X", None),
        (b"\xff", b'{"received_ns":5}'),
    ],
)
def test_a_record_that_is_no_trade_is_left_out(key, value):
    newest = {"spot:BTCUSDT": 7}
    note_newest(newest, key, value)
    assert newest == {"spot:BTCUSDT": 7}


def test_the_newest_trade_counts_whatever_the_order():
    newest: dict[str, int] = {}
    for time_ns in (5, 9, 7):
        note_newest(newest, b"spot:BTCUSDT", b'{"a":1,"received_ns":%d}' % time_ns)
    assert newest == {"spot:BTCUSDT": 9}


def test_every_symbol_whose_trades_are_collected_is_listed(tmp_path):
    path = tmp_path / "symbols.yaml"
    path.write_text(SYMBOLS)
    configured = traded_symbols(load_symbols(path))
    assert configured == {"spot:BTCUSDT", "um:BTCUSDT"}
    rows = last_events({"spot:GONEUSDT": 10**9, "um:BTCUSDT": 2 * 10**9}, configured, 5 * 10**9)
    assert rows == [
        {
            "symbol": "spot:BTCUSDT",
            "last_trade_received": "none seen lately",
            "seconds_ago": None,
        },
        {
            "symbol": "spot:GONEUSDT",
            "last_trade_received": "1970-01-01 00:00:01+00:00",
            "seconds_ago": 4.0,
        },
        {
            "symbol": "um:BTCUSDT",
            "last_trade_received": "1970-01-01 00:00:02+00:00",
            "seconds_ago": 3.0,
        },
    ]
    parts = ("services", "lag", "materializations", "tables")
    shown = Console(file=StringIO(), record=True, width=120)
    shown.print(render({name: [] for name in parts} | {"last_events": rows, "faults": []}))
    text = shown.export_text()
    assert "none seen lately" in text
    assert "None" not in text
