#!/usr/bin/env bash
# OVMF's AmdSev platform built from source, twice, with another path, umask, locale, time zone, clock and number of jobs: the same
# bytes. Then an image with it is booted and attested, and its launch digest is the one that was predicted. Needs what
# ./dev firmware makes; some 20 minutes on 2 cores.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
[ -f "${CVMIN_FIRMWARE:-}/.complete" ] || broken "no root to build the firmware in: run ./dev firmware first"

"$CVMIN_SRC/image/firmware.sh" --out "$work/a" --work "$work/first" -j 1 >/dev/null
(
    umask 077
    export LC_ALL=C LANG=tr_TR.UTF-8 TZ=EAST-14 USER=another-user SOURCE_DATE_EPOCH=1000000000
    "$CVMIN_SRC/image/firmware.sh" --out "$work/b" --work "$work/another-directory/with-a-longer+name" -j 3 >/dev/null
)
same "$work/a/OVMF.fd" "$work/b/OVMF.fd"
! grep -qaF "$work" "$work/a/OVMF.fd" || broken "the path of the build is in the firmware"
[ -z "$(find "$work" -name 'cvmin-firmware-*')" ] || broken "the builds leave directories behind"
echo "firmware: same bytes, $(sha256sum <"$work/a/OVMF.fd" | cut -c1-16)"

# the one that the cache has, or gets, is of the same bytes
expect 0 "$CVMIN" build --firmware source --out "$work/out"
same "$work/a/OVMF.fd" "$work/out/OVMF.fd"
