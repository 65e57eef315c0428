"""The README describes the repository that is there."""

import re
import subprocess
import tomllib
from pathlib import Path

REPO = Path(__file__).parents[2]


def test_the_tree_in_the_readme_is_the_tree_of_the_repository():
    text = (REPO / "README.md").read_text()
    described = set(re.findall(r"^(\w+)/ {2,}", text, re.MULTILINE))
    listing = subprocess.run(
        ["git", "ls-tree", "-d", "--name-only", "HEAD"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    )
    assert described == {name for name in listing.stdout.split() if not name.startswith(".")}


def test_every_page_that_the_readme_links_is_there():
    links = re.findall(r"\]\(([^)]+)\)", (REPO / "README.md").read_text())
    assert links
    assert [link for link in links if not (REPO / link).exists()] == []


def test_every_direct_dependency_has_a_reason():
    project = tomllib.loads((REPO / "pyproject.toml").read_text())
    groups = [project["project"]["dependencies"], *project["dependency-groups"].values()]
    wanted = {
        re.split(r"[\[<>=]", item)[0] for group in groups for item in group if isinstance(item, str)
    }
    reasons = (REPO / "docs" / "dependencies.md").read_text()
    assert [name for name in sorted(wanted) if name not in reasons] == []
