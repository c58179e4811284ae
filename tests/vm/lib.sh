# What the VM tests share; sourced, with CVMIN, work (a directory) and the script's own traps set by the caller.
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
