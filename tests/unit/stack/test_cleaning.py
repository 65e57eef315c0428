import re

from typer.testing import CliRunner

from stack.__main__ import app
from stack.cleaning import PARTS, contents, delete, size
from stack.deployment import Deployment
from tests.conftest import REPO


def deployed(folder):
    Deployment(str(folder)).save()
    for name in ("lake", "logs"):
        (folder / name / "deep").mkdir(parents=True)
        (folder / name / "deep" / "file").write_bytes(b"x" * 2_000_000)
    return folder


def cleanup(folder, answer=None):
    options = [] if answer else ["--yes"]
    return CliRunner().invoke(app, ["cleanup", "--data-dir", str(folder), *options], input=answer)


def test_a_folder_with_nothing_else_goes_as_a_whole(tmp_path):
    folder = deployed(tmp_path / "data")
    done = cleanup(folder)
    assert done.exit_code == 0, done.output
    assert "1.9" in done.output
    assert not folder.exists()
    assert "nothing was deployed here" in " ".join(cleanup(folder).output.split())


def test_what_the_stack_did_not_make_stays_and_is_named(tmp_path):
    folder = deployed(tmp_path / "data")
    (folder / "thesis.txt").write_text("years of work")
    (folder / "photos").mkdir()
    (folder / "kafka").write_text("a file of mine")
    done = cleanup(folder)
    assert done.exit_code == 0, done.output
    assert "not the stack's, stays: kafka, photos, thesis.txt" in " ".join(done.output.split())
    assert {path.name for path in folder.iterdir()} == {"kafka", "photos", "thesis.txt"}


def test_nothing_is_deleted_without_a_yes(tmp_path):
    folder = deployed(tmp_path / "data")
    assert cleanup(folder, answer="n\n").exit_code == 1
    assert (folder / "lake" / "deep" / "file").exists()


def test_of_a_link_only_the_link_goes(tmp_path):
    folder = deployed(tmp_path / "data")
    elsewhere = deployed(tmp_path / "elsewhere")
    (folder / "spill").symlink_to(elsewhere)
    parts, foreign = contents(folder)
    assert foreign == []
    assert [part.name for part in parts] == ["lake", "spill", "logs", "run"]
    assert PARTS[-1] == "run"
    assert [size(part) // 1_000_000 for part in parts] == [2, 0, 2, 0]
    delete(parts)
    assert list(folder.iterdir()) == []
    assert (elsewhere / "lake" / "deep" / "file").exists()


def test_the_parts_are_those_that_the_operations_page_names():
    page = (REPO / "docs" / "operations.md").read_text()
    table = page.partition("| folder of the data directory |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(PARTS)
