#!/usr/bin/env bash
# Installs what is missing, then runs lint, types, import contracts and every test that belongs in CI.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

scripts/install.sh
scripts/download_jars.sh
make --no-print-directory check
make --no-print-directory test
