#!/usr/bin/env bash
# Builds the guest kernel inside the toolchain root and prints the directory that holds it (bzImage, config). Called by
# `cvmin build`. Everything that decides the bytes is in KEY; a kernel of that key is built once per cache.
#
#   kernel.sh [--out DIR] [--work DIR] [-j N]   --out: build into DIR, whatever the cache has; the cache stays as it is
#   kernel.sh --key                             prints KEY and builds nothing
#   kernel.sh --check-config FILE               checks a resolved configuration against the fragment, and nothing else
#
# An interrupted build leaves nothing but what the next one removes. Exit codes: 2 usage, 3 the fragment does not hold,
# 4 system.
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022
# shellcheck source=toolchain/lib.sh
. "$CVMIN_SRC/toolchain/lib.sh"

readonly PRODUCT=kernel WORK_SPACE='1.3 GB'
# shellcheck source=image/work.sh
. "$CVMIN_SRC/image/work.sh"

readonly OBJECTS=1165 # of this configuration, about: for the estimate of the time that is left
readonly DEB=linux-source-6.12_6.12.117-1_all.deb TREE=linux-source-6.12
image=$CVMIN_SRC/image
fragment=$image/kernel.config

out='' work_base='' jobs=${CVMIN_JOBS:-$(nproc)} check=''
while [ $# -gt 0 ]; do
    case $1 in
    --key) key_only=1 && shift ;;
    --out | --work | -j | --check-config)
        [ $# -ge 2 ] || die $E_USAGE "kernel.sh: $1 needs a value"
        case $1 in
        --out) out=$(realpath -m -- "$2") ;;
        --work) work_base=$2 ;;
        -j) jobs=$2 ;;
        --check-config) check=$2 ;;
        esac
        shift 2
        ;;
    *) die $E_USAGE "kernel.sh: no option $1" ;;
    esac
done
[[ $jobs =~ ^[1-9][0-9]*$ ]] || die $E_USAGE "kernel.sh: -j takes a positive number"

# Lines NAME=VALUE of the fragment, without reasons.
fragment_lines() { sed -E 's/[[:space:]]+#.*$//; /^#/d; /^$/d' "$fragment"; }

# check_config FILE: every line of the fragment holds in the resolved configuration, or the error names it.
check_config() {
    local line name bad=0
    while read -r line; do
        name=${line%%=*}
        if ! [[ $line =~ ^CONFIG_[A-Z0-9_]+= ]]; then
            note "kernel.config: not a line of the form CONFIG_NAME=VALUE: $line"
        elif [ "${line#*=}" = n ]; then
            grep -q "^$name=" "$1" || continue
            note "kernel.config: wants $name not set, but it resolved to $(grep "^$name=" "$1")"
        else
            ! grep -qxF -- "$line" "$1" || continue
            note "kernel.config: wants $line, but it resolved to" \
                "$(grep -E "^$name=" "$1" || echo 'not set; is a dependency missing?')"
        fi
        bad=1
    done < <(fragment_lines)
    [ $bad = 0 ] || die $E_INPUT "the kernel's configuration is not what image/kernel.config asks for"
}

# check_names DIR: `=n` of a name that no Kconfig file knows would hold for ever.
check_names() {
    local unknown definition='s/^[[:space:]]*(menu)?config[[:space:]]+([A-Z0-9_]+).*/\2/p'
    unknown=$(comm -23 <(fragment_lines | sed -E 's/^CONFIG_//; s/=.*//' | sort -u) \
        <(find "$1" -name 'Kconfig*' -exec sed -nE "$definition" {} + | sort -u))
    # shellcheck disable=SC2086 # words are meant to split
    [ -z "$unknown" ] || die $E_INPUT "image/kernel.config names options that Linux does not have:" $unknown
}

if [ -n "$check" ]; then
    [ -r "$check" ] || die $E_INPUT "$check cannot be read"
    check_config "$check"
    exit 0
fi

