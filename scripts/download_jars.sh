#!/usr/bin/env bash
# Brings the jars of infra/jars.txt into jars/, checked against their sha256.
# Quiet when all is there; run again after a cut connection and it goes on where it stopped.
# Usage: scripts/download_jars.sh [--check]   (--check downloads nothing, fails if one is missing)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

list=infra/jars.txt
entries() { grep -v '^#' "$list"; }

missing() {
  entries | while read -r set _ module revision sha256; do
    jar="jars/$set/$module-$revision.jar"
    if ! echo "$sha256  $jar" | sha256sum --check --status 2>/dev/null; then
      echo "$jar"
    fi
  done
}

absent=$(missing)
[ -z "$absent" ] && exit 0
if [ "${1:-}" = --check ]; then
  printf 'missing or changed: %s\n' "$absent" >&2
  exit 1
fi

echo "Downloading $(wc -l <<<"$absent") jars (about 140 MB in all) ..."
ivy=$(.venv/bin/python -c 'import glob, os, pyspark; print(glob.glob(os.path.dirname(pyspark.__file__) + "/jars/ivy-*.jar")[0])')
work=jars/.ivy
mkdir -p "$work"
for set in $(entries | cut -d' ' -f1 | sort -u); do
  {
    echo "<ivy-module version=\"2.0\"><info organisation=\"lakehouse\" module=\"$set\"/><dependencies>"
    entries | while read -r of organisation module revision _; do
      if [ "$of" = "$set" ]; then
        echo "<dependency org=\"$organisation\" name=\"$module\" rev=\"$revision\" transitive=\"false\"/>"
      fi
    done
    echo "</dependencies></ivy-module>"
  } >"$work/$set.xml"
  # The type `bundle` is what OSGi jars such as scala-logging are published as.
  if ! java -jar "$ivy" -ivy "$work/$set.xml" -cache "$work/cache" \
    -retrieve "jars/$set/[artifact]-[revision].[ext]" -types jar bundle >"$work/$set.log" 2>&1; then
    tail -n 20 "$work/$set.log" >&2
    echo "The download of the $set jars failed; see $work/$set.log and run this again." >&2
    exit 1
  fi
done

absent=$(missing)
if [ -n "$absent" ]; then
  printf 'Not downloaded, or not what infra/jars.txt expects:\n%s\nDelete these and run this again.\n' "$absent" >&2
  exit 1
fi
rm -rf "$work"
