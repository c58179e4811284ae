#!/usr/bin/env bash
# The same sources give the same bytes. Agent, initramfs, reference values and image.json: two builds in directories of different
# names with different jobs, umask, time zone and locale. Kernel: a second build in another directory with another number of
# jobs; since that takes minutes, success is remembered per kernel key and kernel bytes.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
export CCACHE_DISABLE=1

copy_source "$work/a"
b=$work/another-directory/with-a-longer+name/b
mkdir -p "${b%/b}"
cp -r "$work/a" "$b"
(umask 077 && TZ=Asia/Kolkata LC_ALL=C "$CVMIN" build --source "$work/a" --out "$work/a/out" --work "$work/a/work" -j 1) >/dev/null
(umask 000 && TZ=America/Lima LC_ALL=C.UTF-8 "$CVMIN" build --source "$b" --out "$b/out" --work "$b/work" -j 3) >/dev/null
for file in bzImage initrd.zst cmdline OVMF.fd agent reference-values.json reference-values.corim audit.json image.json; do
    same "$work/a/out/$file" "$b/out/$file"
done
modes() { (cd "$1" && stat -c '%a %n' . ./* | sort); }
[ "$(modes "$work/a/out")" = "$(modes "$b/out")" ] || broken "modes differ: $(modes "$work/a/out") $(modes "$b/out")"
[ "$(modes "$work/a/out" | wc -l)" = 10 ] || broken "not nine files and their directory: $(modes "$work/a/out")"
! grep -qaF "$work" "$work"/a/out/* || broken "the path of the build is in the image"
echo "agent, initramfs, reference values, image.json: same bytes"

kernel=$CVMIN_CACHE/kernel-$("$CVMIN_SRC/image/kernel.sh" --key)
same "$kernel/bzImage" "$work/a/out/bzImage"
stamp=$kernel.reproduced
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(sha256sum <"$kernel/bzImage")" ]; then
    echo "kernel: built twice with the same bytes before ($(basename "$stamp"))"
    exit 0
fi
"$CVMIN_SRC/image/kernel.sh" --out "$work/kernel" --work "$work/second" -j $(($(nproc) + 1)) >/dev/null
same "$kernel/bzImage" "$work/kernel/bzImage"
same "$kernel/config" "$work/kernel/config"
sha256sum <"$kernel/bzImage" >"$stamp"
echo "kernel: same bytes"
