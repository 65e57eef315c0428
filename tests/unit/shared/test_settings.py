from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.settings import known_variables, load_settings, process_environment

EXAMPLE = Path(__file__).parents[3] / ".env.example"


def test_a_variable_changes_its_setting(monkeypatch):
    monkeypatch.setenv("CRYPTO_KAFKA__LINGER_MS", "1.5")
    monkeypatch.setenv("CRYPTO_PATHS__LAKE_ROOT", "s3a://bucket/lake")
    settings = load_settings()
    assert settings.kafka.linger_ms == 1.5
    assert settings.paths.lake == "s3a://bucket/lake"
    assert process_environment()["CRYPTO_KAFKA__LINGER_MS"] == "1.5"


def test_the_lakes_root_is_absolute():
    assert Path(load_settings().paths.lake).is_absolute()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CRYPTO_KAFKA__PARTITIONS", "many"),
        ("CRYPTO_STREAMING__HTTP_PORT", "70000"),
        ("CRYPTO_KAFKA__COMPRESSION", "rar"),
        ("CRYPTO_KAFKA__PARTITION", "4"),
        ("CRYPTO_KAFAK__PARTITIONS", "4"),
    ],
)
def test_a_bad_or_unknown_variable_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        load_settings()


def test_the_example_explains_every_variable_and_no_other():
    explained = {}
    above = ""
    for line in EXAMPLE.read_text().splitlines():
        if line.startswith("#CRYPTO_"):
            name, _, value = line[1:].partition("=")
            explained[name] = value
            assert above.startswith("# "), f"{name} has no explanation"
        above = line
    expected = {name: str(value) for name, value in known_variables().items()}
    assert explained == expected
