import pytest

from shared.settings import Settings
from stack.deployment import Deployment, environment
from stack.errors import StackError
from stack.lake_command import lake_rows
from stack.once import fill_lake, row_counts
from tests.conftest import clean_environment


def variables(data_dir, **more):
    return clean_environment() | environment(Deployment(str(data_dir)), Settings()) | more


def test_the_lake_that_the_environment_names_is_asked(tmp_path):
    elsewhere = str(tmp_path / "elsewhere")
    with pytest.raises(StackError, match=elsewhere):
        row_counts(variables(tmp_path, CRYPTO_PATHS__LAKE_ROOT=elsewhere))
    with pytest.raises(StackError, match=str(tmp_path / "lake")):
        lake_rows("offsets", variables(tmp_path))


def test_a_lake_that_no_tick_made_is_said_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("stack.once._tick", lambda *_: None)
    with pytest.raises(StackError, match=rf"no lake after a tick: .*{tmp_path / 'lake'}"):
        fill_lake(variables(tmp_path), tmp_path / "ticks.log", lambda _: None)
