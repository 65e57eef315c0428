import pytest

import crypto_lake
from crypto_lake.cli import main
from crypto_lake.errors import NoLakeError


def run(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["crypto-lake", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_a_missing_lake_is_said_with_what_to_do(monkeypatch, tmp_path, capsys):
    assert run(monkeypatch, "--data-dir", str(tmp_path), "tables") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "no tables here" in said
    assert "--demo" in said
    with pytest.raises(NoLakeError):
        crypto_lake.read("silver_trades", data_dir=tmp_path)


def test_help_teaches_with_examples(monkeypatch, capsys):
    assert run(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    assert "verify" in shown
    assert "Examples" in shown


def test_verify_promises_what_it_checks(monkeypatch, capsys):
    assert run(monkeypatch, "verify", "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Books are not rebuilt" in shown
    assert "ids and books from" not in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("maintain",), "Dagster's job lake_maintenance"),
        (
            ("sql", "select 1", "--as-of", "yesterday"),
            "--as-of yesterday: no release of that name; write a time as",
        ),
    ],
)
def test_what_cannot_be_done_here_says_where_or_how(monkeypatch, tmp_path, capsys, arguments, told):
    assert run(monkeypatch, "--data-dir", str(tmp_path), *arguments) == 2
    assert told in " ".join(capsys.readouterr().err.split())
