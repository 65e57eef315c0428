"""Run every benchmark of this folder, or those named: `python benchmarks/run.py ingest`."""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = ("ingest", "lake")


def main() -> None:
    sys.path.insert(0, str(HERE))
    for name in sys.argv[1:] or BENCHMARKS:
        print(f"{name}: {(importlib.import_module(name).__doc__ or '').splitlines()[0]}")
        importlib.import_module(name).main()


if __name__ == "__main__":
    main()
