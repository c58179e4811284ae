#!/usr/bin/env bash
# What a real agent records, and how it is read: sessions, secrets, what was refused, and what follows while it is watched.
# Needs CVMIN, CVMIN_SRC, CVMIN_BUILD, and an image (CVMIN_IMAGE, else out/image.json). Runs inside the toolchain root.
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
policy=$CVMIN_SRC/policies/emulated.json
# holds NAME EXPRESSION: of the JSON in NAME.out, as `log`
holds() {
    python3 -c 'import json, sys
log = json.load(open(sys.argv[1]))
kinds = [r["event"] for r in log["records"]]
sys.exit(0 if eval(sys.argv[2]) else "%s of %s" % (sys.argv[2], json.dumps(log)[:2000]))' "$work/$1.out" "$2" ||
        complain "$1: not so"
}

section "boot"
"$CVMIN" boot --image "$image" --name guest --json >"$work/boot.json" || exit 1
"$CVMIN" describe guest --json >"$work/guest.json"
trusted=(--image "$image" --policy "$policy" --trust-emulated "$(field "$work/guest.json" emulated_ark)")

section "the log begins with the boot, and whoever reads it finds itself at its end"
run first events guest "${trusted[@]}" --json
wants 0 first
holds first 'kinds == ["boot", "session-opened"] and log["verified"] and log["emulated"] and log["schema"] == 1'
holds first 'log["records"][0]["report_source"] == "emulated" and log["records"][0]["agent"].startswith("cvmin-agent ")'
holds first 'log["head"] == log["pcr"]["sha384"]'
# replayed by another program than ours
python3 -c 'import hashlib, json, sys
log = json.load(open(sys.argv[1]))
head = bytes(48)
for record in log["records"]: head = hashlib.sha384(head + bytes.fromhex(record["digests"]["sha384"])).digest()
sys.exit(0 if head.hex() == log["head"] else "another head: " + head.hex())' "$work/first.out" || complain "the head is not the replay"

section "secrets and what was refused are in it"
echo one >"$work/one" && echo two >"$work/two"
run send send guest --secret-name db-key --file "$work/one" "${trusted[@]}"
wants 0 send
run wrong send guest --secret-name db-key --file "$work/two" "${trusted[@]}"
wants 5 wrong "exists"
run later events guest "${trusted[@]}" --json
wants 0 later
holds later 'kinds == ["boot", "session-opened", "session-opened", "secret-received", "session-opened", "violation", "session-opened"]'
holds later '(log["records"][3]["name"], log["records"][3]["session"]) == ("db-key", log["records"][2]["session"])'
holds later 'log["records"][5]["rule"] == "wrong-put" and log["records"][5]["session"] == log["records"][4]["session"]'
holds later "log['records'][3]['commitment'] != '$(sha256sum <"$work/one" | cut -d' ' -f1)'"
run table events guest "${trusted[@]}" --from 3
wants 0 table
grep -q '^   3 .*secret-received .*db-key, commitment [0-9a-f]\{64\}$' "$work/table.out" || complain "table: $(cat "$work/table.out")"
grep -q '^   0 ' "$work/table.out" && complain "--from 3 prints record 0"

section "it is followed as it grows"
"$CVMIN" events guest "${trusted[@]}" --follow --json --from 3 >"$work/follow.out" 2>"$work/follow.err" &
follower=$!
for _ in $(seq 600); do
    [ -s "$work/follow.out" ] && break
    sleep 0.1
done
run late send guest --secret-name late --file "$work/two" "${trusted[@]}"
wants 0 late
for _ in $(seq 600); do
    grep -q '"late"' "$work/follow.out" && break
    sleep 0.1
done
python3 -c 'import json, sys
records = [json.loads(line) for line in open(sys.argv[1])]
numbers = [r["number"] for r in records]
sys.exit(0 if numbers == list(range(3, 3 + len(numbers))) and records[-1]["name"] == "late" else str(numbers))' \
    "$work/follow.out" || complain "followed: $(cat "$work/follow.out" "$work/follow.err")"

section "a log that nobody vouches for is printed only on request"
run untrusted events guest --image "$image" --policy "$policy"
wants 1 untrusted "the evidence was rejected"
[ ! -s "$work/untrusted.out" ] || complain "a rejected log was printed"
run neither events guest --policy "$policy"
wants 2 neither "--image"
run both events guest --unverified "${trusted[@]}"
wants 2 both "--unverified goes without"
run unverified events guest --unverified --json
wants 0 unverified
holds unverified 'log["verified"] is False and log["emulated"] is None'

section "the machine goes away while it is followed"
run stop stop guest
wants 0 stop
code=0
wait "$follower" || code=$?
[ "$code" = 5 ] || complain "the follower ended with $code: $(cat "$work/follow.err")"
run gone events guest "${trusted[@]}"
wants 3 gone
all_held
