# What kernel.sh and firmware.sh share: a work directory that nobody else's build takes away, steps that an interrupt ends whole, and
# nothing left behind. Sourced after toolchain/lib.sh, by a script that has set PRODUCT and WORK_SPACE. Decides no byte of a product.
# shellcheck shell=bash
: "${PRODUCT:?}" "${WORK_SPACE:?}"
work='' new='' log='' step_pid='' watch_pid=''

end_watch() {
    [ -z "$watch_pid" ] || { kill "$watch_pid" && wait "$watch_pid"; } 2>/dev/null || true
    watch_pid=''
}
clean_up() {
    end_watch
    [ -z "$step_pid" ] || { kill -- "-$step_pid" && wait "$step_pid"; } 2>/dev/null || true
    rm -rf -- "$work" "$new"
}

# step WHAT COMMAND...: runs it in its own process group, so that an interrupt reaches all of it at once.
step() {
    set -m
    "${@:2}" </dev/null >>"$log" 2>&1 &
    step_pid=$!
    set +m
    local status=0 free
    wait "$step_pid" || status=$?
    step_pid=''
    [ $status = 0 ] && return
    end_watch
    grep -E 'error( [0-9A-F]+)?:|No rule to make|No space left' "$log" | tail -n 10 >&2 || tail -n 10 "$log" >&2
    # the log is on the same disk, and may not have the reason
    free=$(df -P -k -- "$work" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge 1000 ] ||
        die "$E_SYSTEM" "building the $PRODUCT failed: $1: No space left on device ($(dirname "$work"); $WORK_SPACE are needed)"
    die "$E_SYSTEM" "building the $PRODUCT failed: $1"
}

# make_work BASE TARGET: sets `work`, `log`, and `new` beside TARGET. What killed builds left there is removed; one that is at work
# holds its directory's lock, as do the processes that it started.
make_work() {
    local base=$1 target=$2 old held
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    mkdir -p "$(dirname "$target")" "$base"
    rm -rf -- "$target".new-*
    new=$target.new-$$
    for old in "$base/cvmin-$PRODUCT"-*; do
        if [ -d "$old" ] && [ -O "$old" ] && exec {held}<"$old"; then
            ! flock -n "$held" || rm -rf -- "$old"
            exec {held}<&-
        fi
    done
    work=$(mktemp -d "$base/cvmin-new-XXXXXX") # another build does not see it before it is locked
    exec {held}<"$work"
    flock "$held"
    mv -- "$work" "${work/cvmin-new-/cvmin-$PRODUCT-}"
    work=$(realpath -- "${work/cvmin-new-/cvmin-$PRODUCT-}")
    mkdir -p "$new"
    log=$work/log
    : >"$log"
}
