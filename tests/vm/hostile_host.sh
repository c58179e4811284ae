#!/usr/bin/env bash
# A host that is hostile: launches for another computation, or for none and gives it one of its own; drops, doubles, swaps, changes and cuts what
# it carries; replays an upload; kills the machine in the middle of the run, starts it again. A party's command says what is wrong each
# time, nothing is kept that was not sent by its party, and nothing of it lies anywhere on the host. A guest's memory is not looked at: under an emulated
# launch it is plain for the host to read, which is what an emulation can be honest about and SEV-SNP is for.
# Needs CVMIN, CVMIN_SRC, CVMIN_BUILD, and an image (CVMIN_IMAGE, else out/image.json).
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
export XDG_CACHE_HOME=$work/cache
mkdir -p "$XDG_CACHE_HOME"
mkdir "$work/parties"
cd "$work/parties" # theirs; all else below $work is the host's
# shellcheck source=tests/vm/parties.sh
. "$CVMIN_SRC/tests/vm/parties.sh"

the_parties 100000
their_manifest m.json --id agreed
their_manifest other.json --id changed
sed 's/"host_data": "skip"/"host_data": "'"$(printf '0%.0s' $(seq 64))"'"/' "$CVMIN_SRC/policies/emulated.json" >launched_for_none.json
boot() { # ARGS...: the CVM `guest`, behind a relay that keeps what goes up in $work/kept
    "$CVMIN" boot --image "$image" --name guest --memory 160 --listen 127.0.0.1:0 --json "$@" >"$work/guest.json" || exit 1
    rm -f "$work/relay"
    python3 "$CVMIN_SRC/tests/tools/hostile_host.py" relay "$(field "$work/guest.json" listens_on)" "$work/kept" >"$work/relay" &
    relay=$!
    for _ in $(seq 600); do [ -s "$work/relay" ] && break; sleep 0.05; done
    launched=(--image "$image" --vcpus "$(field "$work/guest.json" vcpus)" --vcpu-type "$(field "$work/guest.json" cpu_model)"
        --trust-emulated "$(field "$work/guest.json" emulated_ark)")
    trusted=("${launched[@]}" --policy "$CVMIN_SRC/policies/emulated.json")
    over=("--connect" "$(cat "$work/relay")")
}
unboot() {
    kill "$relay"
    "$CVMIN" stop guest >/dev/null
}
# party WHO COMMAND ARGS...: over the relay
party() {
    local who=$1 subcommand=$2
    shift 2
    run "$who-$subcommand" "$subcommand" "${over[@]}" --party-key "$who.pem" --manifest m.json "${trusted[@]}" "$@"
    last=$who-$subcommand
}
sent() { stat -c %s "$work/kept"; }
fails() { grep -q "^FAILED *$1" "$work/$last.err" || complain "$last: not refused by $1: $(cat "$work/$last.err")"; }

section "launched for another computation"
boot --manifest other.json
party alice upload --dataset alice=alice.csv
wants 1 "$last" "nothing was sent"
fails snp.host_data
[ "$(sent)" -lt 5000 ] || complain "$(sent) bytes went to a CVM that was refused"
unboot

section "launched for none, and given another computation first"
boot
"$CVMIN_BUILD/tests/cvmin-test-attacker" --connect "$(field "$work/guest.json" listens_on)" --manifest other.json --received "$work/said" \
    attest=evidence manifest:agreed=stored || complain "the host cannot set a manifest"
party alice upload --dataset alice=alice.csv
wants 1 "$last" "nothing was sent"
fails snp.host_data
trusted=("${launched[@]}" --policy launched_for_none.json)
party alice upload --dataset alice=alice.csv
wants 1 "$last" "nothing was sent"
fails claims.manifest
[ "$(sent)" -lt 10000 ] || complain "$(sent) bytes went to a CVM that was refused"
unboot

