"""Run every benchmark of this folder, or the named ones, and print one table each.

A benchmark is a module whose `main()` returns a table; a leading `_` marks the parts of one.

Usage: python benchmarks/run.py [NAME…]
"""

import importlib
import sys
from pathlib import Path

from rich.console import Console


def main(names: list[str]) -> None:
    """Run them one after another, since each wants the machine for itself."""
    console = Console()
    known = sorted(
        path.stem for path in Path(__file__).parent.glob("[!_]*.py") if path.stem != "run"
    )
    if unknown := set(names) - set(known):
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in names or known:
        console.print(importlib.import_module(name).main())


if __name__ == "__main__":
    main(sys.argv[1:])
