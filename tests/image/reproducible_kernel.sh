#!/usr/bin/env bash
# Long (./dev test --long): the image in out/ built again with everything varied that can be, its kernel compiled anew and without
# ccache; and that a changed map of paths, which ccache does not compare, still compiles the agent anew.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
out=${CVMIN_IMAGE:-$CVMIN_SRC/out}
[ -s "$out/image.json" ] || broken "no image in $out: run cvmin build first"

copy_source "$work/a"
export CCACHE_DIR=$work/ccache
# clang maps the name of a source file in what it compiles, here for all to see
echo 'extern const char cvmin_test_path[]; __attribute__((used, retain)) const char cvmin_test_path[] = "at:" __FILE__;' >>"$work/a/agent-min/main.cpp"
"$CVMIN" build --source "$work/a" --out "$work/a/out" --work "$work/a/work" >/dev/null
grep -qaF 'at:/cvmin/agent-min/main.cpp' "$work/a/out/agent" || broken "the source's path is not mapped"
sed -i 's|CMAKE_SOURCE_DIR}=/cvmin|CMAKE_SOURCE_DIR}=/other|' "$work/a/toolchain/guest.cmake"
"$CVMIN" build --source "$work/a" --out "$work/a/out" --work "$work/a/work" >/dev/null
grep -qaF 'at:/other/agent-min/main.cpp' "$work/a/out/agent" || broken "the agent is an old one"
echo "another map of paths compiles anew"

vary=path,jobs,umask,locale,time,hostname,fs-order
if [ "${CVMIN_UID:-0}" = 0 ]; then vary+=,user; else echo "note: user was not varied: that takes root"; fi
expect 0 "$CVMIN" reproduce "$out" --work "$work" --vary $vary --json
python3 -c 'import json, sys
got = json.load(sys.stdin)
assert got["same"] and got["kernel_rebuilt"] and ",".join(got["varied"]) == sys.argv[1], got' "$vary" <"$work/stdout"
echo "kernel and all else: same bytes; varied: $vary"
