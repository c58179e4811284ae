#!/usr/bin/env bash
# ./dev lock: what it says of pins that a mirror no longer lists, and of what changed between two locks. No network: an
# apt-get of ours gives the lists.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
failed=0
wrong() {
    printf 'FAILED: %s\n' "$*" >&2
    failed=1
}

# ---- changes -----------------------------------------------------------------------------------------------------------
cat >"$work/old" <<'EOF'
# Written by ./dev lock. sha256, size, path in the archive, package, version, architecture.
aa 1 pool/a_1_all.deb a 1 all
bb 1 pool/b_1_amd64.deb b 1 amd64
cc 1 pool/c_1_amd64.deb c 1 amd64
dd 1 pool/d_1_amd64.deb d 1 amd64
EOF
cat >"$work/new" <<'EOF'
# Written by ./dev lock. sha256, size, path in the archive, package, version, architecture.
aa 1 pool/a_1_all.deb a 1 all
b2 1 pool/b_2_amd64.deb b 2 amd64
c2 1 pool/c_1_amd64.deb c 1 amd64
ee 1 pool/e_1_amd64.deb e 1 amd64
EOF
changes() { awk -f "$CVMIN_SRC/toolchain/lock-changes.awk" "$@" | sort -b -k2,2 | tr -s ' '; }
got=$(changes "$work/old" "$work/new")
want=' changed b 1 -> 2
 REPLACED c 1: the same version with other bytes
 gone d 1
 new e 1'
[ "$got" = "$want" ] || wrong "changes: $got"
[ -z "$(changes "$work/old" "$work/old")" ] || wrong "equal locks have changes"
[ "$(changes /dev/null "$work/new" | wc -l)" = 4 ] || wrong "of no lock all is new"

# ---- pins that are gone ------------------------------------------------------------------------------------------------
mkdir -p "$work/tree/toolchain" "$work/bin" "$work/cache"
cp -- "$CVMIN_SRC"/toolchain/{lock.sh,lib.sh,packages.list} "$work/tree/toolchain/"
cp -- "$work/old" "$work/tree/toolchain/browser.lock"
printf '%s\n' 'ff 1 pool/s_1.orig.tar.gz s 1-1 source' >"$work/tree/toolchain/peer.lock"
cat >"$work/bin/apt-get" <<'EOF'
#!/usr/bin/env bash
[ "$*" = "-q update" ] || exit 0
lists=$(sed -n 's/^Dir "\([^"]*\)".*/\1/p' "$APT_CONFIG")state/lists
[ -z "${LISTS:-}" ] || cp -- "$LISTS"/* "$lists/"
EOF
chmod +x "$work/bin/apt-get"
mkdir -p "$work/lists"
# a as pinned; b in a newer version; c with other bytes; d not at all
cat >"$work/lists/m_Packages" <<'EOF'
Package: a
Filename: pool/a_1_all.deb
Size: 1
SHA256: aa

Package: b
Filename: pool/b_2_amd64.deb
SHA256: b2

Package: c
Filename: pool/c_1_amd64.deb
SHA256: c2
EOF
cat >"$work/lists/m_Sources" <<'EOF'
Package: s
Checksums-Sha256:
 0f 2 s_1-1.dsc
 ff 1 s_1.orig.tar.gz
Directory: pool

Package: t
Directory: pool/t
Checksums-Sha256:
 1f 2 t_1.orig.tar.gz
EOF
# check WHICH: standard output of lock.sh --check in $work/out, messages in $work/err, its exit code in $status
check() {
    status=0
    PATH=$work/bin:$PATH LISTS=$lists CVMIN_MIRROR=file:/none/debian CVMIN_CACHE=$work/cache CVMIN_SRC=$work/tree \
        bash "$work/tree/toolchain/lock.sh" --check "$@" >"$work/out" 2>"$work/err" || status=$?
}
lists=$work/lists
check browser
[ $status = 5 ] || wrong "--check with pins that are gone: exit code $status"
[ "$(cut -d' ' -f2 "$work/out" | tr '\n' ' ')" = "b c d " ] || wrong "--check names: $(cat "$work/out")"
grep -q '3 of 4 pins are no longer listed' "$work/err" || wrong "--check counts: $(cat "$work/err")"
check peer
[ $status = 0 ] && [ ! -s "$work/out" ] || wrong "--check of a source that is listed: $status, $(cat "$work/out")"
lists=''
check peer
[ $status = 5 ] && grep -q 'no list of Packages' "$work/err" || wrong "--check without lists: $status, $(cat "$work/err")"

# ---- usage -------------------------------------------------------------------------------------------------------------
for words in '' '--renew' '--check nothing'; do
    status=0
    # shellcheck disable=SC2086 # words are meant to split
    CVMIN_SRC=$work/tree bash "$work/tree/toolchain/lock.sh" $words >/dev/null 2>"$work/err" || status=$?
    [ $status = 2 ] && grep -q -e --update "$work/err" || wrong "lock $words: $status, $(cat "$work/err")"
done
exit $failed
