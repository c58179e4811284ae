#!/usr/bin/env bash
# fuzz.sh SECONDS: every fuzz target in build/fuzz for SECONDS each, under ASan and UBSan. New inputs that reach new code go to
# build/fuzz/corpus; a crash is kept in build/fuzz/crashes and named.
set -euo pipefail
# shellcheck source=toolchain/lib.sh
. "$CVMIN_SRC/toolchain/lib.sh"
cd "$CVMIN_SRC"
seconds=$1
status=0
count=0
mkdir -p build/fuzz/crashes
for target in build/fuzz/tests/fuzz_*; do
    [ -x "$target" ] && [ -f "$target" ] || continue
    name=$(basename "$target")
    count=$((count + 1))
    mkdir -p "build/fuzz/corpus/$name"
    note "fuzz: $name for $seconds s"
    if ! "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/crashes/$name-" "build/fuzz/corpus/$name" "tests/corpus/$name" \
        >"build/fuzz/$name.log" 2>&1; then
        tail -n 30 "build/fuzz/$name.log" >&2
        note "fuzz: $name FAILED"
        status=1
    else
        grep -h 'number_of_executed_units' "build/fuzz/$name.log" >&2
    fi
done
[ $count -gt 0 ] || die $E_SYSTEM "no fuzz targets were built"
echo "$count fuzz targets, $([ $status = 0 ] && echo clean || echo 'with crashes')"
exit $status
