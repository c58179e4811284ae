# Shared shell functions of `dev` and the toolchain scripts: messages, mirrors, verified downloads, stamps.
# Sourced, never run. Not responsible for entering the toolchain root (see enter.sh).
# shellcheck shell=bash

: "${CVMIN_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/cvmin}"
export CVMIN_CACHE

# Exit codes are those of the cvmin command: 2 usage, 3 bad input, 4 system, 5 peer unreachable.
# shellcheck disable=SC2034 # used by those who source this
readonly E_USAGE=2 E_INPUT=3 E_SYSTEM=4 E_PEER=5

note() { [ -n "${CVMIN_QUIET:-}" ] || printf '%s\n' "cvmin: $*" >&2; }
die() {
    local code=$1
    shift
    printf '%s\n' "cvmin: error: $*" >&2
    exit "$code"
}

sha256_of() { sha256sum -- "$1" | cut -d' ' -f1; }

# sha256 over the bytes of all files named, in the order given: the key of a cached build product.
key_of() { cat -- "$@" | sha256sum | cut -c1-16; }

# with_lock FILE COMMAND...: one at a time; says so when it has to wait.
with_lock() {
    local file=$1 what
    what=$(basename "$1" .lock)
    shift
    mkdir -p "$(dirname "$file")"
    # shellcheck disable=SC2094 # the lock file is never read
    (
        if ! flock -n 9; then
            note "another cvmin is at work on $what; waiting for it"
            flock 9
        fi
        "$@"
    ) 9>"$file"
}

# The archive roots this machine is configured to use, one per line, ending in '/'. CVMIN_MIRROR and
# CVMIN_SNAPSHOT_MIRROR (base addresses of an archive, space separated) come first and last.
mirrors() {
    local uri
    for uri in ${CVMIN_MIRROR:-}; do printf '%s/\n' "${uri%/}"; done
    if command -v apt-get >/dev/null; then
        # shellcheck disable=SC2016 # the dollars are apt's
        # the main archive first: it has what the locks pin
        apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
            sed -nE 's|^(.*/debian/)$|1 \1|p; s|^(.*/debian-security/)$|2 \1|p' | sort -u | cut -d' ' -f2-
    fi
    for uri in ${CVMIN_SNAPSHOT_MIRROR:-}; do printf '%s/\n' "${uri%/}"; done
}

# Lines of a lock: sha256 size path [package version architecture]. Comments start with '#'.
lock_lines() { grep -hv -e '^#' -e '^$' -- "$@"; }

# The place of a verified download.
dl_path() { printf '%s/dl/%s' "$CVMIN_CACHE" "$1"; }

# source_file NAME: the path of the verified download whose archive path ends in NAME.
source_file() {
    local sha
    sha=$(lock_lines "$CVMIN_SRC/toolchain/sources.lock" "$CVMIN_SRC/toolchain/debs.lock" |
        awk -v n="/$1" 'substr($3, length($3) - length(n) + 1) == n { print $1; exit }')
    [ -n "$sha" ] || die $E_SYSTEM "$1 is not in a lock file"
    dl_path "$sha"
}

# fetch_one_pass MIRROR MISSING: try one mirror for every line of the file MISSING.
fetch_one_pass() {
    local mirror=$1 missing=$2 sha size path args=() tmp done_mb=0 total_mb
    tmp=$CVMIN_CACHE/dl/partial.$$
    mkdir -p "$tmp"
    total_mb=$(awk '{ s += $2 } END { printf "%d", s / 1000000 }' "$missing")
    flush() {
        [ ${#args[@]} -gt 0 ] || return 0
        if [ -x /usr/lib/apt/apt-helper ]; then
            /usr/lib/apt/apt-helper -q -o APT::Sandbox::User= -o Acquire::Retries=2 \
                download-file "${args[@]}" >/dev/null 2>"$tmp/log" || true
        else
            local i
            for ((i = 0; i < ${#args[@]}; i += 2)); do
                curl -fsSL --retry 2 -o "${args[i + 1]}" "${args[i]}" 2>>"$tmp/log" || true
            done
        fi
        local f
        for f in "$tmp"/*.part; do
            [ -f "$f" ] || continue
            sha=$(basename "$f" .part)
            if [ "$(sha256_of "$f")" = "$sha" ]; then
                mv -- "$f" "$(dl_path "$sha")"
            else
                note "refused $(awk -v s="$sha" '$1 == s { print $3 }' "$missing"): sha256 is $(sha256_of "$f"), the lock wants $sha"
                rm -f -- "$f"
            fi
        done
        args=()
        note "downloaded $done_mb of $total_mb MB"
    }
    local batch=0
    while read -r sha size path _; do
        args+=("$mirror${path//+/%2b}" "$tmp/$sha.part")
        batch=$((batch + size))
        done_mb=$((done_mb + size / 1000000))
        if [ $batch -gt 40000000 ]; then
            flush
            batch=0
        fi
    done <"$missing"
    flush
    rm -rf -- "$tmp"
}

# fetch LOCK...: every file of the locks is in the cache, or the error names the first one that is not.
fetch() {
    mkdir -p "$CVMIN_CACHE/dl"
    local missing=$CVMIN_CACHE/dl/missing.$$ sha size path rest mirror
    list_missing() {
        lock_lines "$@" | while read -r sha size path rest; do
            [ -f "$(dl_path "$sha")" ] || printf '%s %s %s %s\n' "$sha" "$size" "$path" "$rest"
        done >"$missing"
    }
    list_missing "$@"
    while read -r mirror; do
        [ -s "$missing" ] || break
        note "fetching $(wc -l <"$missing") files"
        fetch_one_pass "$mirror" "$missing"
        list_missing "$@"
    done < <(mirrors)
    if [ -s "$missing" ]; then
        path=$(awk 'NR == 1 { print $3 }' "$missing")
        local count
        count=$(wc -l <"$missing")
        rm -f -- "$missing"
        die $E_PEER "$count pinned file(s) could not be fetched, the first is $path." \
            "If the mirror has dropped it, set CVMIN_SNAPSHOT_MIRROR to a snapshot archive or run: ./dev lock --update"
    fi
    rm -f -- "$missing"
}
