#!/usr/bin/env bash
# A CVM with a vTPM, from boot to secret, under a policy that demands everything; and then what must be refused: no TPM, another
# authority, a TPM that hangs, dies or was reset, a quote over other PCRs.
# Needs CVMIN, CVMIN_SRC, and an image (CVMIN_IMAGE, else out/image.json). Runs inside the toolchain root.
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
# wants CODE NAME [TEXT]: of the last run
wants() {
    [ "$code" = "$1" ] || complain "$2: exit $code instead of $1: $(cat "$work/$2.err") $(fails_of "$2")"
    [ -z "${3:-}" ] || grep -qF -- "$3" "$work/$2.err" || complain "$2: no \"$3\" in: $(cat "$work/$2.err")"
}
# the checks of the verdict in NAME.out that did not hold
fails_of() {
    python3 -c 'import json, sys
for c in json.load(open(sys.argv[1]))["checks"]:
    if c["outcome"] in ("failed", "not_made"): print(c.get("check", c.get("name")), c["outcome"], c.get("found"), "/", c.get("wanted"))' \
        "$work/$1.out" 2>/dev/null || true
}
# outcome NAME CHECK WANTED [TEXT]: of a check in the verdict in NAME.out, and a text of what was found
outcome() {
    python3 -c 'import json, sys
found = {c.get("check", c.get("name")): c for c in json.load(open(sys.argv[1]))["checks"]}
c = found.get(sys.argv[2]) or sys.exit("no such check")
text = json.dumps(c)
sys.exit(0 if c["outcome"] == sys.argv[3] and sys.argv[4] in text else text)' "$work/$1.out" "$2" "$3" "${4:-}" ||
        complain "$1: $2 is not $3 ${4:-}"
}
# policy_with NAME PYTHON: policies/emulated.json with members of its own
policy_with() {
    python3 -c 'import json, sys
policy = json.load(open(sys.argv[1]))
exec(sys.argv[3])
json.dump(policy, open(sys.argv[2], "w"))' "$CVMIN_SRC/policies/emulated.json" "$work/$1.json" "$2"
}
everything='policy["vtpm"] = {"bank": "sha256", "credential": "required", "ek_certificate": "required", "svsm": "skip"}
policy["event_log"] = "required"
policy["boot_events"] = "image"
policy["runtime_log"] = {"refuse": ["no-tpm", "tpm-lost", "log-full", "violation"]}
policy["ima"] = {"allowed": []}'
policy_with everything "$everything"
policy_with svsm "$everything
policy['vtpm']['svsm'] = 'required'"
# IMA's boot_aggregate is over the bank of its own hash, SHA-256
policy_with sha384 "$everything
policy['vtpm']['bank'] = 'sha384'
policy['ima'] = 'skip'"
verify() { # NAME VM POLICY OPTIONS...: run NAME, verify --vm
    local name=$1 vm=$2 policy=$3
    shift 3
    run "$name" verify --vm "$vm" --image "$image" --policy "$work/$policy.json" --trust-emulated "$ark" --json "$@"
}

section "boot with a vTPM"
"$CVMIN" boot --image "$image" --vtpm --name guest --json >"$work/boot.json" || exit 1
"$CVMIN" describe guest --json >"$work/guest.json"
ark=$(field "$work/guest.json" emulated_ark)
root=$(field "$work/guest.json" vtpm.ek_root)

section "everything that is demanded holds"
verify good guest everything --ek-root "$root"
wants 0 good
for check in tpm.quote tpm.ak tpm.signature tpm.extra_data tpm.pcr_digest tpm.clock tpm.ek tpm.credential tpm.event_log \
    tpm.boot_events runtime_log.replay runtime_log.events ima.replay ima.boot_aggregate ima.allowed; do
    outcome good "$check" passed
done
outcome good tpm.credential passed "the credential came back"
outcome good tpm.ek passed swtpm
outcome good tpm.quote passed "host-run vTPM"
verify sha384 guest sha384 --ek-root "$root"
wants 0 sha384
head -c 32 /dev/urandom >"$work/secret"
openssl ecparam -name secp384r1 -genkey -noout -out "$work/ear.pem" 2>/dev/null
run send send guest --secret-name key --file "$work/secret" --image "$image" --policy "$work/everything.json" \
    --trust-emulated "$ark" --ek-root "$root" --html "$work/verdict.html" --ear "$work/verdict.jwt" --ear-key "$work/ear.pem" --json
