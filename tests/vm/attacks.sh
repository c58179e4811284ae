#!/usr/bin/env bash
# A party that is hostile, and strangers: what they send in every state, in every place, in the middle of everything and in hundreds, while
# honest parties bring their computation to its end. What the agent said to each of them is searched for what is not theirs.
# Needs CVMIN, CVMIN_SRC, CVMIN_BUILD, and an image (CVMIN_IMAGE, else out/image.json).
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
# shellcheck source=tests/vm/parties.sh
. "$CVMIN_SRC/tests/vm/parties.sh"
cd "$work"

the_parties 100
their_manifest m.json --id attacked
their_manifest other.json --id other
"$CVMIN" boot --image "$image" --name guest --manifest m.json --memory 160 --listen 127.0.0.1:0 --json >guest.json || exit 1
address=$(field guest.json listens_on)
qemu=$(field guest.json qemu.pid)
trusted=(--image "$image" --policy "$CVMIN_SRC/policies/emulated.json" --trust-emulated "$(field guest.json emulated_ark)")
# attack WHO ACTION=WANTED...: on one connection; nobody has no key
attack() {
    local who=$1 key=()
    shift
    [ "$who" = nobody ] || key=(--key "$who.pem")
    "$CVMIN_BUILD/tests/cvmin-test-attacker" --connect "$address" "${key[@]}" --received "said.to.$who" "$@" >attack.log 2>&1 ||
        complain "$who: $(cat attack.log)"
}

section "before there is an agreement"
attack eve attest=evidence status=waiting-manifest put:data/alice:0:#10=wrong_state get:log:0=wrong_state confirm=wrong_state
attack mallory put:data/mallory:0:mallory.csv=not_attested end:data/mallory:5=not_attested status=not_attested get:log:0=not_attested \
    confirm=not_attested manifest:agreed=not_attested events=not_attested --manifest m.json
attack nobody attest=evidence manifest:agreed=manifest_mismatch manifest:32000=bad_manifest manifest:1=bad_manifest --manifest other.json
attack nobody manifest:40000=bad_request hello=closed # too large to be one
attack nobody passport-get=not_available passport-put:10=not_attested status=not_attested events=not_attested
attack nobody attest=evidence passport-put:16384=stored passport-get=passport passport-put:1=stored passport-get=passport \
    passport-put:16385=bad_request hello=closed
attack eve passport-get=passport put:data/alice:0:#10=wrong_state passport-put:0=bad_request # what was put is still there, and opens what evidence opens

section "strangers in hundreds, from here on"
"$CVMIN_BUILD/tests/cvmin-test-attacker" --connect "$address" --key eve.pem --received said.to.eve --manifest other.json --flood 25 \
    >flood.log 2>&1 &
flood=$!
as alice upload --dataset alice=alice.csv
wants 0 "$last"
as alice status
wants 0 "$last"
says "input  data/alice  $(stat -c %s alice.csv) bytes, complete"

section "what is not mallory's"
attack mallory attest=evidence put:data/alice:0:mallory.csv=wrong_role end:data/alice:0=wrong_role put:algorithm:0:mallory.csv=wrong_role \
    put:data/bob:0:mallory.csv=unknown_item end:data/bob:0=unknown_item get:log:0=wrong_role get:receipt:0=wrong_role \
    get:output/secret:0=wrong_role confirm=wrong_role status=waiting-inputs manifest:agreed=exists --manifest other.json
section "what is, and wrong"
size=$(stat -c %s mallory.csv)
attack mallory attest=evidence put:data/mallory:5:mallory.csv=wrong_offset put:data/mallory:0:#100="received 100" \
    put:data/mallory:99:#10=wrong_offset put:data/mallory:101:#10=wrong_offset put:data/mallory:18446744073709551615:#10=wrong_offset \
    end:data/mallory:99=wrong_offset end:data/mallory:0=wrong_offset end:data/mallory:100=digest_mismatch end:data/mallory:100=wrong_offset \
    put:data/mallory:0:#$((size + 1))=too_large put:data/mallory:0:#"$size"="received $size" put:data/mallory:"$size":#1=too_large \
    end:data/mallory:"$size"=wrong_offset reconnect=open put:data/mallory:0:mallory.csv=not_attested
