#!/usr/bin/env bash
# Creates .venv with the locked dependencies and this project. Quiet when nothing changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lock=requirements-dev.txt
stamp=.venv/.installed
wanted=$(cat "$lock" pyproject.toml | sha256sum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

# A distribution's Python is built with profile feedback, which one built by hand rarely is: measured, a
# tenth of what a frame costs the collector. PYTHON names another one.
python=${PYTHON:-}
if [ -z "$python" ]; then
  for python in /usr/bin/python3.11 python3.11 python3; do
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then break; fi
  done
fi
echo "Installing the dependencies into .venv ..."
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip --upgrade >/dev/null
# The lock's own line for uv pins the installer too.
awk '/^[^ ]/ {ours = /^uv==/} ours' "$lock" >.venv/uv.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip sync --quiet --require-hashes "$lock"
VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --no-deps --editable .
echo "$wanted" >"$stamp"
