import pytest

from crypto_pipeline.resources import LakehouseResource
from shared.errors import ConfigurationError

BTC = "version: 1\nexchanges: {binance: {spot: {BTCUSDT: {}}}}\n"
BOTH = "version: 1\nexchanges: {binance: {spot: {BTCUSDT: {}, ETHUSDT: {}}}}\n"


@pytest.fixture
def path(tmp_path, monkeypatch):
    path = tmp_path / "symbols.yaml"
    monkeypatch.setenv("CRYPTO_PATHS__SYMBOLS_FILE", str(path))
    return path


def test_a_symbol_that_is_added_during_a_run_is_known_from_then_on(path):
    path.write_text(BTC)
    lakehouse = LakehouseResource()
    assert [item.symbol for item in lakehouse.instruments] == ["BTCUSDT"]
    path.write_text(BOTH)
    assert [item.symbol for item in lakehouse.instruments] == ["BTCUSDT", "ETHUSDT"]


def test_a_file_that_stays_as_it_is_is_read_once(path):
    path.write_text(BTC)
    lakehouse = LakehouseResource()
    assert lakehouse.symbols is lakehouse.symbols


def test_a_file_that_is_not_there_is_named(path):
    with pytest.raises(ConfigurationError, match=r"symbols\.yaml"):
        _ = LakehouseResource().instruments
