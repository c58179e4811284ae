#!/usr/bin/env bash
# The examples, as people run them: every step of each run.sh must hold; results out of the CVM are those of the same program outside of
# one; Ctrl-C leaves nothing. Needs CVMIN, CVMIN_SRC, CVMIN_BUILD, and an image (CVMIN_IMAGE, else out/image.json).
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
export TMPDIR=$work/tmp
mkdir "$TMPDIR"
examples=$CVMIN_SRC/examples
tidy() { # nothing of an example is left
    nothing_left "$1"
    [ -z "$(ls "$TMPDIR")" ] || complain "$1: left behind: $(ls "$TMPDIR")"
}

# example NAME PROGRAM PARTY OUTPUT ARGS...: it holds, and its output is that of the same program here; who has no role has nothing
example() {
    local name=$1 program=$2 party=$3 output=$4
    shift 4
    "$examples/$name/run.sh" --keep "$work/$name" >"$work/$name.out" 2>&1 || complain "$name: $(tail -n 5 "$work/$name.out")"
    grep -qx "$name: every step held" "$work/$name.out" || complain "$name does not say that every step held"
    mkdir "$work/$name/"{in,out}
    for file in "$work/$name"/*/*.csv; do cp "$file" "$work/$name/in"; done
    "$work/$name/author/$program" --in "$work/$name/in" --out "$work/$name/out" "$@" >/dev/null || complain "$name: the program fails here"
    cmp "$work/$name/out/$output" "$work/$name/$party/result/output/$output" || complain "$name: the CVM's result is another than that of the same program here"
    [ -z "$(find "$work/$name"/{eve,author} -name '*.csv' -o -name "$output")" ] || complain "$name: who has no role for it has data or a result"
    tidy "$name"
}
lacks() { [ ! -e "$work/$1" ] || complain "there is $1"; }

section "joined statistics"
example joined-statistics join clinic statistics.csv --key patient --left hospital.csv --group treatment --right clinic.csv --value days \
    --range 0:365 --minimum 10
lacks joined-statistics/hospital/clinic.csv
lacks joined-statistics/clinic/hospital.csv

section "model training"
example model-training train north model.json --label default --feature income --feature debt --feature years --feature late \
    --data north.csv --data south.csv
lacks model-training/north/south.csv
lacks model-training/south/north.csv

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

all_held
