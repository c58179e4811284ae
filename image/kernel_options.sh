#!/usr/bin/env bash
# Why each option of the guest kernel is what it is: every option whose value differs from plain `make allnoconfig`, with its
# reason. Runs inside the toolchain root, called by `cvmin build`; builds no kernel. Not responsible for whether the fragment
# holds: kernel.sh refuses one that does not.
#
#   kernel_options.sh CONFIG [--work DIR]   CONFIG: the resolved configuration; prints the file with the result
#
# The result is one line per option, sorted by name, with tabs between NAME VALUE BASE ORIGIN REASON. An option that is not set
# has the value n. ORIGIN is asked (the fragment names it; REASON is the fragment's), selected (by the options that REASON names, all of
# which are on) or default (Kconfig's own, once what it depends on is on; REASON names the Kconfig file). Exit codes as kernel.sh's.
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022
# shellcheck source=toolchain/lib.sh
. "$CVMIN_SRC/toolchain/lib.sh"

readonly DEB=linux-source-6.12_6.12.117-1_all.deb TREE=linux-source-6.12
image=$CVMIN_SRC/image

[ $# = 1 ] || { [ $# = 3 ] && [ "$2" = --work ]; } || die $E_USAGE "kernel_options.sh CONFIG [--work DIR]"
config=$1 work_base=${3:-${TMPDIR:-/tmp}}
[ -r "$config" ] || die $E_INPUT "$config cannot be read"
[ -n "${CVMIN_ROOT:-}" ] || die $E_SYSTEM "options are resolved inside the toolchain root: run it through ./dev"
deb=$(source_file "$DEB")
[ -r "$deb" ] || die $E_SYSTEM "$DEB is not in the cache; run: ./dev shell true"
key=$({
    cat -- "$config" "$image/kernel.config" "$image/hardening.list" "$image/kernel_options.sh" "$image"/patches/*.patch
    lock_lines "$CVMIN_SRC/toolchain/sources.lock" | grep -F "/$DEB"
    cat -- "$CVMIN_SRC/toolchain/debs.lock"
} | sha256sum | cut -c1-16)
target=$CVMIN_CACHE/kernel-options-$key
if [ -s "$target" ]; then
    printf '%s\n' "$target"
    exit 0
fi
# what is unpacked below is Linux without our patches
! grep -lE '^\+\+\+ .*Kconfig' "$image"/patches/*.patch >&2 || die $E_INPUT "a patch that changes Kconfig is not supported"

mkdir -p "$work_base" "$CVMIN_CACHE"
work=$(mktemp -d "$work_base/cvmin-options-XXXXXX")
trap 'rm -rf -- "$work" "$target.new-$$"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

note "kernel: reasons of its options"
tar -x -C "$work" -f <(dpkg-deb --fsys-tarfile "$deb") "./usr/src/$TREE.tar.xz"
tar -x -C "$work" -f "$work/usr/src/$TREE.tar.xz" --wildcards --wildcards-match-slash \
    "$TREE/*Kconfig*" "$TREE/Makefile" "$TREE/scripts/*" "$TREE/arch/x86/Makefile*"
cd "$work/$TREE"
make LLVM=1 ARCH=x86_64 allnoconfig >"$work/log" 2>&1 || { tail -n 10 "$work/log" >&2; die $E_SYSTEM "make allnoconfig failed"; }

# Kconfig's statements: "select WHAT BY" and "config WHAT FILE", of generic code and x86 alone
# shellcheck disable=SC2016 # awk's dollars
find . -name 'Kconfig*' -type f \( -path './arch/x86/*' -o -path './arch/Kconfig*' -o ! -path './arch/*' \) |
    sort | xargs awk '
        $1 == "config" || $1 == "menuconfig" { name = $2; print "config", name, substr(FILENAME, 3) }
        $1 == "select" || $1 == "imply" { if (name != "") print "select", $2, name }
        $1 == "choice" || $1 == "menu" || $1 == "if" || $1 == "endif" || $1 == "endchoice" { name = "" }' >"$work/kconfig"

# "not set" of a name that no Kconfig file knows would hold for ever
unknown=$(comm -23 <(sed -nE 's/^config[[:space:]]+([A-Za-z0-9_]+).*/\1/p' "$image/hardening.list" | sort -u) \
    <(sed -nE 's/^config ([A-Za-z0-9_]+) .*/\1/p' "$work/kconfig" | sort -u))
# shellcheck disable=SC2086 # words are meant to split
[ -z "$unknown" ] || die $E_INPUT "image/hardening.list names options that Linux does not have:" $unknown

# shellcheck disable=SC2016 # awk's dollars
awk -v OFS='\t' '
    function value_of(line) { return substr(line, index(line, "=") + 1) }
    FILENAME == ARGV[1] { # the fragment
        if ($0 !~ /^CONFIG_/) next
        name = substr($0, 8, index($0, "=") - 8)
        reason[name] = match($0, /[ \t]+#[ \t]*/) ? substr($0, RSTART + RLENGTH) : ""
        if (reason[name] == "") { print "no reason is given for CONFIG_" name >"/dev/stderr"; exit bad = 1 }
        if (reason[name] == "the same") reason[name] = before # the line above may be far from this one in what we print
        before = reason[name]
        asked[name] = 1
        next
    }
    FILENAME == ARGV[2] || FILENAME == ARGV[3] {
        if ($0 !~ /^CONFIG_[A-Z0-9_]+=/) next
        name = substr($0, 8, index($0, "=") - 8)
        if (FILENAME == ARGV[2]) base[name] = value_of($0); else now[name] = value_of($0)
        names[name] = 1
        next
    }
    $1 == "config" { if (!($2 in file)) file[$2] = $3 }
    $1 == "select" { if ($3 in now && !(($2, $3) in seen)) { seen[$2, $3] = 1; by[$2] = by[$2] (by[$2] == "" ? "" : ", ") $3 } }
    END {
        if (bad) exit 1
        for (name in names) {
            old = name in base ? base[name] : "n"
            new = name in now ? now[name] : "n"
            if (old == new && !(name in asked)) continue
            if (name in asked) print name, new, old, "asked", reason[name]
            else if (new != "n" && by[name] != "") print name, new, old, "selected", by[name]
            else print name, new, old, "default", (name in file ? file[name] : "the compiler")
        }
        for (name in asked) if (!(name in names)) print name, "n", "n", "asked", reason[name]
    }' "$image/kernel.config" .config "$config" "$work/kconfig" | sort >"$target.new-$$"
[ -s "$target.new-$$" ] || die $E_SYSTEM "no option differs from allnoconfig"
mv -T -- "$target.new-$$" "$target"
printf '%s\n' "$target"
