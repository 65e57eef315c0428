"""What `crypto-lake` says of a deployment's lake, as rows."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from stack.errors import StackError

_PROGRAM = Path(sys.executable).parent / "crypto-lake"


def lake_rows(command: str, environment: dict[str, str]) -> list[dict[str, Any]]:
    """Return the rows of one command, for example `tables`.

    The lake is the one that the environment names, as for the services: a `--data-dir` would go
    before its `CRYPTO_PATHS__LAKE_ROOT`.

    Raises:
        StackError: what `crypto-lake` says is wrong, for example that there is no lake.
    """
    done = subprocess.run(  # noqa: S603 - our own program
        [str(_PROGRAM), command, "--format", "json"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise StackError(done.stderr.strip() or f"crypto-lake {command} failed")
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows
