#!/usr/bin/env bash
# Builds OVMF's AmdSev platform from Debian's edk2 sources (toolchain/firmware-sources.lock), in a root of its own
# ($CVMIN_FIRMWARE, toolchain/firmware.lock), and prints the path of the firmware. Called by `cvmin build --firmware source`
# inside the toolchain root. Everything that decides the bytes is in KEY; a firmware of that key is built once per cache.
#
#   firmware.sh [--out DIR] [--work DIR] [-j N]   --out: build into DIR, whatever the cache has; the cache stays as it is
#   firmware.sh --key                             prints KEY and builds nothing
#   firmware.sh --can-build | --can-rebuild       fails with the reason if it could not; --can-build: nor the cache has it
#   firmware.sh --inside DIR                      its own second half, in the other root
#
# An interrupted build leaves nothing but what the next one removes. Exit codes: 2 usage, 3 bad input, 4 system.
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022
# shellcheck source=toolchain/lib.sh
. "$CVMIN_SRC/toolchain/lib.sh"

readonly PRODUCT=firmware WORK_SPACE='1 GB'
# shellcheck source=image/work.sh
. "$CVMIN_SRC/image/work.sh"

readonly PLATFORM=OvmfPkg/AmdSev/AmdSevX64.dsc TOOLS=GCC5 SIZE=4194304 PLACE=/usr/src MODULES=263
lock=$CVMIN_SRC/toolchain/firmware-sources.lock

out='' work_base='' jobs=${CVMIN_JOBS:-$(nproc)} inside='' question=''
while [ $# -gt 0 ]; do
    case $1 in
    --key | --can-build | --can-rebuild) question=$1 && shift ;;
    --out | --work | -j | --inside)
        [ $# -ge 2 ] || die $E_USAGE "firmware.sh: $1 needs a value"
        case $1 in
        --out) out=$(realpath -m -- "$2") ;;
        --work) work_base=$2 ;;
        -j) jobs=$2 ;;
        --inside) inside=$2 ;;
        esac
        shift 2
        ;;
    *) die $E_USAGE "firmware.sh: no option $1" ;;
    esac
done
[[ $jobs =~ ^[1-9][0-9]*$ ]] || die $E_USAGE "firmware.sh: -j takes a positive number"

# source_line KIND: the one line of that kind in the lock.
source_line() {
    local line
    line=$(lock_lines "$lock" | awk -v kind="$1" '$4 == "edk2" && $6 == kind')
    [ -n "$line" ] && [ "$(wc -l <<<"$line")" = 1 ] && [[ $line =~ ^[0-9a-f]{64}\ [0-9]+\ [^\ ]+\ edk2\ [^\ ]+\ [a-z]+$ ]] ||
        die $E_INPUT "toolchain/firmware-sources.lock does not have exactly one line for edk2's $1"
    printf '%s\n' "$line"
}
source_line=$(source_line source)
packaging_line=$(source_line packaging)
version=$(cut -d' ' -f5 <<<"$source_line")

# ---- inside of the firmware root: from the patched sources in $inside to their OVMF.fd -----------------------------------

compile() {
    # Always at the same place: GenFw clears the path in a module's debug record and leaves its length. The mount namespace is
    # this build's own (toolchain/enter.sh).
    mount --bind "$inside" "$PLACE"
    cd "$PLACE"
    SOURCE_DATE_EPOCH=$(date -u -d "$(sed -nE '/^ -- /{ s/.*>  //p; q }' debian/changelog)" +%s)
    # make(1) hands its own options on; the names are those of edk2's build
    unset MAKEFLAGS MAKELEVEL WORKSPACE EDK_TOOLS_PATH CONF_PATH PACKAGES_PATH
    export SOURCE_DATE_EPOCH PYTHON_COMMAND=python3 PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1
    # No GRUB: the measured kernel is the only thing that this firmware starts. As in Debian's package, the module is there
    # and empty; newer than its script, so that nothing tries to make one.
    touch OvmfPkg/AmdSev/Grub/grub.efi
    set +eu # edksetup.sh is made for neither, and takes the arguments of whoever reads it
    set --
    # shellcheck source=/dev/null
    . ./edksetup.sh
    set -eu
    make -C BaseTools -j "$jobs" ARCH=X64
    # L without quotes is how edk2's command line takes wide text
    build -n "$jobs" -a X64 -t $TOOLS -b RELEASE -p $PLATFORM -D TPM2_ENABLE=TRUE \
        --pcd 'PcdFirmwareVendor=LEDK II, built by cvmin\0' \
        --pcd "PcdFirmwareVersionString=L$version\\0" \
        --pcd "PcdFirmwareReleaseDateString=L$(date -u -d "@$SOURCE_DATE_EPOCH" +%m/%d/%Y)\\0"
}
if [ -n "$inside" ]; then
    compile
    exit 0
