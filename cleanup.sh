#!/usr/bin/env bash
# Deletes a stopped deployment's data, after showing it and asking. See ./cleanup.sh --help.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [ ! -x "$here/.venv/bin/python" ]; then
  echo "not installed yet: ./deploy.sh does that" >&2
  exit 1
fi
exec "$here/.venv/bin/python" -m stack cleanup "$@"
