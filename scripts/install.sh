#!/usr/bin/env bash
# Creates .venv with the locked dependencies and this project. Quiet when nothing changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lock=requirements-dev.txt
stamp=.venv/.installed
wanted=$(cat "$lock" pyproject.toml | sha256sum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

python=$(command -v python3.11 || command -v python3)
echo "Installing the dependencies into .venv ..."
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip --upgrade >/dev/null
# The lock's own line for uv pins the installer too.
awk '/^[^ ]/ {ours = /^uv==/} ours' "$lock" >.venv/uv.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip sync --quiet --require-hashes "$lock"
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --no-deps --editable .
echo "$wanted" >"$stamp"
