# What the VM tests share; sourced first. Sets image, work (a directory of this test's own, which is gone at the end), vms (that of its CVMs), and
# what ends with the script: its background jobs, its CVMs. Needs CVMIN, CVMIN_SRC, CVMIN_BUILD, and an image (CVMIN_IMAGE, else out/image.json).
# shellcheck shell=bash disable=SC2034 # image, code are for the caller
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}" "${CVMIN_BUILD:?}"
image=${CVMIN_IMAGE:-$CVMIN_SRC/out/image.json}
work=$(mktemp -d "/tmp/cvmin-$(basename "$0" .sh)-XXXXXX")
export XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state CVMIN_QUIET=1
mkdir -p "$XDG_RUNTIME_DIR" "$XDG_STATE_HOME"
vms=$XDG_RUNTIME_DIR/cvmin/vms

cleanup() {
    for pid in $(jobs -pr); do kill "$pid" 2>/dev/null || true; done
    "$CVMIN" stop --all >/dev/null 2>&1 || true
    for pid in $(vm_processes); do kill -9 "$pid" 2>/dev/null || true; done # of a launcher that left them behind
    rm -rf -- "$work"
}
trap cleanup EXIT

failed=0
complain() {
    echo "$(basename "$0"): $*" >&2
    failed=$((failed + 1))
}
section() { echo "--- $*"; }
# field FILE KEY: a member of a JSON file, dotted
field() {
    python3 -c 'import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."): value = value[key]
print(value)' "$1" "$2"
}
# run NAME ARGS...: standard output to $work/NAME.out, standard error to $work/NAME.err, exit code in $code
run() {
    local name=$1
    shift
    code=0
    "$CVMIN" "$@" >"$work/$name.out" 2>"$work/$name.err" || code=$?
}
# wants CODE NAME [TEXT]: of the last run
wants() {
    [ "$code" = "$1" ] || complain "$2: exit $code instead of $1: $(cat "$work/$2.err")"
    [ -z "${3:-}" ] || grep -qF -- "$3" "$work/$2.err" || complain "$2: no \"$3\" in: $(cat "$work/$2.err")"
}
# The processes whose command line names $vms: QEMU, vsock devices, swtpm. Supervisors are asked for
# by pid. Only those that are not a script's own tools.
vm_processes() {
    for pid in $({ grep -lzF -- "$vms" /proc/[0-9]*/cmdline 2>/dev/null || true; } | cut -d/ -f3); do
        case $({ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null) in
        qemu-system-x86_64* | vhost-device-vsock* | *swtpm*) echo "$pid" ;;
        esac
    done
}
alive() { [ -e "/proc/$1" ] && [ "$(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null || echo Z)" != Z ]; }
# nothing_left WHAT [PID...]: no process, no directory of a VM; waits up to 5 s
nothing_left() {
    local what=$1 pid found
    shift
    for _ in $(seq 600); do
        found=$(vm_processes)
        for pid in "$@"; do alive "$pid" && found="$found $pid"; done
        [ -z "$found" ] && [ -z "$(ls "$vms" 2>/dev/null)" ] && return 0
        sleep 0.05
    done
    complain "$what: left behind: processes [$found], directories [$(ls "$vms")]"
}

# the last line of a test
all_held() {
    [ "$failed" = 0 ] || { echo "$(basename "$0"): $failed complaints" >&2; exit 1; }
    echo "$(basename "$0"): all held"
}
