#!/usr/bin/env bash
# Budget: kernel + initramfs <= 3.5 MiB. Of the built image (CVMIN_IMAGE, default out/).
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
out=${CVMIN_IMAGE:-$CVMIN_SRC/out}
readonly BUDGET=$((3584 * 1024))
for file in bzImage initrd.zst; do [ -s "$out/$file" ] || broken "$out/$file is missing: run cvmin build first"; done
kernel=$(stat -c %s "$out/bzImage") initrd=$(stat -c %s "$out/initrd.zst")
printf 'kernel %d + initramfs %d = %d bytes of %d\n' "$kernel" "$initrd" $((kernel + initrd)) $BUDGET
[ $((kernel + initrd)) -le $BUDGET ] || broken "over budget"
