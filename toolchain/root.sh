#!/usr/bin/env bash
# root.sh ROOT LOCK [SOURCES]: makes ROOT, a Debian of the packages in LOCK, plus the `next:` packages of SOURCES. Used for
# the toolchain root (debs.lock, sources.lock) and for the browser that tests look at pages with (browser.lock). Prints
# nothing on stdout. An interrupted run leaves only ROOT.new-<pid>, which the next run removes. Called with the root's
# lock held (see dev).
set -euo pipefail
# shellcheck source=toolchain/lib.sh
. "$CVMIN_SRC/toolchain/lib.sh"

root=$1 lock=$2 sources=${3:-}
[ -f "$root/.complete" ] && exit 0

rm -rf -- "${root%-*}"-*.new-* # left by an interrupted run; the caller holds the lock
fetch "$lock" ${sources:+"$sources"}

if ! command -v mmdebstrap >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        note "installing mmdebstrap"
        # uidmap lets mmdebstrap work for ordinary users of this machine, too
        { apt-get -q update && apt-get -q install -y --no-install-recommends mmdebstrap uidmap; } >&2 ||
            die $E_SYSTEM "mmdebstrap could not be installed"
    else
        die $E_SYSTEM "mmdebstrap is missing; run: sudo apt-get install -y mmdebstrap uidmap"
    fi
fi

# The temporary repository is outside $HOME: in unshare mode mmdebstrap works as a subordinate user id.
repo=$(mktemp -d "${TMPDIR:-/tmp}/cvmin-repo-XXXXXX")
new=$root.new-$$
trap 'rm -rf -- "$repo" "$new"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$repo"

note "making the ${sources:+toolchain }root $(basename "$root") (once; about a minute)"
lock_lines "$lock" | while read -r sha size path _; do
    deb=$(basename "$path")
    cp --reflink=auto -- "$(dl_path "$sha")" "$repo/$deb"
    chmod 644 "$repo/$deb"
    dpkg-deb -f "$repo/$deb" | sed '/^$/d'
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$size" "$sha"
done >"$repo/Packages"
# mmdebstrap finds the essential packages by the suite's name, which apt takes from a Release file
printf 'Suite: trixie\nCodename: trixie\nArchitectures: amd64\nSHA256:\n %s %s Packages\n' \
    "$(sha256_of "$repo/Packages")" "$(stat -c %s "$repo/Packages")" >"$repo/Release"

if [ "$(id -u)" = 0 ]; then mode=root; else mode=unshare; fi
names=$(lock_lines "$lock" | awk '{ printf "%s%s", n++ ? "," : "", $4 }')
mmdebstrap --quiet --mode=$mode --variant=essential --include="$names" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='APT::Sandbox::User ""' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --skip=cleanup/apt,output/dev \
    trixie "$repo/root.tar" "deb [trusted=yes] copy:$repo ./" >&2 ||
    die $E_SYSTEM "mmdebstrap failed; are user namespaces allowed here? (sysctl user.max_user_namespaces)"

mkdir -p "$new"
unpack() { tar -x --no-same-owner -C "$new" -f "$1"; }
unpack "$repo/root.tar" --exclude='./dev/*'
for name in ${sources:+ovmf-amdsev vhost-device-vsock}; do
    deb=$(lock_lines "$sources" | awk -v p="$name" '$4 == p { print $1 }')
    dpkg-deb --fsys-tarfile "$(dl_path "$deb")" | tar -x --no-same-owner -C "$new" --exclude='./usr/share/doc/*'
done
touch "$new/.complete"
sync -f "$new"
rm -rf -- "$root" # incomplete, if it is there
mv -T -- "$new" "$root"
