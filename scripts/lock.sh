#!/usr/bin/env bash
# Resolves the dependency groups of pyproject.toml into requirements-*.txt, with hashes.
# Usage: scripts/lock.sh [--upgrade | --check]
#   --upgrade  takes newer versions; without it what is pinned stays where it still fits
#   --check    writes nothing, fails if a file no longer matches pyproject.toml
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=.
options=()
case ${1:-} in
  --upgrade) options+=(--upgrade) ;;
  --check)
    target=$(mktemp -d)
    trap 'rm -rf "$target"' EXIT
    cp requirements-*.txt "$target"
    ;;
esac

compile() {
  local file=$1
  shift
  .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url ${options[@]+"${options[@]}"} "$@" -o "$target/$file" >/dev/null
}
compile requirements-dev.txt --group dev
compile requirements-dagster.txt --group pipeline --group lake -c "$target/requirements-dev.txt"
compile requirements-streaming.txt --group streaming -c "$target/requirements-dev.txt"

if [ "$target" != . ]; then
  for file in requirements-*.txt; do
    cmp --silent "$file" "$target/$file" || { echo "$file is stale: run make lock" >&2; exit 1; }
  done
fi
