import pytest

from shared.errors import ConfigurationError
from shared.market.instruments import Exchange, Market
from shared.symbol_manager import DEFAULT_CHANNELS, SymbolFile, load_symbols

GOOD = """\
# kept
version: 1
exchanges:
  binance:
    spot:
      ETHUSDT:
        enabled: false  # why
        channels: [trade]
      BTCUSDT: {}
    um:
      BTCUSDT:
        venue_symbol: BTCUSDT_250926
        channels: [depth@100ms, kline_1m]
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "symbols.yaml"
    file.write_text(GOOD)
    return file


def test_only_enabled_symbols_are_subscribed_and_all_are_known(path):
    book = load_symbols(path)
    wanted = book.subscriptions(Exchange.BINANCE)
    assert {item.instrument.symbol for item in wanted} == {"BTCUSDT"}
    spot = [item.channel for item in wanted if item.instrument.market is Market.SPOT]
    assert spot == list(DEFAULT_CHANNELS[Market.SPOT])
    assert [item.venue_symbol for item in book.instruments()][-1] == "BTCUSDT_250926"
    assert len(book.instruments()) == 3
    assert book.exchanges() == (Exchange.BINANCE,)
    assert book.subscriptions(Exchange.OKX) == ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[]", "the file is not a mapping"),
        ("version: 2\nexchanges: {}", "version: must be 1"),
        ("version: 1\nexchanges: []", "exchanges: must be a mapping"),
        ("version: 1\nexchanges: {}\nextra: 1", "unknown key 'extra'"),
        ("version: 1\nexchanges: {kraken: {}}", "'kraken' is none of"),
        ("version: 1\nexchanges: {binance: {margin: {}}}", "'margin' is none of"),
        ("version: 1\nexchanges: {binance: {spot: {'../x': {}}}}", "not a symbol"),
        ("version: 1\nexchanges: {binance: {spot: {A: {enabled: maybe}}}}", "A.enabled"),
        ("version: 1\nexchanges: {binance: {spot: {A: {speed: 1}}}}", "unknown key 'speed'"),
        ("version: 1\nexchanges: {binance: {spot: {A: {channels: []}}}}", "at least one"),
        (
            "version: 1\nexchanges: {binance: {spot: {A: {channels: [moods]}}}}",
            "'moods' is no channel",
        ),
        ("version: 1\nexchanges: {binance: {spot: {A: {channels: [trade, trade]}}}}", "twice"),
        (
            "version: 1\nexchanges: {binance: {spot: {A: {channels: [markPrice@1s]}}}}",
            "'markPrice@1s' is told of futures only",
        ),
        ("version: 1\nexchanges: {binance: {spot: {A: {venue_symbol: 'a/b'}}}}", "A.venue_symbol"),
        (
            "version: 1\nexchanges: {binance: {cm: {XBTUSD: {venue_symbol: BTCUSD_PERP}}}}",
            "worth 100 USD, under this name they would be counted as 10",
        ),
        ("version: 1\nexchanges: {kraken: {spot: {A: {}}}}", "'kraken' is none of"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_fault_is_named_with_its_place(path, text, named):
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"symbols\.yaml") as caught:
        load_symbols(path)
    assert named in str(caught.value)


def test_futures_without_a_list_of_channels_bring_mark_prices_and_no_single_trades(path):
    path.write_text("version: 1\nexchanges: {binance: {um: {A: {}}, cm: {B: {channels: [trade]}}}}")
    wanted = load_symbols(path).subscriptions(Exchange.BINANCE)
    channels = {w.channel for w in wanted if w.instrument.market is Market.UM}
    assert "markPrice@1s" in channels
    assert "trade" not in channels
    assert [w.channel for w in wanted if w.instrument.market is Market.CM] == ["trade"]


def test_every_fault_is_named_at_once(path):
    path.write_text("version: 3\nexchanges: {binance: {spot: {A: {enabled: 1, channels: [x]}}}}")
    with pytest.raises(ConfigurationError) as caught:
        load_symbols(path)
    assert all(part in str(caught.value) for part in ("version", "A.enabled", "A.channels"))


def test_a_missing_file_names_the_setting(tmp_path):
    with pytest.raises(ConfigurationError, match="CRYPTO_PATHS__SYMBOLS_FILE"):
        load_symbols(tmp_path / "none.yaml")


def test_an_edit_keeps_comments_order_and_mode(path):
    path.chmod(0o640)
    file = SymbolFile(path)
    file.put(Exchange.BINANCE, Market.SPOT, "SOLUSDT", {"enabled": True, "channels": ["trade"]})
    file.put(Exchange.BINANCE, Market.SPOT, "ETHUSDT", {"enabled": True})
    file.save()
    text = path.read_text()
    assert text.startswith("# kept\n")
    assert "# why" in text
    assert text.index("ETHUSDT") < text.index("BTCUSDT") < text.index("SOLUSDT")
    assert path.stat().st_mode & 0o777 == 0o640
    assert len(load_symbols(path).instruments()) == 4
    assert [item.name for item in path.parent.iterdir()] == ["symbols.yaml"]


def test_removing_the_last_symbol_of_a_market_removes_the_market(path):
    file = SymbolFile(path)
    file.remove(Exchange.BINANCE, Market.UM, "BTCUSDT")
    assert file.symbol(Exchange.BINANCE, Market.UM, "BTCUSDT") is None
    file.save()
    assert "um:" not in path.read_text()


def test_an_edit_that_would_break_the_file_leaves_it_as_it_was(path):
    file = SymbolFile(path)
    file.put(Exchange.BINANCE, Market.SPOT, "BTCUSDT", {"channels": ["moods"]})
    with pytest.raises(ConfigurationError):
        file.save()
    assert path.read_text() == GOOD
