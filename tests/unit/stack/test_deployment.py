from pathlib import Path

import pytest

from shared.settings import Settings
from stack.deployment import Deployment, Mode, environment, load, ports, symbols_file
from stack.errors import StackError


def test_an_offset_moves_every_port_and_leaves_none_behind(tmp_path):
    base = Settings()
    plain = environment(Deployment(str(tmp_path)), base)
    moved = environment(Deployment(str(tmp_path), port_offset=100), base)
    assert plain["CRYPTO_KAFKA__BOOTSTRAP_SERVERS"] == "127.0.0.1:9092"
    assert moved["CRYPTO_KAFKA__BOOTSTRAP_SERVERS"] == "127.0.0.1:9192"
    assert moved["CRYPTO_SPARK__REMOTE"] == "sc://127.0.0.1:15102"
    assert len({name for name in plain if plain[name] != moved[name]}) == 6


def test_only_a_demo_or_recording_leads_to_the_mock(tmp_path):
    live = environment(Deployment(str(tmp_path)), Settings())
    demo = environment(Deployment(str(tmp_path), mode=Mode.DEMO), Settings())
    assert "CRYPTO_BINANCE__SPOT_WS_URL" not in live
    assert demo["CRYPTO_BINANCE__SPOT_WS_URL"] == "ws://127.0.0.1:9470"
    assert demo["CRYPTO_BINANCE__UM_MARKET_WS_URL"] == "ws://127.0.0.1:9471/market"
    assert demo["CRYPTO_BINANCE__CM_WS_URL"] == "ws://127.0.0.1:9472"
    assert demo["CRYPTO_BINANCE__CM_REST_URL"] == "http://127.0.0.1:9472"
    assert {9470, 9471, 9472, 9479} <= ports(Settings(), Mode.DEMO).keys()
    assert 9470 not in ports(Settings(), Mode.LIVE)


def test_a_recording_brings_its_own_symbols_file(tmp_path):
    recording = Deployment(str(tmp_path), mode=Mode.RECORDING)
    assert symbols_file(recording, Settings()) == tmp_path / "run" / "symbols.yaml"
    live = symbols_file(Deployment(str(tmp_path)), Settings())
    assert live == Path("config/symbols.yaml").resolve()


def test_the_choices_are_found_again_in_the_data_folder(tmp_path):
    chosen = Deployment(str(tmp_path), 7, Mode.RECORDING, ("a.gz",), "10", rewind=True)
    chosen.save()
    assert load(tmp_path) == chosen
    assert chosen.log_dir == tmp_path / "logs"
    with pytest.raises(StackError, match="nothing was deployed"):
        load(tmp_path / "other")
