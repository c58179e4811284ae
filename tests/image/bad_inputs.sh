#!/usr/bin/env bash
# What an image build says and leaves when the disk for its intermediate files is full. tests/image/build.sh has the same for the image itself.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
mnt=$work/mnt
on_exit() {
    tmpfs off 2>/dev/null || true
    rm -rf -- "$work"
}
mkdir "$mnt"
tmpfs 200k
expect 4 "$CVMIN" build --out "$work/out" --work "$mnt/work"
grep -q 'No space left on device' "$work/stderr" || { cat "$work/stderr" >&2; broken "it does not say why"; }
[ ! -e "$work/out" ] || broken "a failed build left an image"
# with space the same directory serves
tmpfs 60m
expect 0 "$CVMIN" build --out "$work/out" --work "$mnt/work"
[ -s "$work/out/image.json" ] || broken "no image"
tmpfs off
echo "full disks: as documented"
