"""Run every benchmark of this folder, or the named ones, and print one table each.

A benchmark is a module whose `main()` returns a table; a leading `_` marks the parts of one.

Usage: python benchmarks/run.py [NAME…]
"""

import importlib
import subprocess
import sys
from pathlib import Path

from rich.console import Console


def main(names: list[str]) -> None:
    """Run them one after another, since each wants the machine for itself.

    Each has a process of its own, for a Spark session leaves its marks in the environment.
    """
    known = sorted(
        path.stem for path in Path(__file__).parent.glob("[!_]*.py") if path.stem != "run"
    )
    if unknown := set(names) - set(known):
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if len(names) == 1:
        Console().print(importlib.import_module(names[0]).main())
        return
    for name in names or known:
        subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
