#!/usr/bin/env bash
# A computation of several parties, end to end: what each brings, what is refused to whom, the result, its receipt; and that nothing is
# left of a run that failed. Needs CVMIN, CVMIN_SRC, CVMIN_BUILD, and an image (CVMIN_IMAGE, else out/image.json).
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
cd "$work"

# rows that two lists share; with an argument it fails after it has written some output
cat >join.c <<'C'
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
    static char a[1000][64], b[1000][64];
    int na = 0, nb = 0;
    (void)argv;
    FILE *first = fopen("/in/alice", "r"), *second = fopen("/in/bob", "r"), *out = fopen("/out/both", "w");
    if (!first || !second || !out) return 2;
    while (na < 1000 && fgets(a[na], sizeof a[0], first)) na++;
    while (nb < 1000 && fgets(b[nb], sizeof b[0], second)) nb++;
    for (int i = 0; i < na; i++)
        for (int j = 0; j < nb; j++)
            if (!strcmp(a[i], b[j])) { fputs(a[i], out); break; }
    printf("%d and %d rows\n", na, nb);
    return argc > 1 ? 3 : fclose(out) != 0;
}
C
gcc -O1 -static join.c -o join
seq 1 700 >a.csv
seq 600 1200 | shuf --random-source=<(yes) >b.csv
for party in alice bob carol eve; do "$CVMIN" keygen --out "$party.pem" >/dev/null 2>&1; done
manifest() { # FILE ARGS...
    local file=$1
    shift
    "$CVMIN" manifest new --algorithm join@carol --dataset alice=a.csv@alice --dataset bob=b.csv@bob \
        --party alice=alice.pem.pub.pem --party bob=bob.pem.pub.pem --party carol=carol.pem.pub.pem --consumer alice --consumer bob \
        --memory 16M --output-limit 1M --out "$file" "$@"
}
manifest m.json --id join-1
manifest other.json --id join-2
manifest fails.json --id join-3 --argument fail
"$CVMIN" boot --image "$image" --name guest --manifest m.json --memory 160 --json >guest.json || exit 1
trusted=(--image "$image" --policy "$CVMIN_SRC/policies/emulated.json" --trust-emulated "$(field guest.json emulated_ark)")
# as PARTY COMMAND ARGS...: with the manifest that was agreed
as() {
    local party=$1 subcommand=$2
    shift 2
    run "$party-$subcommand" "$subcommand" guest --party-key "$party.pem" "${trusted[@]}" "$@"
    last=$party-$subcommand
}
says() { grep -qF -- "$1" "$work/$last.out" || complain "$last: no \"$1\" in: $(cat "$work/$last.out")"; }

section "who may bring what"
as eve upload --manifest m.json --dataset alice=a.csv
wants 3 "$last" "is the key of no party"
as bob upload --manifest m.json --dataset alice=a.csv
wants 2 "$last" "the manifest has alice bring it"
as alice upload --manifest m.json --dataset alice=b.csv
wants 3 "$last" "the manifest"
as alice upload --manifest other.json --dataset alice=a.csv
wants 1 "$last" "nothing was sent"
grep -q "^FAILED *snp.host_data" "$work/$last.err" || complain "another manifest: not refused by snp.host_data"
as alice upload --manifest m.json --dataset alice=a.csv
wants 0 "$last"
as alice upload --manifest m.json --dataset alice=a.csv # again: it is there
wants 0 "$last"
as bob status --manifest m.json
wants 0 "$last"
says "state  waiting-inputs"
says "input  data/alice  $(stat -c %s a.csv) bytes, complete"
as alice result --manifest m.json --out early
wants 5 "$last" "waiting-inputs"
as carol upload --manifest m.json --algorithm join
wants 0 "$last"

section "the run, and its result for consumers alone"
as bob upload --manifest m.json --dataset bob=b.csv
wants 0 "$last"
as carol result --manifest m.json --out carol
wants 2 "$last" "is no consumer"
as alice result --manifest m.json --out alice --wait
wants 0 "$last"
cmp -s alice/output/both <(seq 600 700) || complain "the result is not the join"
[ "$(cat alice/log)" = "700 and 601 rows" ] || complain "the log: $(cat alice/log)"
[ ! -e early ] && [ ! -e carol ] || complain "a directory without a result"
as alice status --manifest m.json --json
wants 0 "$last"
[ "$(field "$work/$last.out" state)" = result ] || complain "one of two consumers has confirmed, and the state is not result"
as bob result --manifest m.json --out bob
wants 0 "$last"
diff -r alice bob >/dev/null || complain "two consumers got different results"
as carol status --manifest m.json
says "state  done"
as bob result --manifest m.json --out again
wants 5 "$last" "the computation is done"
run events events guest --manifest m.json "${trusted[@]}" --json
wants 0 events
python3 - "$work/events.out" <<'PYTHON' || complain "the runtime log"
import json, sys
kinds = [r["event"] for r in json.load(open(sys.argv[1]))["records"] if not r["event"].startswith("session")]
wanted = ["boot", "manifest", "start", "result"]
sys.exit(0 if [k for k in kinds if k in wanted] == wanted else str(kinds))
PYTHON

section "the receipt, offline"
"$CVMIN" stop guest >/dev/null
receipt() { # NAME FILE OUTPUT MANIFEST
    run "$1" receipt verify "$2" --output "$3" --manifest "$4" "${trusted[@]}" --vcpus 1 --vcpu-type EPYC-v4
}
receipt good alice/receipt.cbor alice/output m.json
wants 0 good
receipt other-manifest alice/receipt.cbor alice/output other.json
wants 1 other-manifest "receipt: manifest"
mkdir more && cp alice/output/both more/both && echo 701 >>more/both
receipt other-output alice/receipt.cbor more m.json
wants 1 other-output "is not what the receipt is about"
python3 -c 'import sys
data = bytearray(open("alice/receipt.cbor", "rb").read())
data[-1] ^= 1
open("flipped", "wb").write(data)'
receipt flipped flipped alice/output m.json
wants 1 flipped
run untrusted receipt verify alice/receipt.cbor --manifest m.json --image "$image" --policy "$CVMIN_SRC/policies/emulated.json" --vcpus 1 --vcpu-type EPYC-v4
wants 1 untrusted
run two-vcpus receipt verify alice/receipt.cbor --manifest m.json "${trusted[@]}" --vcpus 2 --vcpu-type EPYC-v4
wants 1 two-vcpus

section "a program that fails has no result"
"$CVMIN" boot --image "$image" --name guest --manifest fails.json --memory 160 >/dev/null || exit 1
as alice upload --manifest fails.json --dataset alice=a.csv
as bob upload --manifest fails.json --dataset bob=b.csv
as carol upload --manifest fails.json --algorithm join
wants 0 "$last"
as bob result --manifest fails.json --out failed --wait
wants 5 "$last" "the computation is failed"
[ ! -e failed ] || complain "a failed run has a result"
as bob status --manifest fails.json
says "exit status 3"
as carol status --manifest fails.json # no consumer: what a program ends with may tell what it has read
says "state  failed: the program gave no result"
! grep -q "exit status" "$work/$last.out" || complain "who is no consumer is told: $(cat "$work/$last.out")"

all_held