section "in the name of others"
attack eve attest=evidence status=not_a_party put:data/alice:0:#10=not_a_party end:data/alice:0=not_a_party get:log:0=not_a_party \
    confirm=not_a_party stop=not_a_party hello=hello passport-put:1=stored
attack eve passport-get=passport status=not_a_party get:log:0=not_a_party confirm=not_a_party stop=not_a_party
attack nobody attest=evidence status=not_a_party get:log:0=not_a_party stop=not_a_party hello=hello
attack eve --present alice.pem attest=closed # her certificate, and not her key

section "while it runs"
attack mallory attest=evidence put:data/mallory:0:mallory.csv="received $size" end:data/mallory:"$size"=stored \
    put:data/mallory:0:mallory.csv=exists put:data/mallory:"$size":#1=exists end:data/mallory:5=exists end:data/mallory:"$size"=stored
as carol upload --algorithm program
wants 0 "$last"
attack mallory attest=evidence status=running put:data/mallory:0:mallory.csv=wrong_state get:output/secret:0=wrong_role get:log:0=wrong_role confirm=wrong_role
attack alice attest=evidence get:output/secret:0=wrong_state get:log:0=wrong_state get:receipt:0=wrong_state confirm=wrong_state status=running
as carol status
wants 0 "$last"
says "state  running"

section "the result"
as alice result --out alice --wait --keep
wants 0 "$last"
grep -q "^RESULT-OF-THE-RUN-5c44 PDATA-OF-ALICE-3b1e" alice/output/secret || complain "not the result: $(cat alice/output/secret)"
attack mallory attest=evidence status=result get:output/secret:0=wrong_role get:log:0=wrong_role get:receipt:0=wrong_role \
    confirm:alice/receipt.cbor=wrong_role put:data/mallory:0:mallory.csv=wrong_state
attack eve attest=evidence get:output/secret:0=not_a_party get:receipt:0=not_a_party confirm:alice/receipt.cbor=not_a_party stop=not_a_party events=events
wait "$flood" || complain "the flood: $(cat flood.log)"
cat flood.log
attack alice attest=evidence confirm=digest_mismatch confirm:program=digest_mismatch status=result+outputs get:output/secret:1000=wrong_offset \
    get:output/none:0=unknown_item get:output/secret:0=data get:log:0=data confirm:alice/receipt.cbor=stored status=done get:output/secret:0=wrong_state
as carol status
says "state  done"

section "what was said to whom"
grep -qa "RESULT-OF-THE-RUN-5c44" said.to.alice && grep -qa "LOG-OF-THE-RUN-91d2" said.to.alice || complain "what was said is not kept: nothing can be found in it"
no_marks "said to others than consumers" said.to.{eve,mallory,nobody}
python3 - <<'PYTHON' || complain "digests: who may guess the data can try it against them"
import hashlib, sys
output = open("alice/output/secret", "rb").read()
digests = [hashlib.sha256(open("alice.csv", "rb").read()).digest(), hashlib.sha256(output).digest()]
digests.append(hashlib.sha256(bytes.fromhex("8183 66") + b"secret" + bytes([0x18, len(output)]) + b"\x58\x20" + digests[1]).digest())
said = {who: open("said.to." + who, "rb").read() for who in ("alice", "eve", "mallory", "nobody")}
seen = {who: [digest in bytes for digest in digests] for who, bytes in said.items()}
sys.exit(0 if seen.pop("alice")[1] and not any(map(any, seen.values())) else str(seen))
PYTHON
[ "$(stat -c %s said.to.eve)" -gt 100000 ] || complain "hardly anything was said to eve"

section "the machine is the same, and ends when a party says so"
run boots events guest --manifest m.json "${trusted[@]}" --json
wants 0 boots
[ "$(grep -c '"event": "boot"' boots.out)" = 1 ] && alive "$qemu" || complain "the machine did not survive"
attack mallory stop=stopping
for _ in $(seq 600); do alive "$qemu" || break; sleep 0.05; done
! alive "$qemu" || complain "a party cannot stop it"

all_held
