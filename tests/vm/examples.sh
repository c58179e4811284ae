#!/usr/bin/env bash
# The examples, as people run them: every step of each run.sh must hold; results out of the CVM are those of the same program outside of
# one; Ctrl-C leaves nothing. Needs CVMIN, CVMIN_SRC, CVMIN_BUILD, and an image (CVMIN_IMAGE, else out/image.json).
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}" "${CVMIN_BUILD:?}"
work=$(mktemp -d /tmp/cvmin-examples-XXXXXX)
export XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state TMPDIR=$work/tmp
mkdir -p "$XDG_RUNTIME_DIR" "$XDG_STATE_HOME" "$TMPDIR"
vms=$XDG_RUNTIME_DIR/cvmin/vms

cleanup() {
    "$CVMIN" stop --all >/dev/null 2>&1 || true
    rm -rf -- "$work"
}
trap cleanup EXIT
# shellcheck source=tests/vm/lib.sh
. "$CVMIN_SRC/tests/vm/lib.sh"
examples=$CVMIN_SRC/examples
tidy() { # nothing of an example is left
    nothing_left "$1"
    [ -z "$(ls "$TMPDIR")" ] || complain "$1: left behind: $(ls "$TMPDIR")"
}

section "joined statistics, as shown to people"
"$examples/joined-statistics/run.sh" --keep "$work/joined" >"$work/joined.out" 2>&1 || complain "joined-statistics: $(tail -n 5 "$work/joined.out")"
grep -qx 'joined-statistics: every step held' "$work/joined.out" || complain "joined-statistics does not say that every step held"
mkdir "$work"/{in,out}
cp "$work"/joined/{hospital/hospital.csv,clinic/clinic.csv} "$work/in"
(cd "$work" && joined/author/join --in in --out out --key patient --left hospital.csv --group treatment --right clinic.csv --value days \
    --range 0:365 --minimum 10 >/dev/null)
cmp "$work/out/statistics.csv" "$work/joined/clinic/result/output/statistics.csv" || complain "the CVM's result is another than that of the same program here"
for side in hospital clinic; do
    other=$([ $side = hospital ] && echo clinic || echo hospital)
    [ ! -e "$work/joined/$side/$other.csv" ] || complain "the $side has the file of the $other"
done
[ -z "$(find "$work/joined/eve" "$work/joined/author" -name '*.csv')" ] || complain "who has no role for it has data or a result"
tidy "joined-statistics"

section "Ctrl-C in the middle leaves nothing"
# a background job ignores SIGINT, and bash cannot take that back
env --default-signal=INT setsid --wait bash -c 'echo $$ >"$1"; exec "$2"' interrupted "$work/pid" "$examples/joined-statistics/run.sh" >"$work/interrupted.out" 2>&1 &
waiting=$!
for _ in $(seq 600); do
    grep -qs 'parties connect to' "$work/interrupted.out" && break
    sleep 0.05
done
[ -n "$(vm_processes)" ] || complain "no CVM to interrupt: $(tail -n 3 "$work/interrupted.out")"
kill -INT -- "-$(cat "$work/pid")"
code=0
wait "$waiting" || code=$?
[ "$code" = 130 ] || complain "interrupted: exit $code instead of 130: $(tail -n 3 "$work/interrupted.out")"
tidy "Ctrl-C"

section "wrong use"
for args in "--nothing" "--keep" "--keep $work" "--image $work/none"; do
    code=0
    # shellcheck disable=SC2086 # words
    "$examples/joined-statistics/run.sh" $args >"$work/usage.out" 2>&1 || code=$?
    [ "$code" = 2 ] || complain "$args: exit $code instead of 2: $(cat "$work/usage.out")"
done
tidy "wrong use"

[ "$failed" = 0 ] || { echo "examples.sh: $failed complaints" >&2; exit 1; }
echo "examples.sh: all held"
