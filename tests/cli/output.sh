#!/usr/bin/env bash
# What cvmin show prints and what cvmin verify writes beside its standard output (--html, --ear), as their users run them:
# every kind and form of file, wrong files, full disks, and attestation results checked by code that is not ours.
# Needs CVMIN.
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
data=$CVMIN_SRC/tests/data
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
complain() {
    echo "output.sh: $*" >&2
    failed=1
}
run() { # run WANTED_CODE ARGS...: streams in $work/out and $work/err
    local wanted=$1 code=0
    shift
    "$CVMIN" "$@" >"$work/out" 2>"$work/err" || code=$?
    [ "$code" = "$wanted" ] || complain "exit $code instead of $wanted: $* ($(head -c 300 "$work/err"))"
}
shows() { # shows TEXT ARGS...
    local text=$1
    shift
    run 0 show "$@"
    grep -qF -- "$text" "$work/out" || complain "no '$text': show $*"
    run 0 show "$@" --json
    python3 -c 'import json, sys
v = json.load(open(sys.argv[1])); assert v["schema"] == 1 and v["verified"] is False and v[v["kind"]]' "$work/out" ||
        complain "JSON: show $*"
}

# ---- show -----------------------------------------------------------------------------------------------------------
genoa=$data/oak/genoa-v5-oc-mitvector
evidence=$data/appraise/evidence.cbor
shows 'MEASUREMENT' report "$genoa/report.bin"
shows 'product name' cert "$genoa/vcek.der"
shows 'revoked since' crl "$data/appraise/crl-revokes-ask.der"
shows 'report names these claims  yes' evidence "$evidence"
openssl x509 -inform DER -in "$genoa/vcek.der" -out "$work/vcek.pem"
shows 'product name' cert "$work/vcek.pem"
od -An -tx1 -v "$genoa/report.bin" >"$work/report.hex"
"$CVMIN" show report "$genoa/report.bin" >"$work/binary.txt"
"$CVMIN" show report - <"$work/report.hex" | cmp -s - "$work/binary.txt" || complain "hex on standard input prints something else"
shows 'other entries' cert "$data/negative/forged-chain-Milan-B1/cert_table.bin"
run 2 show nothing "$genoa/report.bin"
run 3 show report "$genoa/vcek.der"
grep -q 'not a readable report' "$work/err" || complain "a certificate as a report: $(cat "$work/err")"
run 3 show cert "$genoa/report.bin"
run 3 show evidence "$genoa/report.bin"
run 3 show report "$work/none"
run 3 show report "$work"
run 3 show report /dev/zero
: >"$work/empty"
for kind in report cert crl claims evidence; do run 3 show "$kind" "$work/empty"; done
code=0
"$CVMIN" show report "$genoa/report.bin" >/dev/full 2>"$work/err" || code=$?
[ $code = 4 ] || complain "a full disk behind standard output: exit $code instead of 4"
grep -q 'standard output could not be written' "$work/err" || complain "a full disk is not named"
"$CVMIN" show report "$genoa/report.bin" >&- 2>/dev/null || true # a closed standard output ends, and breaks nothing

# ---- files beside the verdict -----------------------------------------------------------------------------------------
measured=$(od -An -tx1 -v -j144 -N48 "$genoa/report.bin" | tr -d ' \n')
asked=$(od -An -tx1 -v -j80 -N64 "$genoa/report.bin" | tr -d ' \n')
genuine=(verify --report "$genoa/report.bin" --vek "$genoa/vcek.der" --policy "$CVMIN_SRC/policies/genoa.json"
    --time 2025-10-01T00:00:00Z)