section "what is carried is dropped, doubled, swapped, changed, cut"
boot --manifest m.json
for action in drop double swap flip cut; do
    echo $action >"$work/kept.do"
    # a vsock device that holds bytes for the guest does not always tell when the guest has closed: then it is the party's own time limit
    party alice upload --dataset alice=alice.csv --timeout 5
    wants 5 "$last" "alice.csv"
    [ "$(wc -l <"$work/$last.err")" = 1 ] || complain "$action: not one line: $(cat "$work/$last.err")"
done
rm "$work/kept.do"
party alice status
wants 0 "$last"
says "state  waiting-inputs"
! grep -q "complete" "$work/$last.out" || complain "complete, of what was changed: $(cat "$work/$last.out")"
: >"$work/kept"
party alice upload --dataset alice=alice.csv # goes on where it was, and its digest fits
wants 0 "$last"
cp "$work/kept" "$work/upload"

section "an upload is replayed"
state() { party alice status && cp "$work/$last.out" "$work/$1"; }
state before
"$CVMIN" events "${over[@]}" --manifest m.json "${trusted[@]}" --json >"$work/events.before"
replayed() { # WHAT
    python3 "$CVMIN_SRC/tests/tools/hostile_host.py" replay "$(field "$work/guest.json" listens_on)" "$work/upload" >"$work/replayed" 2>&1 ||
        complain "$1: $(cat "$work/replayed")"
    grep -q "[1-9][0-9]* records came back, handshake" "$work/replayed" || complain "$1: nobody was there: $(cat "$work/replayed")"
}
replayed "to the same CVM"
state after
cmp "$work/before" "$work/after" || complain "a replay changed something"

section "the machine is killed while the program runs"
party mallory upload --dataset mallory=mallory.csv
wants 0 "$last"
party carol upload --algorithm program
wants 0 "$last"
party alice status
says "state  running"
(sleep 1 && kill -KILL "$(field "$work/guest.json" qemu.pid)") &
party alice result --out result --wait
wants 5 "$last"
[ "$(wc -l <"$work/$last.err")" = 1 ] || complain "a killed machine: not one line: $(cat "$work/$last.err")"
[ ! -e result ] || complain "a killed machine left a result"
kill "$relay"
"$CVMIN" stop guest >/dev/null 2>&1 || true

section "and started again: it knows nothing, and everybody attests anew"
boot --manifest m.json
replayed "to another boot"
party alice status
wants 0 "$last"
says "input  data/alice  0 bytes"
says "input  data/mallory  0 bytes"
says "input  algorithm  0 bytes"
"$CVMIN" events "${over[@]}" --manifest m.json "${trusted[@]}" --json >"$work/events.after"
python3 - "$work/events.before" "$work/events.after" <<'PYTHON' || complain "the second boot's log tells of the first"
import json, sys
before, after = ({r["event"] for r in json.load(open(path))["records"]} for path in sys.argv[1:])
sys.exit(0 if "input-received" in before and "boot" in after and "input-received" not in after else "%s %s" % (before, after))
PYTHON
party alice upload --dataset alice=alice.csv
wants 0 "$last"
party mallory upload --dataset mallory=mallory.csv
party carol upload --algorithm program
wants 0 "$last"
party alice result --out result --wait
wants 0 "$last"
grep -q "^RESULT-OF-THE-RUN-5c44 PDATA-OF-ALICE-3b1e" result/output/secret || complain "not the result"

section "what lies on the host"
[ -n "$(find "$work/state" "$work/run" -type f -size +0)" ] || complain "no files of the host's to look at"
cp -r "$work/run" "$work/run.copy" 2>/dev/null || true # sockets stay behind
no_marks "on the host" "$work/state" "$work/run.copy" "$work/kept" "$work/upload" "$work/said" "$work"/events.* "$work/relay" "$work"/*.json
grep -qaE "$marks" result/output/secret || complain "nothing can be found"
unboot

all_held
