# What the tests of commands share; sourced, with CVMIN, work (a directory), the script's own traps, and `command` (the command
# that run and refuses put in front of their arguments; empty: they name it) set by the caller.
# shellcheck shell=bash disable=SC2154 # work and command are the caller's
failed=0
count=0 # of runs, for the last line of a test
complain() {
    echo "$(basename "$0"): $*" >&2
    failed=$((failed + 1))
}
# run WANTED_CODE ARGS...: streams in $work/out and $work/err
run() {
    local wanted=$1 code=0
    shift
    "$CVMIN" ${command:+"$command"} "$@" >"$work/out" 2>"$work/err" || code=$?
    count=$((count + 1))
    [ "$code" = "$wanted" ] || complain "exit $code instead of $wanted: $* ($(head -c 2000 "$work/err"))"
}
# refuses WANTED_CODE TEXT ARGS...: one error line, TEXT on standard error, nothing on standard output
refuses() {
    local wanted=$1 text=$2
    shift 2
    run "$wanted" "$@"
    [ ! -s "$work/out" ] || complain "standard output is not empty: $*"
    [ "$(grep -c "^cvmin ${command:-$1}: error: " "$work/err")" = 1 ] || complain "not one error line: $*: $(cat "$work/err")"
    grep -qF -- "$text" "$work/err" || complain "no '$text' in '$(cat "$work/err")': $*"
}
