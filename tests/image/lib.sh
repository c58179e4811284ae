# Shared by the image's tests: a scratch directory, failing with a reason, a launch without the launcher, small disks.
# shellcheck shell=bash
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}" "${CVMIN_CACHE:?}" "${CVMIN_SYSROOT:?run it through ./dev}"

work=$(mktemp -d "${TMPDIR:-/tmp}/cvmin-image-test-XXXXXX")
on_exit() { rm -rf -- "$work"; }
trap 'on_exit' EXIT
trap 'exit 130' INT TERM

broken() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# same FILE FILE: both are there, not empty, and byte for byte the same.
same() {
    [ -s "$1" ] || broken "$1 is missing or empty"
    [ -s "$2" ] || broken "$2 is missing or empty"
    cmp -- "$1" "$2" >&2 || broken "$1 and $2 differ"
}

# expect STATUS COMMAND...: its standard error goes to $work/stderr, its output to $work/stdout.
expect() {
    local wanted=$1 status=0
    shift
    "$@" >"$work/stdout" 2>"$work/stderr" </dev/null || status=$?
    [ "$status" = "$wanted" ] || {
        cat "$work/stderr" >&2
        broken "exit $status instead of $wanted: $*"
    }
}

# one_error TEXT: exactly one error line on the last expect's standard error, and it contains TEXT.
one_error() {
    [ "$(grep -c 'error: ' "$work/stderr")" = 1 ] || { cat "$work/stderr" >&2; broken "not exactly one error line"; }
    grep 'error: ' "$work/stderr" | grep -qF -- "$1" || { cat "$work/stderr" >&2; broken "the error does not say: $1"; }
}

# copy_source DIR: what decides the image, in another place.
copy_source() {
    mkdir -p "$1"
    cp -r "$CVMIN_SRC"/{agent-min,common,image,toolchain,CMakeLists.txt} "$1/"
}

# The root has no mount(8). tmpfs SIZE: a tmpfs at $mnt, or the one there with another size; tmpfs off: none.
tmpfs() {
    python3 - "${mnt:?}" "$1" <<'PY'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
path, size = (a.encode() for a in sys.argv[1:])
MS_REMOUNT, MNT_DETACH = 32, 2
if size == b"off":
    failed = libc.umount2(path, MNT_DETACH)
else:
    failed = libc.mount(b"tmpfs", path, b"tmpfs", MS_REMOUNT if os.path.ismount(path) else 0, b"size=" + size)
sys.exit(failed and os.strerror(ctypes.get_errno()))
PY
}
