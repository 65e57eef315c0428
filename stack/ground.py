"""What must be there before anything is installed: `python3.11 -m stack.ground DATA_DIR`.

Nothing is installed yet when this runs, so it takes Python's own library alone.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_REPO = Path(__file__).parent.parent
_GIB = 1024**3
# The packages and jars take 1.7 GiB; a lake of a few symbols has room for its first days in the rest.
_INSTALLATION_GIB = 2
_DATA_GIB = 3


def missing(data_dir: Path) -> Iterator[tuple[str, str]]:
    """Yield (problem, remedy) of everything that stands in the way."""
    yield from _versions()
    if not (_REPO / ".venv" / ".installed").exists():
        yield from _room(_REPO, _INSTALLATION_GIB, "Clone to a folder that you may write to.")
    yield from _room(data_dir, _DATA_GIB, "Choose another --data-dir.")


def java_major(text: str) -> int | None:
    """Return the major version in what `java -version` prints, None if it names none."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found[1]) if found else None


def _versions() -> Iterator[tuple[str, str]]:
    if sys.version_info[:2] != (3, 11):
        yield f"Python {sys.version.split()[0]} runs this, 3.11 is needed", "Install Python 3.11."
    if shutil.which("java") is None:
        yield "there is no java on the PATH", "Install a Java 17 runtime."
        return
    done = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)  # noqa: S607 - the user's java
    major = java_major(done.stderr)
    if major is None or not 17 <= major <= 21:
        yield f"java is version {major}", "Install Java 17 and put it first on the PATH."


def _room(folder: Path, wanted_gib: int, remedy: str) -> Iterator[tuple[str, str]]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".write-test").touch()
        (folder / ".write-test").unlink()
    except OSError as error:
        yield f"{folder} cannot be written ({error.strerror})", remedy
        return
    free = shutil.disk_usage(folder).free / _GIB
    if free < wanted_gib:
        yield f"{free:.1f} GiB are free under {folder}", f"Make room for {wanted_gib} GiB."


def main() -> None:
    """Print what is missing, a line each; exit 1 if anything is."""
    found = list(missing(Path(sys.argv[1])))
    for problem, remedy in found:
        sys.stderr.write(f"{problem}. {remedy}\n")
    if found:
        sys.exit(f"{len(found)} problems; nothing was installed")


if __name__ == "__main__":
    main()
