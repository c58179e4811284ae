#!/usr/bin/env bash
# tests/tools/tidy_keys.py: a key changes with what clang-tidy's findings follow from, and with nothing else.
set -euo pipefail
: "${CVMIN_SRC:?}"
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
failed=0
wrong() {
    printf 'FAILED: %s\n' "$*" >&2
    failed=1
}
cd "$work"
mkdir -p code toolchain
echo 'Checks: -*' >.clang-tidy
echo 'a lock' >toolchain/debs.lock
echo 'inline int answer() { return 42; }' >code/answer.hpp
echo 'inline int other() { return 1; }' >code/other.hpp
printf '#include "answer.hpp"\nint one() { return answer(); }\n' >code/one.cpp
printf '#include "other.hpp"\nint two() { return other(); }\n' >code/two.cpp
echo 'int never() { return 3; }' >code/never.cpp
cat >CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(small LANGUAGES CXX)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
add_library(small STATIC code/one.cpp code/two.cpp)
add_library(never STATIC EXCLUDE_FROM_ALL code/never.cpp)
CMAKE
git init -q . && git add -A . 2>/dev/null
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
build() { cmake -G Ninja -S . -B build >/dev/null && ninja -C build >/dev/null; }
keys() { python3 "$CVMIN_SRC/tests/tools/tidy_keys.py" build build/tidy code; }
changed() { diff <(printf '%s\n' "$before") <(keys) | sed -n 's/^> \([^\t]*\).*/\1/p' | paste -sd' '; }
build
before=$(keys)
[ "$(cut -f1 <<<"$before" | paste -sd' ')" = "code/never.cpp code/one.cpp code/two.cpp" ] || wrong "sources: $before"
[ -z "$(changed)" ] || wrong "keys change by themselves"

expect() { # WHAT FILES
    build
    [ "$(changed)" = "$2" ] || wrong "$1: other keys for: $(changed); wanted: $2"
    before=$(keys)
}
echo '// more' >>code/answer.hpp
expect "a header, of one file and of one that was never compiled" "code/never.cpp code/one.cpp"
echo '// more' >>code/two.cpp
expect "a source" "code/two.cpp"
echo 'target_compile_definitions(small PRIVATE MORE=1)' >>CMakeLists.txt
expect "how two are compiled" "code/one.cpp code/two.cpp"
echo 'WarningsAsErrors: "*"' >>.clang-tidy
expect "the configuration" "code/never.cpp code/one.cpp code/two.cpp"
echo 'InheritParentConfig: true' >code/.clang-tidy
expect "the configuration of the directory" "code/never.cpp code/one.cpp code/two.cpp"
echo 'Checks: "*"' >build/.clang-tidy
expect "the configuration of another directory" ""
echo 'add_library(again STATIC code/one.cpp)' >>CMakeLists.txt
expect "a second command for a source" ""
[ "$(python3 -c 'import json; print(len(json.load(open("build/tidy/compile_commands.json"))))')" = 3 ] ||
    wrong "not one command for each source: $(cat build/tidy/compile_commands.json)"
echo 'another lock' >toolchain/debs.lock
expect "the toolchain" "code/never.cpp code/one.cpp code/two.cpp"
# ninja does not know yet what a changed source includes
echo '#include "answer.hpp"' >>code/two.cpp
[ "$(changed)" = code/two.cpp ] || wrong "a source that was not compiled since: $(changed)"
before=$(keys)
echo '// still more' >>code/answer.hpp
[ "$(changed)" = "code/never.cpp code/one.cpp code/two.cpp" ] || wrong "its headers do not count: $(changed)"
# another place, the same keys
cp -r . "$work.copy"
build
before=$(keys)
(cd "$work.copy" && rm -rf build && build && [ "$(keys)" = "$before" ]) || wrong "the keys depend on the place"
rm -rf -- "$work.copy"
[ $failed = 0 ] && echo "keys follow source, headers, command, configuration and toolchain"
exit $failed
