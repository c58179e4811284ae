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

# clang-tidy is slow: a file is looked at again only when it, a header that it includes, how it is compiled, or a configuration above it changed.
note "check: clang-tidy"
mkdir -p "$CVMIN_CACHE/tidy"
tidy_one() {
    local file=${1%%$'\t'*} stamp=$CVMIN_CACHE/tidy/${1##*$'\t'}
    clang-tidy-19 --quiet -p build/tidy --warnings-as-errors='*' "$file" 2>/dev/null || return 1
    touch "$stamp"
}
export -f tidy_one
python3 tests/tools/tidy_keys.py build/host build/tidy common agent-min examples host-tools image library qemu >build/tidy.keys
while IFS=$'\t' read -r file key; do
    [ -f "$CVMIN_CACHE/tidy/$key" ] || printf '%s\t%s\n' "$file" "$key"
done <build/tidy.keys >build/tidy.stale
note "check: clang-tidy has $(wc -l <build/tidy.stale) of $(wc -l <build/tidy.keys) files to look at; some 10 s of a processor for each"
xargs -r -d '\n' -P "${CVMIN_JOBS:-2}" -I{} bash -c 'tidy_one "$1"' tidy {} <build/tidy.stale || die 1 "clang-tidy found something"
note "check: clean"