openssl ecparam -name secp384r1 -genkey -noout -out "$work/key.pem"
openssl ec -in "$work/key.pem" -pubout -out "$work/pub.pem" 2>/dev/null
ear() { # ear NAME WANTED_CODE STATUS ARGS...
    local name=$1 wanted=$2 status=$3
    shift 3
    rm -f "$work/$name.jwt"
    run "$wanted" "$@" --ear "$work/$name.jwt" --ear-key "$work/key.pem"
    # signature by OpenSSL, payload by the schema: none of it is our code
    python3 - "$work/$name.jwt" "$work/pub.pem" "$CVMIN_SRC/docs/ear.schema.json" "$status" "$work" <<'END' || complain "$name: see above"
import base64, json, subprocess, sys
import jsonschema

path, key, schema, status, work = sys.argv[1:]
header, payload, signature = open(path).read().strip().split(".")
decode = lambda part: base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
assert "=" not in header + payload + signature
head = json.loads(decode(header))
assert head["alg"] == "ES384" and head["typ"] == "JWT" and len(head["kid"]) == 43, head
raw = decode(signature)
assert len(raw) == 96
def integer(value):
    value = value.lstrip(b"\0") or b"\0"
    value = b"\0" + value if value[0] & 0x80 else value
    return b"\x02" + bytes([len(value)]) + value
body = integer(raw[:48]) + integer(raw[48:])
open(work + "/sig.der", "wb").write(b"\x30" + bytes([len(body)]) + body)
open(work + "/signed", "w").write(header + "." + payload)
check = ["openssl", "dgst", "-sha384", "-verify", key, "-signature", work + "/sig.der"]
assert subprocess.run(check + [work + "/signed"], capture_output=True).returncode == 0, "the signature does not verify"
open(work + "/changed", "w").write(header + "." + payload[:-2] + ("AA" if payload[-2:] != "AA" else "BB"))
assert subprocess.run(check + [work + "/changed"], capture_output=True).returncode != 0
claims = json.loads(decode(payload))
jsonschema.Draft202012Validator(json.load(open(schema))).validate(claims)
appraisal = claims["submods"]["sev-snp"]
found = appraisal.get("ear_status", appraisal.get("ear.status"))
assert found == status, found
verdict = appraisal.get("ear_verifier_claims", appraisal.get("ear.veraison.policy-claims"))
assert found != "affirming" or (verdict["accepted"] and not verdict["emulated"])
END
}
session=$data/appraise/evidence.cbor.session.json
good=$(printf 'aa%.0s' {1..48})
emulated=(verify "$evidence" --session "$session" --policy "$CVMIN_SRC/policies/emulated.json" --time 2026-06-01T12:00:00Z
    --trust-emulated "$data/appraise/ark.der")
ear genuine 0 affirming "${genuine[@]}" --measurement "$measured" --report-data "$asked"
ear older 0 affirming "${genuine[@]}" --measurement "$measured" --report-data "$asked" --ear-profile veraison
ear refused 1 contraindicated "${genuine[@]}" --measurement "$good" --report-data "$asked"
ear other-question 1 contraindicated "${genuine[@]}" --measurement "$measured" --report-data "$(printf '00%.0s' {1..64})"
ear emulated 0 contraindicated "${emulated[@]}" --measurement "$good"
run 2 "${genuine[@]}" --measurement "$measured" --report-data skip --ear "$work/none.jwt" --ear-key "$work/key.pem"
grep -q 'could be replayed' "$work/err" || complain "a result without a nonce: $(cat "$work/err")"
run 2 "${genuine[@]}" --measurement "$measured" --report-data "$asked" --ear "$work/none.jwt"
run 2 "${genuine[@]}" --measurement "$measured" --report-data "$asked" --ear-key "$work/key.pem"
openssl ecparam -name prime256v1 -genkey -noout -out "$work/p256.pem"
for key in "$work/p256.pem" "$work/pub.pem" "$work/empty" "$work/absent"; do
    run 3 "${genuine[@]}" --measurement "$measured" --report-data "$asked" --ear "$work/none.jwt" --ear-key "$key"
done
[ ! -e "$work/none.jwt" ] || complain "a result was written where none may be"

run 0 "${genuine[@]}" --measurement "$measured" --report-data "$asked" --html "$work/page.html"
grep -q '<h1 id="verdict">ACCEPTED</h1>' "$work/page.html" || complain "the page does not say ACCEPTED"
[[ $(head -n 1 "$work/out") == ACCEPTED* ]] || complain "--html takes the place of the table"
echo before >"$work/page.html"
run 3 "${genuine[@]}" --measurement "$measured" --report-data "$asked" --html "$work/missing/page.html"
[ ! -s "$work/out" ] || complain "a verdict was printed although the page could not be written"
run 4 "${genuine[@]}" --measurement "$measured" --report-data "$asked" --html /dev/full/page.html
[ "$(cat "$work/page.html")" = before ] || complain "another run changed the page"
if compgen -G "$work/*.??????" | grep -E '\.(html|jwt)\.' >/dev/null; then complain "a temporary file was left behind"; fi

# ---- a report by itself: usage -----------------------------------------------------------------------------------------
run 2 verify --report "$genoa/report.bin" "$evidence" --policy "$CVMIN_SRC/policies/genoa.json"
run 2 "${genuine[@]}" --measurement "$measured" --nonce "$asked"
run 2 verify "$evidence" --session "$session" --policy "$CVMIN_SRC/policies/genoa.json" --measurement "$good" --report-data skip
run 2 "${genuine[@]}" --measurement "$measured" --report-data 00
run 3 verify --report "$work/absent" --policy "$CVMIN_SRC/policies/genoa.json" --measurement "$measured" --report-data skip
run 3 "${genuine[@]}" --measurement "$measured" --report-data skip --ask "$work/key.pem"
run 1 verify --report "$work/empty" --policy "$CVMIN_SRC/policies/genoa.json" --measurement "$measured" --report-data skip
exit $failed
