#!/usr/bin/env bash
# What an image build says and leaves when the disk for its intermediate files is full, and what a killed kernel build leaves.
# tests/image/build.sh has the same for the image itself.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
mnt=$work/mnt
on_exit() {
    tmpfs off 2>/dev/null || true
    rm -rf -- "$work"
}
mkdir "$mnt"
tmpfs 8m
expect 4 "$CVMIN" build --out "$work/out" --work "$mnt/work" --rebuild-kernel
grep -q 'building the kernel failed: unpacking: No space left on device' "$work/stderr" || { cat "$work/stderr" >&2; broken "it does not say why"; }
! compgen -G "$mnt/work/cvmin-*" >/dev/null || broken "a full disk left $(ls -A "$mnt/work")"
[ ! -e "$work/out" ] || broken "a failed build left an image"
tmpfs 200k
expect 4 "$CVMIN" build --out "$work/out" --work "$mnt/work"
grep -q 'No space left on device' "$work/stderr" || { cat "$work/stderr" >&2; broken "it does not say why"; }
[ ! -e "$work/out" ] || broken "a failed build left an image"
# with space the same directory serves
tmpfs 60m
expect 0 "$CVMIN" build --out "$work/out" --work "$mnt/work"
[ -s "$work/out/image.json" ] || broken "no image"
tmpfs off
# ---- kill -9 in the middle of a kernel: the next build removes what it left, and nothing of one that is at work -------
begun() { # DIRECTORIES: so many builds are unpacking
    for _ in $(seq 600); do
        [ "$(compgen -G "$work/k/cvmin-kernel-*/usr/src/*" | wc -l)" != "$1" ] || return 0
        sleep 0.05
    done
    broken "no kernel is being unpacked: $(ls "$work/k")"
}
# kill_all PID: PID, which leads a session, and all of that session, whatever process groups they are in
kill_all() {
    python3 - "$1" <<'PY'
import os, signal, sys
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        if int(open("/proc/%s/stat" % name).read().rpartition(")")[2].split()[3]) == int(sys.argv[1]):
            os.kill(int(name), signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        pass
PY
    wait "$1" 2>/dev/null || true
}
session() { setsid bash -c 'exec "$@"' session env CVMIN_QUIET=1 "$CVMIN_SRC/image/kernel.sh" --out "$1" --work "$work/k" >/dev/null 2>&1 & }
session "$work/kernel"
one=$!
begun 1
left=$(echo "$work"/k/cvmin-kernel-*)
kill_all $one
[ -d "$left" ] || broken "the build was not killed in the middle"
session "$work/kernel"
two=$!
for _ in $(seq 600); do [ -e "$left" ] || break; sleep 0.05; done
[ ! -e "$left" ] || broken "the next build leaves what a killed one left"
begun 1
live=$(echo "$work"/k/cvmin-kernel-*)
session "$work/kernel-2"
three=$!
begun 2
[ -d "$live" ] || broken "a build removes the directory of another one"
kill -TERM $two
status=0
wait $two || status=$?
[ $status = 143 ] || broken "kernel.sh: exit $status after TERM"
kill_all $three
[ ! -e "$live" ] && [ ! -e "$work/kernel" ] && [ -z "$(compgen -G "$work/kernel.new-*")" ] || broken "TERM left $(ls "$work" "$work/k")"
echo "full disks, killed kernel builds: as documented"
