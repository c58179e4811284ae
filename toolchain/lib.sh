# Shared shell functions of `dev` and the toolchain scripts: messages, mirrors, verified downloads, stamps.
# Sourced, never run. Not responsible for entering the toolchain root (see enter.sh).
# shellcheck shell=bash

: "${CVMIN_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/cvmin}"
export CVMIN_CACHE

# Exit codes are those of the cvmin command: 2 usage, 3 bad input, 4 system, 5 peer unreachable.
# shellcheck disable=SC2034 # used by those who source this
readonly E_USAGE=2 E_INPUT=3 E_SYSTEM=4 E_PEER=5

# In a command of several long steps (CVMIN_STEP, set by dev) a note says which step and how long ago the command began.
note() {
    [ -z "${CVMIN_QUIET:-}" ] || return 0
    local at='' since
    if [ -n "${CVMIN_STEP:-}" ]; then
        since=$((EPOCHSECONDS - ${CVMIN_STARTED:-$EPOCHSECONDS}))
        printf -v at '[%s %d:%02d] ' "$CVMIN_STEP" $((since / 60)) $((since % 60))
    fi
    printf '%s\n' "cvmin: $at$*" >&2
}
die() {
    local code=$1
    shift
    printf '%s\n' "cvmin: error: $*" >&2
    exit "$code"
}

sha256_of() { sha256sum -- "$1" | cut -d' ' -f1; }

# show_progress LABEL COMMAND...: until it is killed, or the shell that started it is gone, says how far something is. COMMAND
# prints "ready total what"; what is too little to wait for is not worth a word. On a terminal one line that is written anew.
show_progress() {
    local label=$1 every=2 ready total what took left text
    shift
    [ -z "${CVMIN_QUIET:-}" ] || return 0
    local began=$EPOCHSECONDS
    [ -t 2 ] || every=15
    trap 'kill $!; [ ! -t 2 ] || printf "\r\033[K" >&2; exit 0' TERM
    while sleep $every & wait $! && kill -0 $$ 2>/dev/null; do
        read -r ready total what < <("$@") || continue
        [ "$total" -gt 20 ] && [ "$ready" -gt 0 ] || continue
        took=$((EPOCHSECONDS - began)) left=''
        [ "$ready" -le "$total" ] || total=$ready
        # the first ones say little about the others
        [ $took -lt 10 ] || left=", about $(((took * (total - ready) / ready + 59) / 60)) min left"
        text="$label: $ready of $total, $((took / 60)):$(printf %02d $((took % 60)))$left; $what"
        if [ -t 2 ]; then printf '\r\033[Kcvmin: %.70s' "$text" >&2; else note "$text"; fi
    done
}
# ninja_progress LOG: how far the ninja is that writes there.
ninja_progress() {
    tail -c 2000 -- "$1" 2>/dev/null | sed -nE 's|^\[([0-9]+)/([0-9]+)\] .*[ /]([^ /]+)$|\1 \2 \3|p' | tail -n 1
}
# kbuild_progress LOG TOTAL: the same for Linux's make; TOTAL objects, about.
kbuild_progress() {
    printf '%s %s %s\n' "$(grep -cE '^  (CC|AS|HOSTCC) ' "$1")" "$2" "$(tail -n 1 "$1" | awk '{ print $NF }')"
}

# sha256 over the bytes of all files named, in the order given: the key of a cached build product.
key_of() { cat -- "$@" | sha256sum | cut -c1-16; }