wants 0 send
[ "$(field "$work/send.out" sha256)" = "$(sha256sum "$work/secret" | cut -d' ' -f1)" ] || complain "send: another digest"
grep -q 'tpm.credential' "$work/verdict.html" || complain "the page of send says nothing of the TPM"
[ "$(tr -cd . <"$work/verdict.jwt" | wc -c)" = 2 ] || complain "send wrote no JWT"
# no record of the verdict, no secret
run unrecorded send guest --secret-name other --file "$work/secret" --image "$image" --policy "$work/everything.json" \
    --trust-emulated "$ark" --ek-root "$root" --html "$work/none/verdict.html"
wants 3 unrecorded "nothing was sent"
run reference send guest --secret-name second --file "$work/secret" --reference "$(dirname "$image")/reference-values.corim" \
    --policy "$CVMIN_SRC/policies/emulated.json" --trust-emulated "$ark"
wants 0 reference
run both send guest --secret-name third --file "$work/secret" --image "$image" \
    --reference "$(dirname "$image")/reference-values.corim" --policy "$CVMIN_SRC/policies/emulated.json" --trust-emulated "$ark"
wants 2 both "wanted one of"

section "stored evidence: whether the credential came back stands in the session"
run attest attest guest --out "$work/evidence.cbor" --json
wants 0 attest
[ "$(field "$work/attest.out" quote)" = True ] || complain "attest: no quote"
stored() { # NAME POLICY OPTIONS...
    local name=$1 policy=$2
    shift 2
    run "$name" verify "$work/evidence.cbor" --session "$work/evidence.cbor.session.json" --image "$image" \
        --policy "$work/$policy.json" --trust-emulated "$ark" --json "$@"
}
stored stored everything --ek-root "$root"
wants 0 stored
outcome stored tpm.credential passed "when the evidence was taken"
outcome stored tpm.ek passed
cp "$work/evidence.cbor.session.json" "$work/good.session.json"
edit_session() { # EXPRESSION over s
    python3 -c 'import json, sys
s = json.load(open(sys.argv[1])); exec(sys.argv[3]); json.dump(s, open(sys.argv[2], "w"))' \
        "$work/good.session.json" "$work/evidence.cbor.session.json" "$1"
}
edit_session 's["credential"]["answered"] = False'
stored unanswered everything --ek-root "$root"
wants 1 unanswered
outcome unanswered tpm.credential failed "no credential came back"
edit_session 's["credential"]["ak"] = "00" * 32'
stored others everything --ek-root "$root"
wants 1 others
outcome others tpm.credential failed "other keys"
edit_session 'del s["credential"]' # of a cvmin that did not try
stored untried everything --ek-root "$root"
wants 0 untried
outcome untried tpm.credential skipped
edit_session 's["credential"] = "yes"'
stored no_object everything --ek-root "$root"
wants 3 no_object "session.credential"
cp "$work/good.session.json" "$work/evidence.cbor.session.json"
run no_quote attest guest --out "$work/no_quote.cbor" --pcrs none --json
wants 0 no_quote
[ "$(field "$work/no_quote.out" quote)" = False ] || complain "attest --pcrs none: a quote"
run bad_pcrs attest guest --out "$work/never.cbor" --pcrs sha256:24
wants 2 bad_pcrs "PCRs of 0 to 23"

section "authorities that did not certify this TPM"
verify no_root guest everything
wants 1 no_root
outcome no_root tpm.ek failed "no root"
verify other_root guest everything --ek-root "$CVMIN_SRC/tests/data/tpm/other_root.pem"
wants 1 other_root
outcome other_root tpm.ek failed
outcome other_root tpm.credential passed
run refused send guest --secret-name never --file "$work/secret" --image "$image" --policy "$work/everything.json" \
    --trust-emulated "$ark" --ek-root "$CVMIN_SRC/tests/data/tpm/other_root.pem"
wants 1 refused "nothing was sent"
verify not_a_root guest everything --ek-root "$work/secret"
wants 3 not_a_root "ek_root"

section "a TPM of the host is not the SVSM's"
verify svsm guest svsm --ek-root "$root"
wants 1 svsm
outcome svsm tpm.svsm failed

