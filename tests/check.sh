#!/usr/bin/env bash
# Format, static analysis, shell scripts, layer rule. Runs inside the toolchain root, after build/host was configured.
set -euo pipefail
# shellcheck source=toolchain/lib.sh
. "$CVMIN_SRC/toolchain/lib.sh"
cd "$CVMIN_SRC"
git config --global --get-all safe.directory 2>/dev/null | grep -qxF "$CVMIN_SRC" || export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'

mapfile -t sources < <(git ls-files -- '*.[ch]' '*.cpp' '*.hpp' ':!toolchain')
mapfile -t scripts < <(git ls-files -- dev .ci/run '*.sh')

note "check: format of ${#sources[@]} files"
clang-format-19 --dry-run -Werror "${sources[@]}"

note "check: shell scripts"
shellcheck -x -s bash "${scripts[@]}"

note "check: layers"
tests/layers.sh

# clang-tidy is slow: a file is looked at again only when it, a header, or the configuration changed.
note "check: clang-tidy"
mkdir -p "$CVMIN_CACHE/tidy"
mapfile -t headers < <(git ls-files -- '*.hpp')
common_key=$(key_of .clang-tidy CMakeLists.txt toolchain/debs.lock "${headers[@]}")
tidy_one() {
    local file=$1 stamp
    stamp=$CVMIN_CACHE/tidy/$(printf '%s %s' "$2" "$(sha256_of "$file")" | sha256sum | cut -c1-32)
    [ -f "$stamp" ] && return 0
    clang-tidy-19 --quiet -p build/host --warnings-as-errors='*' "$file" 2>/dev/null || return 1
    touch "$stamp"
}
export -f tidy_one sha256_of
git ls-files -- 'common/*.cpp' 'agent-min/*.cpp' 'host-tools/*.cpp' 'image/*.cpp' 'library/*.cpp' 'qemu/*.cpp' |
    while read -r file; do grep -qF "/$file\"" build/host/compile_commands.json && printf '%s\n' "$file"; done |
    xargs -P "${CVMIN_JOBS:-2}" -I{} bash -c 'tidy_one "$1" "$2"' tidy {} "$common_key" ||
    die 1 "clang-tidy found something"
note "check: clean"
