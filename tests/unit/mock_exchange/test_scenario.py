import sys
from pathlib import Path

import pytest

from mock_exchange.__main__ import main
from mock_exchange.fault_kinds import AnyFault
from mock_exchange.scenario import load_scenario
from shared.errors import ConfigurationError
from shared.market.instruments import Exchange, Market
from shared.symbol_manager import DEFAULT_CHANNELS, load_symbols

EXAMPLE = Path(__file__).parents[3] / "config" / "scenario.example.yaml"
GUIDE = Path(__file__).parents[3] / "docs" / "mock_exchange.md"


def test_the_example_is_a_scenario():
    times = [fault.at_s for fault in load_scenario(EXAMPLE)]
    assert times == sorted(times)
    assert len(times) > 10


def test_the_guide_names_every_kind_and_field():
    rows = {
        row.split("`")[1]: row
        for row in GUIDE.read_text().splitlines()
        if row.startswith("| `") and not row.startswith(("| `GET", "| `POST", "| `DELETE"))
    }
    kinds = {kind.__struct_config__.tag: kind for kind in AnyFault.__args__}
    assert rows.keys() == kinds.keys()
    common = {"at_s", "market", "connection"}
    for tag, kind in kinds.items():
        named = {name for name in kind.__struct_fields__ if f"`{name}`" in rows[tag]}
        assert named == set(kind.__struct_fields__) - common


def test_json_is_taken_as_yaml_is(tmp_path):
    file = tmp_path / "s.json"
    file.write_text(
        '[{"at_s": 12.5, "kind": "drop", "market": "spot", "streams": "btcusdt@depth*"}]'
    )
    (fault,) = load_scenario(file)
    assert (fault.at_s, fault.market, fault.streams) == (12.5, "spot", "btcusdt@depth*")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            b"- {kind: drop}\n- {kind: skip, count: x}",
            "entry 2: Expected `int`, got `str` - at `$.count`",
        ),
        (b"- kind: [", "is not YAML"),
        (b"", "entry 1: Expected `object`, got `null`"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_bad_file_is_one_clear_line_and_exit_2(tmp_path, monkeypatch, capsys, content, problem):
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    monkeypatch.setattr(sys, "argv", ["mock_exchange", "simulate", "--scenario", str(file)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{file}: ")
    assert problem in line


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(ConfigurationError, match=r"cannot be read .*No such file"):
        load_scenario(tmp_path / "none.yaml")


def test_a_symbol_that_is_not_simulated_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mock_exchange", "simulate", "--symbols", "BTCUSDT,NOUSDT"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("--symbols: NOUSDT is not simulated")


def test_listings_print_the_symbols_file_of_a_simulation(tmp_path, monkeypatch, capsys):
    arguments = ["mock_exchange", "listings", "--symbols", "BTCUSDT", "--count", "2"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit):
        main()
    file = tmp_path / "symbols.yaml"
    file.write_text(capsys.readouterr().out)
    found = load_symbols(file).subscriptions(Exchange.BINANCE)
    symbols = {(item.instrument.market.value, item.instrument.symbol) for item in found}
    wanted = ("BTCUSDT", "SIM000USDT", "SIM001USDT")
    assert symbols == {(market, name) for market in ("spot", "um") for name in wanted}
    markets = (Market.SPOT, Market.UM)
    assert len(found) == 3 * sum(len(DEFAULT_CHANNELS[market]) for market in markets)
