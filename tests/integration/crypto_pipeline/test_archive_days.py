"""The asset `archive_days`: what Dagster shows where days or the whole command fail."""

from pathlib import Path

import pytest
from dagster import Failure

from crypto_pipeline.assets.archive_assets import BackfillConfig, bring, command
from tests.integration.crypto_pipeline.conftest import write_days

pytestmark = [pytest.mark.kafka]

ROW = {"a": 1, "p": "1.5", "q": "2", "f": 1, "l": 1, "m": True, "M": True, "T": 1_570_752_000_000}


@pytest.fixture(autouse=True)
def settings(topics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    symbols = tmp_path / "symbols.yaml"
    symbols.write_text("version: 1\nexchanges: {binance: {spot: {XRPETH: {}}}}\n")
    monkeypatch.setenv("CRYPTO_PATHS__DATA_DIR", str(tmp_path))
    monkeypatch.setenv("CRYPTO_PATHS__SYMBOLS_FILE", str(symbols))
    monkeypatch.setenv("CRYPTO_KAFKA__BOOTSTRAP_SERVERS", topics)


def config(**given: object) -> BackfillConfig:
    days = {"first_day": "2019-10-11", "last_day": "2019-10-12", "channels": ["aggTrade"]}
    return BackfillConfig(**(days | given))


def test_a_day_that_is_not_there_fails_the_check_and_the_others_are_in(archive: Path) -> None:
    write_days(archive, [ROW])
    result = bring(config())
    (check,) = result.check_results
    assert not check.passed
    assert check.description == "1 of 2 days could not be brought in"
    assert (result.metadata["days"], result.metadata["brought"]) == (2, 1)
    assert "| 2019-10-12 | spot | XRPETH | aggTrade | absent |" in result.metadata["table"].value


def test_what_cannot_work_at_all_fails_in_the_commands_own_words() -> None:
    with pytest.raises(Failure, match="--symbol DOGEUSDT: the symbols file does not list it"):
        bring(config(symbols=["DOGEUSDT"]))


def test_the_command_says_what_the_config_says() -> None:
    line = command(config(symbols=["XRPETH", "BTCUSDT"], again=True))
    assert line[1:] == [
        *("backfill", "--json", "--from", "2019-10-11", "--to", "2019-10-12"),
        *("--symbol", "XRPETH", "--symbol", "BTCUSDT", "--channel", "aggTrade", "--again"),
    ]
