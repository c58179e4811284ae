#!/usr/bin/env bash
# Every test that README.md names as the holder of a promise exists in this build; and every entry and test that
# docs/negative-corpus.md names beside a mistake.
set -euo pipefail
: "${CVMIN_SRC:?}" "${CVMIN_BUILD:?}"
known=$(ctest --test-dir "$CVMIN_BUILD" -N | sed -n 's/^ *Test *#[0-9]*: //p')
failed=0
count=0
while read -r name; do
    count=$((count + 1))
    grep -qxF "$name" <<<"$known" || { echo "promises.sh: README.md names a test that does not exist: $name"; failed=1; }
done < <(sed -n '/^| promise/,/^$/p' "$CVMIN_SRC/README.md" | sed 's/.*|\(.*\)|$/\1/' | grep -oE '`[a-z_]+`' | tr -d '`' | sort -u)
[ $count -ge 8 ] || { echo "promises.sh: only $count names were seen"; failed=1; }

entries=$(python3 -c 'import json, sys; print("\n".join(e["name"] for e in json.load(open(sys.argv[1]))["entries"]))' \
    "$CVMIN_SRC/tests/data/negative/index.json")
functions=$(sed -n 's/^static void \([a-z0-9_]*\)(void \*\*.*/\1/p' "$CVMIN_SRC"/tests/unit/*.cpp)
count=0
while read -r name; do
    count=$((count + 1))
    grep -qxF -e "$name" <<<"$known
$entries
$functions" || { echo "promises.sh: docs/negative-corpus.md names what does not exist: $name"; failed=1; }
done < <(sed -n '/^| mistake/,$p' "$CVMIN_SRC/docs/negative-corpus.md" | sed 's/.*|\(.*\)|$/\1/' | grep -oE '`[A-Za-z0-9_-]+`' | tr -d '`' | sort -u)
[ $count -ge 40 ] || { echo "promises.sh: only $count names beside mistakes were seen"; failed=1; }
exit $failed
