import os
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.settings import (
    PREFIX,
    Compression,
    PathSettings,
    known_variables,
    load_settings,
    process_environment,
    variable_name,
)

EXAMPLE = Path(__file__).parents[3] / ".env.example"


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No setting of the machine's own."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def test_without_variables_every_field_has_its_default():
    settings = load_settings()
    assert settings.kafka.compression is Compression.LZ4
    assert settings.streaming.http_port == 8085
    assert settings.paths.symbols_file == Path("config/symbols.yaml")


def test_a_variable_sets_its_field(monkeypatch):
    monkeypatch.setenv("CRYPTO_KAFKA__COMPRESSION", "zstd")
    monkeypatch.setenv("CRYPTO_STREAMING__HTTP_PORT", "9000")
    settings = load_settings()
    assert settings.kafka.compression is Compression.ZSTD
    assert settings.streaming.http_port == 9000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CRYPTO_STREAMING__HTTP_PORT", "70000"),
        ("CRYPTO_KAFKA__COMPRESSION", "brotli"),
        ("CRYPTO_LOG__LEVEL", "LOUD"),
        ("CRYPTO_STREAMING__SYMBOLS_POLL_S", "6"),
        ("CRYPTO_KAFKA__LINGER_MS", "soon"),
    ],
)
def test_a_bad_value_is_an_error_that_names_the_variable(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name) as caught:
        load_settings()
    assert caught.value.where == name
    assert ".env.example" in caught.value.remedy


@pytest.mark.parametrize("name", ["CRYPTO_KAFKA__LINGERMS", "CRYPTO_KAFKA", "CRYPTO_NOPE__X"])
def test_an_unknown_variable_is_refused_by_name(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigurationError, match=f"{name}: no such setting"):
        load_settings()


def test_water_marks_that_never_let_go_are_refused(monkeypatch):
    monkeypatch.setenv("CRYPTO_STREAMING__LOW_WATER_FRAMES", "30000")
    with pytest.raises(ConfigurationError, match="low_water_frames must be below"):
        load_settings()


def test_settings_cannot_be_changed_after_loading():
    with pytest.raises(ValueError, match="frozen"):
        load_settings().kafka.linger_ms = 1


def test_the_lake_is_absolute_below_the_data_dir_unless_set():
    assert PathSettings(data_dir=Path("d")).lake == str(Path("d").resolve() / "lake")
    assert PathSettings(lake_root="s3a://bucket/lake").lake == "s3a://bucket/lake"


def test_every_variable_has_a_name_and_a_default():
    known = known_variables()
    assert known["CRYPTO_KAFKA__LINGER_MS"] == 5
    assert variable_name("kafka", "linger_ms") in known
    assert all(name.startswith(PREFIX) for name in known)


def test_the_environment_is_handed_out_as_a_copy(monkeypatch):
    monkeypatch.setenv("CRYPTO_LOG__LEVEL", "DEBUG")
    copy = process_environment()
    copy["CRYPTO_LOG__LEVEL"] = "ERROR"
    assert os.environ["CRYPTO_LOG__LEVEL"] == "DEBUG"


def test_a_file_beside_the_project_sets_what_the_environment_does_not(monkeypatch, tmp_path):
    for name in ("CRYPTO_KAFKA__HEAP", "CRYPTO_KAFKA__PARTITIONS", "CRYPTO_KAFKA__LINGERMS"):
        # So that monkeypatch takes back what the file brings into the environment.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    file = tmp_path / ".env"
    monkeypatch.setattr("shared.settings.ENV_FILE", file)
    file.write_text("CRYPTO_KAFKA__HEAP=1g\nCRYPTO_KAFKA__PARTITIONS=2\n")
    monkeypatch.setenv("CRYPTO_KAFKA__PARTITIONS", "3")
    kafka = load_settings().kafka
    assert (kafka.heap, kafka.partitions) == ("1g", 3)
    assert process_environment()["CRYPTO_KAFKA__HEAP"] == "1g"
    file.write_text("CRYPTO_KAFKA__LINGERMS=9\n")
    with pytest.raises(ConfigurationError, match="CRYPTO_KAFKA__LINGERMS: no such setting"):
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


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CRYPTO_STREAMING__SPILL_BYTES", "100000", "at least twice spill_segment_bytes"),
        ("CRYPTO_RECORDER__MOST_BYTES", "100000", "at least twice file_bytes"),
    ],
)
def test_a_total_that_holds_less_than_two_files_is_refused(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=said):
        load_settings()


def test_spill_and_recordings_are_below_the_data_dir_unless_set(monkeypatch):
    monkeypatch.setenv("CRYPTO_PATHS__DATA_DIR", "d")
    monkeypatch.setenv("CRYPTO_RECORDER__DIR", "elsewhere")
    assert load_settings().spill_dir == Path("d/spill")
    assert load_settings().recorder_dir == Path("elsewhere")
