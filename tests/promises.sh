#!/usr/bin/env bash
# Every test that README.md names as the holder of a promise exists in this build.
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
exit $failed
