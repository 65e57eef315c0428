#!/usr/bin/env bash
# Starts the whole system on this machine. See ./deploy.sh --help.
#   ./deploy.sh --demo                      a simulated exchange, nothing else needed
#   ./deploy.sh                             the real exchange, symbols of config/symbols.yaml
#   ./deploy.sh --recording FILE… [--once]  recordings as the venue
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

missing=()
command -v python3.11 >/dev/null || python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null ||
  missing+=("Python 3.11: install it and put it on the PATH")
command -v java >/dev/null || missing+=("Java 17: install a runtime and put it on the PATH")
if [ ${#missing[@]} -gt 0 ]; then
  printf 'missing: %s\n' "${missing[@]}" >&2
  exit 1
fi

# Every FILE up to the next option belongs to --recording.
arguments=()
in_files=false
for argument in "$@"; do
  case $argument in
    --recording) in_files=true ;;
    --*) in_files=false && arguments+=("$argument") ;;
    *) if $in_files; then arguments+=(--recording "$argument"); else arguments+=("$argument"); fi ;;
  esac
done

"$here/scripts/install.sh"
exec "$here/.venv/bin/python" -m stack deploy ${arguments[@]+"${arguments[@]}"}
