"""What `cleanup.sh` deletes: the parts of a data folder that the stack made, and nothing else."""

import shutil
from pathlib import Path

# `run` comes last: it says that this is a deployment, so that an interrupted cleanup can go on.
PARTS = (
    "lake",
    "kafka",
    "spark",
    "dagster",
    "spill",
    "archive",
    "recordings",
    "reports",
    "logs",
    "run",
)


def contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders that the stack made there, in order of deletion, and all the rest."""
    parts = [folder / name for name in PARTS if (folder / name).is_dir()]
    return parts, sorted(path for path in folder.iterdir() if path not in parts)


def size(part: Path) -> int:
    """Return the bytes that deleting a part sets free; a link's aim stays and counts nothing."""
    if part.is_symlink():
        return 0
    files = (path for path in part.rglob("*") if not path.is_symlink() and path.is_file())
    return sum(path.stat().st_size for path in files)


def delete(parts: list[Path]) -> None:
    """Delete parts with all that is in them; of a link the link only."""
    for part in parts:
        if part.is_symlink():
            part.unlink()
        else:
            shutil.rmtree(part)
