#!/usr/bin/env bash
# Starts the whole system on this machine. See ./deploy.sh --help.
#   ./deploy.sh --demo                      a simulated exchange, nothing else needed
#   ./deploy.sh                             the real exchange, symbols of config/symbols.yaml
#   ./deploy.sh --recording FILE… [--once]  recordings as the venue
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

python=$(command -v python3.11 || command -v python3) || {
  echo "missing: Python 3.11. Install it and put it on the PATH." >&2
  exit 1
}

# Every FILE up to the next option belongs to --recording.
arguments=()
data_dir=data
option=
for argument in "$@"; do
  case $argument in
    --*)
      [ "$option" = --recording ] && break
      option=$argument
      [ "$option" = --recording ] || arguments+=("$argument")
      [[ $argument = --data-dir=* ]] && data_dir=${argument#*=}
      ;;
    *)
      case $option in
        --recording | --recording-file) option=--recording-file && arguments+=(--recording "$argument") ;;
        --data-dir) data_dir=$argument && arguments+=("$argument") ;;
        *) arguments+=("$argument") ;;
      esac
      ;;
  esac
done
if [ "$option" = --recording ]; then
  echo "--recording: name at least one file after it" >&2
  exit 2
fi

PYTHONPATH=$here "$python" -m stack.ground "$data_dir"
"$here/scripts/install.sh"
exec "$here/.venv/bin/python" -m stack deploy ${arguments[@]+"${arguments[@]}"}
