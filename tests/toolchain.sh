#!/usr/bin/env bash
# Downloads: verified, named when refused, resumed, safe when two run at once. A small archive on disk stands for a mirror.
set -euo pipefail
CVMIN_SRC=$(cd "$(dirname "$0")/.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
export CVMIN_SRC CVMIN_CACHE=$work/cache CVMIN_MIRROR=copy:$work/archive CVMIN_SNAPSHOT_MIRROR='' CVMIN_QUIET=''
# shellcheck source=toolchain/lib.sh
. "$CVMIN_SRC/toolchain/lib.sh"
mirrors() { printf '%s/\n' "$CVMIN_MIRROR"; } # no other archive in this test
failed=0
check() { # check TEXT CONDITION...
    local text=$1
    shift
    if "$@"; then echo "ok: $text"; else echo "FAILED: $text"; failed=1; fi
}

mkdir -p "$work/archive/pool"
echo one >"$work/archive/pool/one_1+b1.deb"
echo two >"$work/archive/pool/two.tar"
lock() {
    local file
    for file in "$@"; do
        printf '%s %s pool/%s x 1 all\n' "$(sha256_of "$work/archive/pool/$file")" \
            "$(stat -c %s "$work/archive/pool/$file")" "$file"
    done >"$work/lock"
}
lock one_1+b1.deb two.tar
one=$(sha256_of "$work/archive/pool/one_1+b1.deb")
two=$(sha256_of "$work/archive/pool/two.tar")

(fetch "$work/lock") 2>/dev/null
check "every file is fetched, also with a plus in its name" test -f "$CVMIN_CACHE/dl/$one" -a -f "$CVMIN_CACHE/dl/$two"

rm -rf -- "$CVMIN_CACHE"
echo twO >"$work/archive/pool/two.tar" # one bit of one byte
code=0
(fetch "$work/lock") 2>"$work/err" || code=$?
check "a changed byte is refused with exit code 5" test $code = 5
check "and named" grep -q 'refused pool/two.tar: sha256 is' "$work/err"
check "and nothing of it is kept" test ! -e "$CVMIN_CACHE/dl/$two"
check "what was right is kept for the next run" test -f "$CVMIN_CACHE/dl/$one"

echo two >"$work/archive/pool/two.tar"
(fetch "$work/lock") 2>"$work/err"
check "the next run fetches only what is missing" grep -q 'fetching 1 files' "$work/err"

rm -rf -- "$CVMIN_CACHE"
with_lock "$work/l" bash -c 'sleep 0.5; echo first >>"$0"' "$work/order" &
sleep 0.1
with_lock "$work/l" bash -c 'echo second >>"$0"' "$work/order" 2>"$work/err"
wait
check "two at once wait for each other" test "$(paste -sd' ' "$work/order")" = "first second"
check "and say so" grep -q 'waiting' "$work/err"

code=0
(source_file nothing-like-this.tar) 2>"$work/err" || code=$?
check "a file that no lock names is an error" test $code = 4
exit $failed