# with_lock FILE COMMAND...: one at a time; says so when it has to wait.
with_lock() {
    local file=$1 what
    what=$(basename "$1" .lock)
    shift
    { mkdir -p "$(dirname "$file")" && : >>"$file"; } 2>/dev/null ||
        die $E_SYSTEM "$file cannot be written; is the cache another user's? XDG_CACHE_HOME names another place"
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

# fetch_one_pass MIRROR MISSING: try one mirror for every line of the file MISSING. Sets refused[SHA256] to the digest of
# what came instead, and reason to what the mirror first said.
declare -A refused=()
reason=''
fetch_one_pass() {
    local mirror=$1 missing=$2 sha size path args=() tmp done_mb=0 total_mb
    tmp=$CVMIN_CACHE/dl/partial.$$
    mkdir -p "$tmp"
    total_mb=$(awk '{ s += $2 } END { printf "%d", s / 1000000 }' "$missing")
    flush() {
        [ ${#args[@]} -gt 0 ] || return 0
        : >"$tmp/log"
        if [ -x /usr/lib/apt/apt-helper ]; then
            /usr/lib/apt/apt-helper -q -o APT::Sandbox::User= -o Acquire::Retries=2 \
                download-file "${args[@]}" >/dev/null 2>"$tmp/log" || true
        else
            local i
            for ((i = 0; i < ${#args[@]}; i += 2)); do
                curl -fsSL --retry 2 -o "${args[i + 1]}" "${args[i]}" 2>>"$tmp/log" || true
            done
        fi
        [ -n "$reason" ] || reason=$(grep -m 1 -E '^(E|curl): ' "$tmp/log" | tr -s ' ' || true)
        local f found
        for f in "$tmp"/*.part; do
            [ -f "$f" ] || continue
            sha=$(basename "$f" .part)
            found=$(sha256_of "$f")
            if [ "$found" = "$sha" ]; then
                mv -- "$f" "$(dl_path "$sha")"
            else
                refused[$sha]=$found
                note "refused $(awk -v s="$sha" '$1 == s { print $3 }' "$missing"): sha256 is $found, the lock wants $sha"
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

# salvage: what a killed download left: files that are complete are good, the others go.
salvage() {
    local left file sha
    for left in "$CVMIN_CACHE"/dl/{partial,missing}.*; do
        [ -e "$left" ] && [ ! -d "/proc/${left##*.}" ] || continue
        for file in "$left"/*.part; do
            sha=$(basename "$file" .part)
            if [ -f "$file" ] && [ "$(sha256_of "$file")" = "$sha" ]; then mv -- "$file" "$(dl_path "$sha")"; fi
        done
        rm -rf -- "$left"
    done
}

# check_lock LOCK: each line has the form that `./dev lock` writes. A path is a name below the mirror.
check_lock() {
    local bad
    bad=$(awk '/^#/ || /^$/ { next }
        NF != 6 || length($1) != 64 || $1 ~ /[^0-9a-f]/ || $2 !~ /^[1-9][0-9]*$/ || length($2) > 12 || $3 ~ /^\/|\.\./ {
            print FNR; exit }' "$1")
    [ -z "$bad" ] ||
        die $E_INPUT "$1, line $bad: not of the form \"sha256 size path package version architecture\""
}

# fetch LOCK...: every file of the locks is in the cache, or the error names the first one that is not.
fetch() {
    mkdir -p "$CVMIN_CACHE/dl"
    local missing=$CVMIN_CACHE/dl/missing.$$ sha size path rest mirror lock mirror_list
    for lock in "$@"; do
        [ -r "$lock" ] || die $E_INPUT "$lock cannot be read"
        check_lock "$lock"
    done
    salvage
    list_missing() {
        lock_lines "$@" | while read -r sha size path rest; do
            [ -f "$(dl_path "$sha")" ] || printf '%s %s %s %s\n' "$sha" "$size" "$path" "$rest"
        done >"$missing"
    }
    list_missing "$@"
    if [ -s "$missing" ]; then
        want_space "$(awk '{ s += $2 } END { printf "%d", s / 1000000 + 1 }' "$missing")" "$CVMIN_CACHE/dl" ||
            { rm -f -- "$missing" && exit $E_SYSTEM; }
    fi
    mirror_list=$(mirrors)
    while read -r mirror; do
        [ -n "$mirror" ] && [ -s "$missing" ] || break
        note "fetching $(wc -l <"$missing") files"
        fetch_one_pass "$mirror" "$missing"
        list_missing "$@"
    done <<<"$mirror_list"
    if [ -s "$missing" ]; then
        local count text
        read -r sha _ path _ <"$missing"
        count=$(wc -l <"$missing")
        rm -f -- "$missing"
        text="$count pinned file(s) could not be fetched, the first is $path"
        [ -n "$mirror_list" ] ||
            die $E_PEER "$text: no Debian archive is configured on this machine; set CVMIN_MIRROR to the base address of one"
        [ -z "${refused[$sha]:-}" ] ||
            die $E_PEER "$text: the mirror's has sha256 ${refused[$sha]}, the lock wants $sha." \
                "Nothing of it is kept. Is the lock as it was committed (git status)? If so, try another mirror (CVMIN_MIRROR)"
        die $E_PEER "$text.${reason:+ The mirror says: $reason.}" \
            "If it has dropped the file, set CVMIN_SNAPSHOT_MIRROR to a snapshot archive or run: ./dev lock --update"
    fi
    rm -f -- "$missing"
}

# want_space MB DIRECTORY: that much is free there, or an error says how much is.
want_space() {
    local free
    free=$(df -P -k -- "$2" | awk 'NR == 2 { printf "%d", $4 / 1000 }')
    [ "$free" -ge "$1" ] || (die $E_SYSTEM "not enough space: $1 MB are needed in $2, where $free MB are free")
}

# with_scratch NAME COMMAND...: COMMAND has a TMPDIR of its own, which is removed after it; or before the next run, when this
# one is killed. The caller holds NAME's lock.
with_scratch() {
    local record=$CVMIN_CACHE/$1.scratch scratch status=0
    shift
    if [ -f "$record" ]; then
        scratch=$(<"$record")
        [[ $scratch != */cvmin-scratch-* ]] || remove_scratch "$scratch"
    fi
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/cvmin-scratch-XXXXXX")
    chmod 755 "$scratch" # mmdebstrap may work as a subordinate user id
    printf '%s' "$scratch" >"$record"
    TMPDIR=$scratch "$@" || status=$?
    remove_scratch "$scratch"
    rm -f -- "$record"
    return $status
}

# remove_scratch DIRECTORY: never what is mounted in there; an ordinary user's also what its subordinate ids own.
remove_scratch() {
    rm -rf --one-file-system -- "$1" 2>/dev/null ||
        unshare --user --map-root-user --map-auto rm -rf --one-file-system -- "$1" 2>/dev/null ||
        note "could not be removed: $1"
}

# check_clock TREE: cmake and ninja never end with a description of the build that is newer than now.
check_clock() {
    local late
    late=$(cd "$1" && find CMakeLists.txt ./*/CMakeLists.txt ./*/*/CMakeLists.txt toolchain/guest.cmake -newermt now 2>/dev/null | head -n 1)
    [ -z "$late" ] || die $E_SYSTEM "$late is dated $(date -u -r "$1/$late" +%F), and this machine's clock says $(date -u +%F):" \
        "set the clock, or touch the file when the clock is right"
}

# check_host: what making a root needs of this machine, before hundreds of megabytes are fetched for it.
check_host() {
    local program missing='' name
    "$CVMIN_SRC/toolchain/enter.sh" --check || exit
    if [ "$(id -u)" = 0 ]; then # root.sh installs it where it can
        command -v mmdebstrap >/dev/null || command -v apt-get >/dev/null || missing=' mmdebstrap'
    else
        for program in mmdebstrap newuidmap; do command -v $program >/dev/null || missing+=" $program"; done
    fi
    command -v dpkg-deb >/dev/null || missing+=' dpkg-deb'
    [ -z "$missing" ] || die $E_SYSTEM "missing on this machine:$missing. On Debian and Ubuntu: sudo apt-get install -y mmdebstrap uidmap;" \
        "elsewhere see docs/reproducing.md, \"Another distribution\""
    [ "$(id -u)" != 0 ] || return 0
    name=$(id -un)
    getsubids "$name" >/dev/null 2>&1 || grep -qsE "^($name|$(id -u)):" /etc/subuid ||
        die $E_SYSTEM "$name has no subordinate user ids; run:" \
            "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $name"
}
