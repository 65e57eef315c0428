#!/usr/bin/env bash
# Shows services, lag, last events, materializations and rows. See ./monitor.sh --help.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [ ! -x "$here/.venv/bin/python" ]; then
  echo "not installed yet: ./deploy.sh does that" >&2
  exit 1
fi
exec "$here/.venv/bin/python" -m stack monitor "$@"
