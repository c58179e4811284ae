# What the VM tests share; sourced, with CVMIN, work (a directory), vms (that of the CVMs, for vm_processes and nothing_left) and the script's own traps set by the caller.
# shellcheck shell=bash disable=SC2034,SC2154 # code is for the caller, work is the caller's
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
# The processes whose command line names the directory of our CVMs, $vms: QEMU, vsock devices, swtpm. Supervisors are asked for
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
    for _ in $(seq 100); do
        found=$(vm_processes)
        for pid in "$@"; do alive "$pid" && found="$found $pid"; done
        [ -z "$found" ] && [ -z "$(ls "$vms" 2>/dev/null)" ] && return 0
        sleep 0.05
    done
    complain "$what: left behind: processes [$found], directories [$(ls "$vms")]"
}
