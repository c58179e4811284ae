#!/usr/bin/env bash
# Budget: the agent, stripped static-pie, is at most 400 KiB. Of the built image (CVMIN_IMAGE, else out/image.json).
set -euo pipefail
image=${CVMIN_IMAGE:-$CVMIN_SRC/out/image.json}
agent=$(dirname "$image")/agent
readonly BUDGET=$((400 * 1024))
broken() {
    echo "size.sh: $*" >&2
    exit 1
}
[ -s "$agent" ] || broken "$agent is missing: run cvmin build first"
size=$(stat -c %s "$agent")
printf 'agent: %d bytes of %d\n' "$size" $BUDGET
[ "$size" -le $BUDGET ] || broken "over budget"
kind=$(LC_ALL=C readelf -hlSW "$agent")
grep -q 'Type: *DYN' <<<"$kind" || broken "not position independent"
if grep -q INTERP <<<"$kind"; then broken "asks for a dynamic loader"; fi
if grep -q '\.symtab' <<<"$kind"; then broken "not stripped"; fi
if grep 'GNU_STACK' <<<"$kind" | grep -q 'RWE'; then broken "its stack is executable"; fi
grep -q 'GNU_RELRO' <<<"$kind" || broken "its relocations stay writable"
