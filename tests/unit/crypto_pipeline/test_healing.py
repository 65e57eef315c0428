"""The command that heals, run for real as far as it comes without a broker."""

import pytest

from crypto_pipeline.assets import healing_assets
from crypto_pipeline.assets.healing_assets import heal_gaps
from crypto_pipeline.errors import HealingError
from crypto_pipeline.resources import LakehouseResource
from shared.market.instruments import Exchange

RANGE = {
    "exchange": Exchange.BINANCE.value,
    "market": "spot",
    "symbol": "NOSUCH",
    "channel": "trade",
    "first_id": 1,
    "last_id": 2,
}


def test_a_command_that_fails_says_why(tmp_path, monkeypatch):
    symbols = tmp_path / "symbols.yaml"
    symbols.write_text("version: 1\nexchanges:\n  binance:\n    spot:\n      BTCUSDT: {}\n")
    monkeypatch.setenv("CRYPTO_PATHS__SYMBOLS_FILE", str(symbols))
    said: list[str] = []
    with pytest.raises(HealingError) as caught:
        healing_assets._run([RANGE], 5, said.append)
    assert caught.value.code == 2
    assert any("binance spot NOSUCH is not in the symbols file" in line for line in said)


def test_without_an_open_gap_nothing_is_run(tmp_path, monkeypatch):
    symbols = tmp_path / "symbols.yaml"
    symbols.write_text("version: 1\nexchanges:\n  binance:\n    spot:\n      BTCUSDT: {}\n")
    monkeypatch.setenv("CRYPTO_PATHS__SYMBOLS_FILE", str(symbols))
    monkeypatch.setenv("CRYPTO_PATHS__DATA_DIR", str(tmp_path))
    done = heal_gaps(LakehouseResource(), pytest.fail)
    assert done.metadata["ranges"] == 0
