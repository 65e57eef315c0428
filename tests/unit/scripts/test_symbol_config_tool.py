import importlib.util
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from shared.market.instruments import Exchange
from shared.symbol_manager import load_symbols

REPO = Path(__file__).parents[3]
FILE = "# kept\nversion: 1\nexchanges:\n  binance:\n    spot:\n      BTCUSDT:\n        channels: [trade]\n"


def load_script(name: str):
    spec = importlib.util.spec_from_file_location(name, REPO / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


TOOL = load_script("symbol_config_tool")


LISTED = [
    {"symbol": "ETHUSDT", "contractSize": 1},
    {"symbol": "ETHUSD_PERP", "contractSize": 10},
    {"symbol": "XRPUSD_PERP", "contractSize": 5},
    {"symbol": "ADAUSD_PERP"},
]


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "symbols.yaml"
    file.write_text(FILE)
    return file


@pytest.fixture
def venue(monkeypatch):
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"symbols": LISTED}).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for market in ("SPOT", "UM", "CM"):
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv(f"CRYPTO_BINANCE__{market}_REST_URL", url)
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def run(monkeypatch, path, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["symbol_config_tool.py", "--file", str(path), *arguments])
    with pytest.raises(SystemExit) as left:
        TOOL.main()
    return int(left.value.code or 0)


def test_a_symbol_that_the_venue_lists_is_added_and_comments_stay(monkeypatch, path, venue):
    assert (
        run(monkeypatch, path, "add", "binance", "spot", "ETHUSDT", "--channels", "trade,kline_1m")
        == 0
    )
    assert path.read_text().startswith("# kept")
    assert len(load_symbols(path).subscriptions(Exchange.BINANCE)) == 3


def test_an_unknown_symbol_is_refused_with_what_was_perhaps_meant(monkeypatch, path, venue, capsys):
    assert run(monkeypatch, path, "add", "binance", "spot", "ETHUSTD") == 2
    assert "did you mean ETHUSDT" in capsys.readouterr().err
    assert path.read_text() == FILE


def test_a_contract_of_another_size_than_the_lake_counts_is_refused(
    monkeypatch, path, venue, capsys
):
    assert run(monkeypatch, path, "add", "binance", "cm", "ETHUSD_PERP") == 0
    assert run(monkeypatch, path, "add", "binance", "um", "ETHUSDT") == 0
    before = path.read_text()
    for symbol, size in (("XRPUSD_PERP", "5"), ("ADAUSD_PERP", "no size")):
        assert run(monkeypatch, path, "add", "binance", "cm", symbol) == 2
        assert f"{symbol} as a contract of 10 USD" in (error := capsys.readouterr().err)
        assert f"but of {size}" in error
    assert path.read_text() == before


def test_each_market_is_asked_once_and_every_unlisted_symbol_named(
    monkeypatch, path, venue, capsys
):
    for market, symbol in (("spot", "ETHUSDT"), ("um", "XRPUSDT"), ("cm", "BTCUSD_PERP")):
        assert run(monkeypatch, path, "add", "binance", market, symbol, "--offline") == 0
    assert run(monkeypatch, path, "validate") == 2
    error = capsys.readouterr().err
    assert all(name in error for name in ("BTCUSDT", "XRPUSDT", "BTCUSD_PERP"))
    assert sorted(venue) == [
        "/api/v3/exchangeInfo",
        "/dapi/v1/exchangeInfo",
        "/fapi/v1/exchangeInfo",
    ]


def test_a_venue_that_is_away_is_named_and_offline_goes_on_and_says_so(monkeypatch, path, capsys):
    monkeypatch.setenv("CRYPTO_BINANCE__SPOT_REST_URL", "http://127.0.0.1:1")
    assert run(monkeypatch, path, "add", "binance", "spot", "ETHUSDT") == 2
    assert "--offline" in capsys.readouterr().err
    assert run(monkeypatch, path, "add", "binance", "spot", "ETHUSDT", "--offline") == 0
    assert "not asked" in capsys.readouterr().out
    assert run(monkeypatch, path, "validate", "--offline") == 0
    assert run(monkeypatch, path, "validate") == 2


def test_symbols_are_listed_shown_changed_and_removed(monkeypatch, path, capsys):
    assert run(monkeypatch, path, "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["symbol"] == "BTCUSDT"
    assert run(monkeypatch, path, "list") == 0
    assert run(monkeypatch, path, "disable", "binance", "spot", "BTCUSDT") == 0
    assert load_symbols(path).subscriptions(Exchange.BINANCE) == ()
    assert run(monkeypatch, path, "enable", "binance", "spot", "BTCUSDT") == 0
    assert (
        run(monkeypatch, path, "set", "binance", "spot", "BTCUSDT", "--channels", "bookTicker") == 0
    )
    capsys.readouterr()
    assert run(monkeypatch, path, "show", "binance", "spot", "BTCUSDT") == 0
    assert json.loads(capsys.readouterr().out)["channels"] == ["bookTicker"]
    assert run(monkeypatch, path, "remove", "binance", "spot", "BTCUSDT") == 0
    assert run(monkeypatch, path, "show", "binance", "spot", "BTCUSDT") == 2


def test_a_symbol_is_not_added_twice_and_a_bad_channel_changes_nothing(monkeypatch, path, capsys):
    assert run(monkeypatch, path, "add", "binance", "spot", "BTCUSDT", "--offline") == 2
    assert "listed already" in capsys.readouterr().err
    before = path.read_text()
    assert run(monkeypatch, path, "set", "binance", "spot", "BTCUSDT", "--channels", "moods") == 2
    assert path.read_text() == before


def test_a_difference_is_shown_and_is_the_exit_code(monkeypatch, path, tmp_path, capsys):
    other = tmp_path / "other.yaml"
    other.write_text(FILE)
    assert run(monkeypatch, path, "diff", str(other)) == 0
    run(monkeypatch, path, "disable", "binance", "spot", "BTCUSDT")
    assert run(monkeypatch, path, "diff", str(other)) == 1
    assert "+        enabled: false" in capsys.readouterr().out
    assert run(monkeypatch, path, "diff") == 2, "a file without a committed version"
