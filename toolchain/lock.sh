#!/usr/bin/env bash
# lock.sh --update|--check [toolchain|browser|peer|firmware]: resolves packages.list against the Debian mirrors this machine is
# configured to use and writes debs.lock and sources.lock (toolchain), browser.lock (browser), peer.lock (peer), firmware.lock
# and firmware-sources.lock (firmware), or all of them, with what changed on stdout; or says which pins of these locks the mirror no longer lists. Needs apt on the host;
# changes nothing of the host's own apt state.
set -euo pipefail
# shellcheck source=toolchain/lib.sh
. "$CVMIN_SRC/toolchain/lib.sh"

readonly RELEASE=trixie NEXT=forky
mode='' locks=(debs.lock sources.lock browser.lock peer.lock firmware.lock firmware-sources.lock)
for word in "$@"; do
    case $word in
    --update | --check) mode=${word#--} ;;
    toolchain) locks=(debs.lock sources.lock) ;;
    browser) locks=(browser.lock) ;;
    peer) locks=(peer.lock) ;;
    firmware) locks=(firmware.lock firmware-sources.lock) ;;
    *) die $E_USAGE "lock: --update or --check, then toolchain, browser, peer or firmware; not '$word'" ;;
    esac
done
[ -n "$mode" ] || die $E_USAGE "lock: --update renews the pins, --check says which of them the mirrors no longer list"
command -v apt-get >/dev/null || die $E_SYSTEM "the lists of a Debian mirror are read by apt: it is not on this host"

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
mirror=$(mirrors | grep '/debian/$' | head -n 1 || true)
[ -n "$mirror" ] || die $E_SYSTEM "no Debian mirror in this machine's apt configuration; set CVMIN_MIRROR"
mkdir -p "$work"/{state/lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
cat >"$work/etc/sources.list" <<EOF
deb [signed-by=$keyring] $mirror $RELEASE main
deb-src [signed-by=$keyring] $mirror $RELEASE main
deb [signed-by=$keyring] $mirror $NEXT main
EOF
# The next release is a moving suite: a mirror that lags behind is fine, every file is pinned below by its hash.
cat >"$work/apt.conf" <<EOF
Dir "$work/"; Dir::State "state"; Dir::State::status "/dev/null"; Dir::Cache "cache"; Dir::Etc "etc";
APT::Architecture "amd64"; APT::Architectures "amd64"; APT::Install-Recommends "false";
Acquire::Languages "none"; Acquire::GzipIndexes "false"; Acquire::Check-Valid-Until "false"; APT::Default-Release "$RELEASE";
APT::Sandbox::User "";
EOF
export APT_CONFIG=$work/apt.conf
note "reading package lists"
apt-get -q update >/dev/null

words() { sed -n "s/^$1: //p" "$CVMIN_SRC/toolchain/packages.list"; }
header() {
    printf '# Written by ./dev lock. sha256, size, path in the archive, package, version, architecture.\n'
}

# deb_line PACKAGE VERSION
deb_line() {
    apt-cache show --no-all-versions "$1=$2" | awk '
        /^Package:/ { p = $2 } /^Version:/ { v = $2 } /^Architecture:/ { a = $2 }
        /^Filename:/ { f = $2 } /^Size:/ { s = $2 } /^SHA256:/ { h = $2 }
        END { print h, s, f, p, v, a }'
}

# root_lock KIND: the packages of a root, with all they depend on.
root_lock() {
    header
    # shellcheck disable=SC2046 # words are meant to split
    apt-get install -y --simulate '?essential' $(words "$1") >"$work/plan"
    sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1 \2/p' "$work/plan" | sort -u |
        while read -r package version; do deb_line "${package%%:*}" "$version"; done
}

sources_lock() {
    header
    for package in $(words next); do
        deb_line "$package" "$(apt-cache madison "$package" | awk -v r="$NEXT/" 'index($0, r) { print $3; exit }')"
    done
    for package in $(words fetch); do
        deb_line "$package" "$(apt-cache madison "$package" | awk -v r="$RELEASE/" 'index($0, r) { print $3; exit }')"
    done
    words source | while read -r package prefix; do
        apt-cache showsrc --only-source "$package" | awk -v p="$package" -v prefix="$prefix" '
            /^Version:/ { v = $2 } /^Directory:/ { d = $2 }
            /^Checksums-Sha256:/ { on = 1; next } /^[^ ]/ { on = 0 }
            on && index($3, prefix) == 1 && $3 ~ /\.orig\.tar\.[a-z0-9]+$/ { h = $1; s = $2; f = $3 }
            END { print h, s, d "/" f, p, v, "source" }'
    done
}

# firmware_sources_lock: upstream's tarball (source) and Debian's packaging with its patches (packaging) of each package.
firmware_sources_lock() {
    header
    words firmware-source | while read -r package; do
        apt-cache showsrc --only-source "$package" | awk -v p="$package" '
            /^Version:/ { v = $2 } /^Directory:/ { d = $2 }
            /^Checksums-Sha256:/ { on = 1; next } /^[^ ]/ { on = 0 }
            on && $3 ~ /\.orig\.tar\.[a-z0-9]+$/ { kind = "source" }
            on && $3 ~ /\.debian\.tar\.[a-z0-9]+$/ { kind = "packaging" }
            on && kind { hash[kind] = $1; size[kind] = $2; name[kind] = $3; kind = "" }
            END { print_kind("source"); print_kind("packaging") }
            function print_kind(kind) { print hash[kind], size[kind], d "/" name[kind], p, v, kind }'
    done
}

# What every index of the mirror lists, of binary packages and of sources: "sha256 path".
listed() {
    awk '
        /^Filename:/ { f = $2 } /^SHA256:/ { print $2, f }
        /^Directory:/ { d = $2; while ((held) > 0) { print hash[held], d "/" name[held]; --held } directory = 1 }
        /^Checksums-Sha256:/ { on = 1; next }
        /^[^ ]/ { on = 0 }
        on { if (directory) print $1, d "/" $3; else { ++held; hash[held] = $1; name[held] = $3 } }
        /^$/ { directory = 0; held = 0; d = "" }' "$work"/state/lists/*_Packages "$work"/state/lists/*_Sources
}

if [ "$mode" = check ]; then
    for kind in Packages Sources; do
        compgen -G "$work/state/lists/*_$kind" >/dev/null || die $E_PEER "the mirror gave no list of $kind"
    done
    listed | sort -u >"$work/listed"
    gone=0
    for lock in "${locks[@]}"; do
        lock_lines "$CVMIN_SRC/toolchain/$lock" | sort >"$work/pins"
        # a pin counts as served with its bytes only: the same path with another hash is not ours
        awk 'FNR == NR { have[$1 " " $2] = 1; next } !(($1 " " $3) in have)' "$work/listed" "$work/pins" >"$work/gone"
        count=$(wc -l <"$work/gone")
        note "$lock: $count of $(wc -l <"$work/pins") pins are no longer listed by the mirror"
        while read -r sha _ path package version _; do
            printf '%s: %s %s (%s)%s\n' "$lock" "$package" "$version" "$path" \
                "$([ -f "$(dl_path "$sha")" ] && echo '; this machine has it' || true)"
        done <"$work/gone"
        gone=$((gone + count))
    done
    [ $gone = 0 ] || die $E_PEER "$gone pin(s) are gone: a fresh machine needs CVMIN_SNAPSHOT_MIRROR, or ./dev lock --update"
    exit 0
fi

for lock in "${locks[@]}"; do
    note "resolving $lock"
    case $lock in
    debs.lock) root_lock root ;;
    sources.lock) sources_lock ;;
    browser.lock) root_lock browser ;;
    peer.lock) root_lock peer ;;
    firmware.lock) root_lock firmware ;;
    firmware-sources.lock) firmware_sources_lock ;;
    esac >"$work/$lock"
    if awk '!/^#/ && NF != 6 { bad = 1 } END { exit !bad }' "$work/$lock"; then
        die $E_SYSTEM "an entry of $lock could not be resolved: $(awk '!/^#/ && NF != 6' "$work/$lock" | head -n 1)"
    fi
done
for lock in "${locks[@]}"; do
    old=$CVMIN_SRC/toolchain/$lock
    [ -f "$old" ] || old=/dev/null
    awk -f "$CVMIN_SRC/toolchain/lock-changes.awk" "$old" "$work/$lock" | sort -b -k2,2 >"$work/changes"
    note "$lock: $(grep -vc '^#' "$work/$lock") packages, $(wc -l <"$work/changes") changes"
    cat -- "$work/changes"
    cp -- "$work/$lock" "$CVMIN_SRC/toolchain/$lock"
done