fi

# ---- outside --------------------------------------------------------------------------------------------------------------

key=$({
    cat -- "$CVMIN_SRC/image/firmware.sh" "$CVMIN_SRC/toolchain/firmware.lock"
    printf '%s\n' "$source_line" "$packaging_line"
} | sha256sum | cut -c1-16)
cached=$CVMIN_CACHE/firmware-$key

# Sources and the other root are there; what fetches and makes them runs outside of this root.
check_ready() {
    local line sha file
    [ -n "${CVMIN_ROOT:-}" ] || die $E_SYSTEM "the firmware is built from inside the toolchain root: run it through ./dev"
    [ -n "${CVMIN_FIRMWARE:-}" ] && [ -f "$CVMIN_FIRMWARE/.complete" ] ||
        die $E_SYSTEM "the root that the firmware is built in is missing; run: ./dev firmware"
    for line in "$source_line" "$packaging_line"; do
        read -r sha _ file _ <<<"$line"
        [ -r "$(dl_path "$sha")" ] || die $E_SYSTEM "$(basename "$file") is not in the cache; run: ./dev firmware"
        [ "$(sha256_of "$(dl_path "$sha")")" = "$sha" ] ||
            die $E_INPUT "$(dl_path "$sha") is not $(basename "$file"): remove it and run: ./dev firmware"
    done
}

case $question in
--key)
    printf '%s\n' "$key"
    exit 0
    ;;
--can-build | --can-rebuild)
    [ "$question" = --can-build ] && [ -f "$cached/OVMF.fd" ] || check_ready
    exit 0
    ;;
esac

# modules_progress: for show_progress, how far edk2's build is.
modules_progress() {
    printf '%s %s %s\n' "$(grep -c '^Building \.\.\. ' "$log")" $MODULES \
        "$(grep '^Building \.\.\. ' "$log" | tail -n 1 | sed -E 's/.*\/([^/]*)\.inf.*/\1/')"
}

# build_firmware TARGET: TARGET appears whole or not at all.
build_firmware() {
    local target=$1 started=$SECONDS patch
    [ -n "$out" ] || [ ! -f "$target/OVMF.fd" ] || return 0
    check_ready
    make_work "${work_base:-${TMPDIR:-/tmp}}" "$target"
    mkdir "$work/edk2"

    note "firmware: unpacking edk2 $version"
    local src=$work/edk2
    step unpacking tar -x -C "$src" --strip-components=1 -f "$(dl_path "${source_line%% *}")"
    step unpacking tar -x -C "$src" -f "$(dl_path "${packaging_line%% *}")" debian/changelog debian/copyright debian/patches
    while read -r patch; do
        step "applying $patch" patch -d "$src" -p1 --fuzz=0 --no-backup-if-mismatch -i "$src/debian/patches/$patch"
    done < <(sed -E 's/[[:space:]]*(#.*)?$//; /^$/d' "$src/debian/patches/series")

    note "firmware: compiling ($jobs jobs; 2 to 5 minutes on 2 cores)"
    show_progress "firmware" modules_progress </dev/null >/dev/null &
    watch_pid=$!
    step compiling "$CVMIN_SRC/toolchain/enter.sh" "$CVMIN_FIRMWARE" bash "$CVMIN_SRC/image/firmware.sh" --inside "$src" -j "$jobs"
    end_watch

    local built=$src/Build/AmdSev/RELEASE_$TOOLS/FV/OVMF.fd
    [ "$(stat -c %s "$built" 2>/dev/null)" = $SIZE ] || die $E_SYSTEM "edk2's build left no OVMF.fd of $SIZE bytes"
    cp -- "$built" "$new/OVMF.fd"
    cd /
    sync -f "$new"
    rm -rf -- "$target"
    mv -T -- "$new" "$target"
    note "firmware: $SIZE bytes, built in $((SECONDS - started)) s"
}

if [ -n "$out" ]; then
    [ ! -e "$out" ] || die $E_USAGE "firmware.sh: $out exists"
    build_firmware "$out"
    printf '%s\n' "$out/OVMF.fd"
else
    # held by this shell and by what it starts; not with_lock, whose subshell a signal to this one would not reach
    mkdir -p "$CVMIN_CACHE"
    exec 9>"$CVMIN_CACHE/firmware-$key.lock"
    flock -n 9 || { note "another cvmin is building this firmware; waiting for it" && flock 9; }
    build_firmware "$cached"
    printf '%s\n' "$cached/OVMF.fd"
fi