deb=$(source_file "$DEB")
key=$({
    cat -- "$fragment" "$image/kernel.sh" "$image"/patches/*.patch
    lock_lines "$CVMIN_SRC/toolchain/sources.lock" | grep -F "/$DEB"
    cat -- "$CVMIN_SRC/toolchain/debs.lock"
} | sha256sum | cut -c1-16)
if [ -n "${key_only:-}" ]; then
    printf '%s\n' "$key"
    exit 0
fi
[ -n "${CVMIN_ROOT:-}" ] || die $E_SYSTEM "the kernel is built inside the toolchain root: run it through ./dev"

# build TARGET: TARGET appears whole or not at all.
build() {
    local target=$1 started=$SECONDS
    [ -n "$out" ] || [ ! -f "$target/bzImage" ] || return 0
    make_work "${work_base:-${TMPDIR:-/tmp}}" "$target"

    note "kernel: unpacking Linux ($DEB)"
    # -m: dated now. Make does not like files from the future, which the archive's are when the clock is behind
    step unpacking tar -xm -C "$work" -f <(dpkg-deb --fsys-tarfile "$deb") "./usr/src/$TREE.tar.xz"
    # other architectures and drivers of no configuration of ours: half of all files
    step unpacking tar -xm -C "$work" -f "$work/usr/src/$TREE.tar.xz" --exclude="$TREE/arch/[!x]*.[chS]" \
        --exclude="$TREE/arch/[!x]*.dts*" --exclude="$TREE/Documentation/*.*" --exclude="$TREE/tools/testing/*" \
        --exclude="$TREE/sound/*.[ch]" --exclude="$TREE/drivers/gpu/*.[ch]" --exclude="$TREE/drivers/net/*/*.[ch]" \
        --exclude="$TREE/drivers/media/*.[ch]"
    rm -rf -- "${work:?}/usr"
    local src=$work/$TREE patch
    cd "$src"
    for patch in "$image"/patches/*.patch; do
        step "applying $(basename "$patch")" patch -p1 --fuzz=0 --no-backup-if-mismatch -i "$patch"
    done
    # the kernel's own way to switch it off does not reach vmlinux and the vDSO
    sed -i 's/--build-id=sha1/--build-id=none/' Makefile arch/x86/entry/vdso/Makefile
    ! grep -q -- '--build-id=sha1' Makefile arch/x86/entry/vdso/Makefile || die $E_SYSTEM "build-id is still on"

    export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970' KBUILD_BUILD_VERSION=1
    export KBUILD_BUILD_USER=cvmin KBUILD_BUILD_HOST=cvmin SOURCE_DATE_EPOCH=0
    local map="-ffile-prefix-map=$src/=./ -ffile-prefix-map=$src=."
    local make=(make LLVM=1 ARCH=x86_64 KCFLAGS="$map" KAFLAGS="$map" KCPPFLAGS="$map")

    note "kernel: configuring"
    check_names "$src"
    fragment_lines >"$work/fragment"
    step configuring "${make[@]}" KCONFIG_ALLCONFIG="$work/fragment" allnoconfig
    check_config .config

    note "kernel: compiling ($jobs jobs; 5 to 10 minutes on 2 cores)"
    show_progress "kernel" kbuild_progress "$log" $OBJECTS </dev/null >/dev/null &
    watch_pid=$!
    step compiling "${make[@]}" -j "$jobs" bzImage
    end_watch

    cp -- arch/x86/boot/bzImage "$new/bzImage"
    cp -- .config "$new/config"
    cd /
    sync -f "$new"
    rm -rf -- "$target"
    mv -T -- "$new" "$target"
    note "kernel: $(stat -c %s "$target/bzImage") bytes, built in $((SECONDS - started)) s"
}

[ -r "$deb" ] || die $E_SYSTEM "$DEB is not in the cache; run: ./dev shell true"
if [ -n "$out" ]; then
    [ ! -e "$out" ] || die $E_USAGE "kernel.sh: $out exists"
    build "$out"
    printf '%s\n' "$out"
else
    # held by this shell and by what it starts; not with_lock, whose subshell a signal to this one would not reach
    mkdir -p "$CVMIN_CACHE"
    exec 9>"$CVMIN_CACHE/kernel-$key.lock"
    flock -n 9 || { note "another cvmin is building this kernel; waiting for it" && flock 9; }
    build "$CVMIN_CACHE/kernel-$key"
    printf '%s\n' "$CVMIN_CACHE/kernel-$key"
fi