section "a quote over other PCRs than were asked for"
stored other_pcrs everything --ek-root "$root" --pcrs sha256:0-22
wants 1 other_pcrs
outcome other_pcrs tpm.quote failed
stored other_bank everything --ek-root "$root" --pcrs sha384:all
wants 1 other_bank
outcome other_bank tpm.quote failed
# asked for so few that the demanded facts are not in them
verify few guest everything --ek-root "$root" --pcrs sha256:0-3
wants 1 few
outcome few tpm.quote failed
verify none guest everything --ek-root "$root" --pcrs none
wants 1 none
outcome none tpm.quote failed
run few attest guest --out "$work/few.cbor" --pcrs sha256:0-3
wants 0 few
run few verify "$work/few.cbor" --session "$work/few.cbor.session.json" --image "$image" --policy "$work/everything.json" \
    --trust-emulated "$ark" --ek-root "$root" --json
wants 1 few
outcome few tpm.quote failed

section "continuity: the same boot, later"
verify after guest everything --ek-root "$root" --after "$work/evidence.cbor.session.json"
wants 0 after
outcome after tpm.clock passed
verify no_epoch guest everything --ek-root "$root" --after "$work/no_quote.cbor.session.json"
wants 3 no_epoch "had no quote"

section "no TPM where one is demanded"
"$CVMIN" boot --image "$image" --name bare --json >/dev/null || exit 1
"$CVMIN" describe bare --json >"$work/bare.json"
ark_of_guest=$ark
ark=$(field "$work/bare.json" emulated_ark)
verify bare bare everything --ek-root "$root"
wants 1 bare
outcome bare tpm.quote failed
run bare_plain verify --vm bare --image "$image" --policy "$CVMIN_SRC/policies/emulated.json" --trust-emulated "$ark" --json
wants 0 bare_plain
run stop stop bare
ark=$ark_of_guest

section "a TPM that no longer answers"
swtpm=$(field "$work/guest.json" vtpm.pid)
kill -STOP "$swtpm"
start=$(date +%s)
verify hanging guest everything --ek-root "$root" --timeout 20
[ $(($(date +%s) - start)) -le 30 ] || complain "a TPM that hangs held verify up for $(($(date +%s) - start)) s"
# QEMU's virtual CPU may hang with it, when the guest gives up and QEMU asks swtpm to cancel: then nobody answers
case $code in
1) outcome hanging tpm.quote failed ;;
5) ;;
*) complain "a TPM that hangs: exit $code" ;;
esac
kill -CONT "$swtpm"
verify back guest everything --ek-root "$root"
wants 1 back # a TPM that was away is not believed again
outcome back tpm.quote failed
outcome back runtime_log.events failed tpm-lost
run plain verify --vm guest --image "$image" --policy "$CVMIN_SRC/policies/emulated.json" --trust-emulated "$ark" --json
wants 0 plain # and what does not need it goes on
kill -KILL "$swtpm"
for _ in $(seq 600); do
    "$CVMIN" describe guest >/dev/null 2>&1 || break
    sleep 0.1
done
verify dead guest everything --ek-root "$root" --timeout 5
case $code in
3 | 5) ;;
*) complain "a CVM whose TPM was killed: exit $code" ;;
esac

section "a TPM that was reset between two evidences"
"$CVMIN" boot --image "$image" --vtpm-state "$work/kept" --name kept --json >/dev/null || exit 1
"$CVMIN" describe kept --json >"$work/kept.json"
ark=$(field "$work/kept.json" emulated_ark)
root=$(field "$work/kept.json" vtpm.ek_root)
run before attest kept --out "$work/before.cbor" --json
wants 0 before
verify same kept everything --ek-root "$root" --after "$work/before.cbor.session.json"
wants 0 same
run stop stop kept
"$CVMIN" boot --image "$image" --vtpm-state "$work/kept" --name kept --json >/dev/null || exit 1
"$CVMIN" describe kept --json >"$work/kept.json"
ark=$(field "$work/kept.json" emulated_ark)
verify fresh kept everything --ek-root "$root"
wants 0 fresh
verify reset kept everything --ek-root "$root" --after "$work/before.cbor.session.json"
wants 1 reset
outcome reset tpm.clock failed "reset count"

all_held
