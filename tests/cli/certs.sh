#!/usr/bin/env bash
# cvmin certs as its users run it, against a key service on loopback that misbehaves on request; and verifying with the
# bundle it makes. No network is used. Needs CVMIN (the command).
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
data=$CVMIN_SRC/tests/data
work=$(mktemp -d)
cleanup() {
    exec 7>&- 8>&- || true # the services end with their standard input
    rm -rf "$work"
}
trap cleanup EXIT
export XDG_CACHE_HOME=$work/cache
unset CVMIN_CACHE CURL_CA_BUNDLE SSL_CERT_FILE
command=
# shellcheck source=tests/cli/lib.sh
. "$CVMIN_SRC/tests/cli/lib.sh"
says() { grep -qF -- "$1" "$work/${2:-out}" || complain "no '$1' in '$(cat "$work/${2:-out}")'"; }
json_says() { # PYTHON EXPRESSION over v
    python3 -c 'import json, sys
v = json.load(open(sys.argv[1]))
sys.exit(0 if eval(sys.argv[2]) else 1)' "$work/out" "$1" || complain "not so: $1: $(cat "$work/out")"
}

# ---- the services ---------------------------------------------------------------------------------------------------
pem() { openssl "$1" -inform DER -in "$2"; }
kds=$work/kds
mkdir -p "$kds/answers"
# the test chain, with a list; AMD's own chain is below
test_chain() {
    cp "$data/appraise/vcek-genoa.der" "$kds/answers/vcek"
    { pem x509 "$data/appraise/ask.der"; pem x509 "$data/appraise/ark.der"; } >"$kds/answers/chain"
    cp "$data/appraise/crl-empty.der" "$kds/answers/crl"
}
test_chain
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/tls.key" -out "$work/tls.pem" \
    -days 2 -subj /CN=localhost -addext 'subjectAltName=DNS:localhost' 2>/dev/null
mkdir -p "$work/tls-kds" && ln -s "$kds/answers" "$work/tls-kds/answers"
mkfifo "$work/hold" "$work/tls-hold"
python3 "$CVMIN_SRC/tests/tools/fake_kds.py" "$kds" <"$work/hold" &
exec 7>"$work/hold"
python3 "$CVMIN_SRC/tests/tools/fake_kds.py" "$work/tls-kds" "$work/tls.pem" "$work/tls.key" <"$work/tls-hold" &
exec 8>"$work/tls-hold"
for folder in "$kds" "$work/tls-kds"; do
    for _ in {1..200}; do
        [ -s "$folder/port" ] && break
        sleep 0.05
    done
    [ -s "$folder/port" ] || { complain "the service of $folder does not start"; exit 1; }
done
address=http://127.0.0.1:$(cat "$kds/port")
tls_address=https://localhost:$(cat "$work/tls-kds/port")

chip=$(printf '%02x' {1..64})
tcb=boot_loader=10,tee=0,snp=25,microcode=84
root=(--trust-emulated "$data/appraise/ark.der")
what=(--product Genoa --chip-id "$chip" --tcb "$tcb")
fetch=(certs fetch "${what[@]}" "${root[@]}" --kds "$address")
asked() { wc -l <"$kds/log"; }
behave() { printf '%s\n' "$@" >"$kds/script"; : >"$kds/log"; }
forget() { rm -rf "$XDG_CACHE_HOME"; }

# ---- what is fetched ------------------------------------------------------------------------------------------------
behave
run 0 "${fetch[@]}" --out "$work/certs"
says EMULATED
says 'SEV-VCEK <- SEV-Test EMULATED <- ARK-Test EMULATED'
says 'cvmin: VCEK: asking' err
[ "$(cd "$work/certs" && echo *)" = "genoa-ark.der genoa-ask.der genoa-vcek-0102030405060708-541900000000000a.der genoa-vcek.crl" ] ||
    complain "other files: $(ls "$work/certs")"
cmp -s "$data/appraise/vcek-genoa.der" "$work/certs/genoa-vcek-0102030405060708-541900000000000a.der" || complain "another VCEK"
cmp -s "$data/appraise/crl-empty.der" "$work/certs/genoa-vcek.crl" || complain "another list"
grep -qF "/vcek/v1/Genoa/$chip?blSPL=10&teeSPL=00&snpSPL=25&ucodeSPL=84" "$kds/log" || complain "asked for something else: $(cat "$kds/log")"
# a second time nobody is asked, and without a service it works too
behave
run 0 "${fetch[@]}" --json
[ "$(asked)" = 0 ] || complain "the cache is not used"
json_says 'v["schema"] == 1 and v["emulated"] and all(a["cached"] for a in v["answers"]) and len(v["files"]) == 4'
json_says 'v["files"][0]["file"] is None and v["crl"]["next_update"] == "2045-01-01T00:00:00Z"'
run 0 certs fetch "${what[@]}" "${root[@]}" --kds "$address" --offline
refuses 5 'is not in the cache, and --offline asks nobody' certs fetch "${what[@]}" "${root[@]}" --kds https://localhost:1 --offline
run 0 "${fetch[@]}" --refresh
[ "$(asked)" = 3 ] || complain "--refresh asks $(asked) times"
# from evidence
run 0 certs fetch --evidence "$data/appraise/evidence.cbor" "${root[@]}" --kds "$address"
# a cache that was changed is not believed
for file in "$XDG_CACHE_HOME"/cvmin/kds/*; do printf 'x' | dd of="$file" bs=1 seek=400 conv=notrunc status=none; done
behave
run 0 "${fetch[@]}"
says 'the cached one is not used' err
[ "$(asked)" = 3 ] || complain "a changed cache is believed"
# a cache that cannot be written: with --out it is done without; alone nothing would be left
: >"$work/no-directory"
XDG_CACHE_HOME=$work/no-directory run 0 "${fetch[@]}" --out "$work/uncached"
says 'CRL: cannot be cached' err
cmp -s "$data/appraise/crl-empty.der" "$work/uncached/genoa-vcek.crl" || complain "without a cache another list"
XDG_CACHE_HOME=$work/no-directory refuses 4 'without --out nothing would be left' "${fetch[@]}"

# ---- what passes, after a while -------------------------------------------------------------------------------------
forget
behave 'chain truncate' 'vcek 500' 'vcek 429:1' 'crl close'
run 0 "${fetch[@]}"
says 'HTTP 500' err
says 'asks to wait 1 s; again in' err
grep -q '^ok .*cert_chain bytes=[0-9]*-$' "$kds/log" || complain "the answer is not resumed: $(cat "$kds/log")"
[ "$(asked)" = 7 ] || complain "asked $(asked) times"

# ---- what does not: exit code, text; nothing is written, nothing stays in the cache ----------------------------------
answer() { # BEHAVIOUR CODE TEXT
    forget
    rm -rf "$work/none"
    behave "$1"
    refuses "$2" "$3" "${fetch[@]}" --out "$work/none" --retries 0
    [ ! -e "$work/none" ] || complain "something was written: $1"
}
answer 'vcek 404' 5 'the service has none for this chip at this TCB (boot_loader 10, tee 0, snp 25, microcode 84)'
answer 'chain 404' 5 'the service does not know Genoa'
answer 'vcek 429:600' 5 'the service limits how often it answers (HTTP 429), it asks to wait 600 s'
answer 'vcek 503' 5 'the service has a failure of its own (HTTP 503)'
answer 'vcek 400' 5 'an answer that is not understood (HTTP 400)'
answer 'vcek close' 5 'the VCEK of chip 0102030405060708'
answer 'vcek truncate-untagged' 5 'the VCEK of chip'
answer 'vcek html' 3 'the answer is a web page'
answer 'chain html' 3 'the answer is a web page'
answer 'vcek oversize' 3 'the answer has more than 8192 bytes'
answer 'vcek endless' 3 'the answer has more than 8192 bytes'
answer "vcek file:$data/appraise/vcek-milan.der" 3 'found a VCEK of Milan-B0; wanted a VCEK of Genoa'
answer "vcek file:$data/oak/genoa-v5-oc-mitvector/vcek.der" 3 "wanted $chip"
answer "chain file:$data/appraise/ask.der" 3 'two certificates in PEM'
answer "crl file:$data/appraise/crl-other-key.der" 3 'the signature of the CRL does not verify'
answer "crl file:$data/appraise/crl-old.der" 3 'the CRL is valid from'
answer "crl file:$data/appraise/crl-revokes-ask.der" 3 'SEV-Test EMULATED (serial 7e0001) is revoked'
answer "vcek redirect:$address/elsewhere" 5 'the VCEK of chip' # never to plain text
answer 'vcek redirect:file:///etc/passwd' 5 'the VCEK of chip'
forget
behave 'vcek slow'
refuses 5 'no answer in time' "${fetch[@]}" --timeout 1 --retries 0
behave 'vcek 429:60'
refuses 5 'no time is left for another attempt' "${fetch[@]}" --timeout 2
# nobody there
refuses 5 'the chain of Genoa' certs fetch "${what[@]}" "${root[@]}" --kds http://127.0.0.1:1 --retries 0
# without --trust-emulated the test chain is nobody's
behave
refuses 3 "no name of AMD's intermediates" certs fetch "${what[@]}" --kds "$address"

# ---- TLS is verified ------------------------------------------------------------------------------------------------
forget
refuses 5 'the chain of Genoa' certs fetch "${what[@]}" "${root[@]}" --kds "$tls_address" --retries 0
run 0 certs fetch "${what[@]}" "${root[@]}" --kds "$tls_address" --retries 0 --ca-file "$work/tls.pem"
forget
SSL_CERT_FILE=$work/tls.pem run 0 certs fetch "${what[@]}" "${root[@]}" --kds "$tls_address" --retries 0
forget
refuses 5 'the chain of Genoa' certs fetch "${what[@]}" "${root[@]}" --kds "${tls_address/localhost/127.0.0.1}" --retries 0 --ca-file "$work/tls.pem"

# ---- AMD's own chain ------------------------------------------------------------------------------------------------
real=$data/oak/genoa-v5-oc-mitvector
roots=$CVMIN_SRC/host-tools/appraise/roots
cp "$real/vcek.der" "$kds/answers/vcek"
{ pem x509 "$roots/ask_genoa.der"; pem x509 "$roots/ark_genoa.der"; } >"$kds/answers/chain"
forget
behave
run 0 certs fetch --report "$real/report.bin" --kds "$address" --no-crl --out "$work/real"
says 'SEV-VCEK <- SEV-Genoa <- ARK-Genoa'
if grep -q EMULATED "$work/out"; then complain "AMD's chain is called emulated"; fi
refuses 3 'does not say which product' certs fetch --report "$data/go-sev-guest/milan-v2-gcp-debug/report.bin" --kds "$address"
refuses 3 'the report is of Genoa and not of Milan' certs fetch --report "$real/report.bin" --product Milan --kds "$address"
test_chain

# ---- Ctrl-C ---------------------------------------------------------------------------------------------------------
forget
behave 'crl slow'
"$CVMIN" "${fetch[@]:0:2}" "${what[@]}" "${root[@]}" --kds "$address" --out "$work/interrupted" >"$work/out" 2>"$work/err" &
pid=$!
for _ in {1..200}; do
    grep -q crl "$kds/log" && break
    sleep 0.05
done
kill -TERM $pid
code=0
wait $pid || code=$?
[ $code = 143 ] || complain "an interrupted fetch ends with $code"
[ ! -e "$work/interrupted" ] || complain "an interrupted fetch leaves files"
[ -z "$(find "$XDG_CACHE_HOME" -name '*.??????' ! -name '*.der' 2>/dev/null)" ] || complain "an interrupted fetch leaves temporary files"

# ---- bundles --------------------------------------------------------------------------------------------------------
openssl ecparam -genkey -name secp384r1 -noout -out "$work/key.pem"
openssl ec -in "$work/key.pem" -pubout -out "$work/key.pub.pem" 2>/dev/null
openssl ecparam -genkey -name secp384r1 -noout -out "$work/other.pem"
openssl ec -in "$work/other.pem" -pubout -out "$work/other.pub.pem" 2>/dev/null
openssl ecparam -genkey -name prime256v1 -noout -out "$work/p256.pem"
end=2040-01-01T00:00:00Z
bundle=(certs bundle --key "$work/key.pem" --expires "$end" "${root[@]}")
cp "$data/appraise/crl-empty.der" "$work/certs/genoa-vcek.crl"
run 0 "${bundle[@]}" --from "$work/certs" --out "$work/fleet"
says "ends $end"
says 'VCEK   Genoa, chip 0102030405060708, boot_loader 10, tee 0, snp 25, microcode 84'
says 'list   of ARK-Test EMULATED'
run 0 certs show "$work/fleet"
says 'signed not checked'
run 0 certs show "$work/fleet" --collateral-key "$work/key.pub.pem" --json
json_says 'v["schema"] == 1 and v["signature_checked"] and len(v["veks"]) == 1 and len(v["crls"]) == 1'
refuses 3 'collateral.signature' certs show "$work/fleet" --collateral-key "$work/other.pub.pem"
minimum() { printf '{"Genoa": {"reported": {"boot_loader": %s, "tee": 0, "snp": 0, "microcode": 0}}}' "$1" >"$work/minimum.json"; }
minimum 11
run 0 "${bundle[@]}" --from "$work/certs" --out "$work/strict" --minimum-tcb "$work/minimum.json" --json
json_says 'v["minimum_tcb"]["Genoa"]["reported"]["boot_loader"] == 11 and v["emulated"]'
cp "$data/appraise/crl-revokes-ask.der" "$work/revoked.crl"
run 0 "${bundle[@]}" --from "$data/appraise/ask.der" --from "$work/revoked.crl" --out "$work/revoking"
refuses 3 'is revoked since' "${bundle[@]}" --from "$work/certs" --from "$work/revoked.crl" --out "$work/none"
refuses 3 'no certificate and no list' "${bundle[@]}" --from "$data/appraise/ark.der" --out "$work/none"
refuses 3 'the root ARK-Test EMULATED' "${bundle[@]}" --from "$data/appraise/ark-same-name.der" --out "$work/none"
refuses 3 'neither a certificate nor' "${bundle[@]}" --from "$data/appraise/vek-key.der" --out "$work/none"
refuses 3 'which is no certificate and no list' "${bundle[@]}" --from "$work/key.pem" --out "$work/none"
refuses 3 "$work/absent" "${bundle[@]}" --from "$work/absent" --out "$work/none"
refuses 3 'is larger than its limit' "${bundle[@]}" --from /dev/zero --out "$work/none"
refuses 3 'private key' certs bundle --key "$work/p256.pem" --expires "$end" --from "$work/certs" --out "$work/none" "${root[@]}"
refuses 3 'private key' certs bundle --key "$work/key.pub.pem" --expires "$end" --from "$work/certs" --out "$work/none" "${root[@]}"
minimum 256
refuses 3 'Genoa.reported.boot_loader is no number from 0 to 255' "${bundle[@]}" --from "$work/certs" --out "$work/none" --minimum-tcb "$work/minimum.json"
refuses 2 'is in the past' certs bundle --key "$work/key.pem" --expires 2020-01-01T00:00:00Z --from "$work/certs" --out "$work/none"
refuses 2 '--expires: wanted UTC' certs bundle --key "$work/key.pem" --expires tomorrow --from "$work/certs" --out "$work/none"
refuses 3 'No such file or directory' "${bundle[@]}" --from "$work/certs" --out "$work/absent/none"
[ ! -e "$work/none" ] || complain "a refused bundle was written"

# ---- verifying with a bundle: the network plays no part --------------------------------------------------------------
good=$(printf 'aa%.0s' {1..48})
time=2026-06-01T12:00:00Z
verify=(verify "$data/appraise/evidence.cbor" --session "$data/appraise/evidence.cbor.session.json" "${root[@]}" --measurement "$good")
policy=(--policy "$CVMIN_SRC/policies/emulated.json")
python3 -c 'import json, sys
p = json.load(open(sys.argv[1])); p["revocation"] = "required"; json.dump(p, open(sys.argv[2], "w"))
p["revocation"] = {"maximum_age_days": 300}; json.dump(p, open(sys.argv[3], "w"))' \
    "$CVMIN_SRC/policies/emulated.json" "$work/required.json" "$work/aged.json"
with() { echo --collateral "$1" --collateral-key "${2:-$work/key.pub.pem}"; }
# shellcheck disable=SC2046 # words
{
    run 1 "${verify[@]}" --policy "$work/required.json" --time $time # the host brings no list
    says 'FAILED    snp.revocation'
    run 0 "${verify[@]}" --policy "$work/required.json" --time $time $(with "$work/fleet")
    says 'CRL of ARK-Test EMULATED of 2025-01-01T00:00:00Z lists 0 serials'
    run 1 "${verify[@]}" --policy "$work/aged.json" --time $time $(with "$work/fleet")
    says 'FAILED    snp.revocation'
    run 1 "${verify[@]}" "${policy[@]}" --time $time $(with "$work/revoking")
    says 'is revoked since'
    run 1 "${verify[@]}" "${policy[@]}" --time $time $(with "$work/strict")
    says 'FAILED    snp.tcb.minimum.reported'
    says '[collateral]'
    refuses 3 'collateral.expiry: the file ended at 2040-01-01T00:00:00Z' "${verify[@]}" "${policy[@]}" --time $end $(with "$work/fleet")
    refuses 3 'collateral.signature' "${verify[@]}" "${policy[@]}" --time $time $(with "$work/fleet" "$work/other.pub.pem")
    cp "$work/fleet" "$work/changed" && printf 'x' | dd of="$work/changed" bs=1 seek=1000 conv=notrunc status=none
    refuses 3 'collateral.signature' "${verify[@]}" "${policy[@]}" --time $time $(with "$work/changed")
    refuses 3 'collateral.format' "${verify[@]}" "${policy[@]}" --time $time $(with "$data/appraise/evidence.cbor")
    refuses 3 "$work/absent" "${verify[@]}" "${policy[@]}" --time $time $(with "$work/absent")
    # without a key nobody says who chose what is in it, but everything in it is judged; a secret is not sent on that
    run 0 "${verify[@]}" --policy "$work/required.json" --time $time --collateral "$work/fleet"
    grep -qF 'not checked who signed it' "$work/err" || complain "nothing is said of the signature: $(cat "$work/err")"
    run 1 "${verify[@]}" "${policy[@]}" --time $time --collateral "$work/revoking"
    refuses 3 'collateral.expiry' "${verify[@]}" "${policy[@]}" --time $end --collateral "$work/fleet"
    run 2 "${verify[@]}" "${policy[@]}" --collateral-key "$work/key.pub.pem"
    run 2 send vm token "$work/fleet" --collateral "$work/fleet"
    # the same moment in another time zone
    run 0 "${verify[@]}" --policy "$work/required.json" --time 2026-06-01T13:30:00+01:30 --collateral "$work/fleet"
    run 2 "${verify[@]}" "${policy[@]}" --time 2026-06-01T13:30:00+24:00
}
run 0 "${verify[@]}" "${policy[@]}" --time $time --crl "$data/appraise/crl-empty.der"
run 1 "${verify[@]}" "${policy[@]}" --time $time --crl "$data/appraise/crl-revokes-ask.der"
says 'is revoked since'
run 1 "${verify[@]}" "${policy[@]}" --time $time --crl "$data/appraise/usage-crl.der"
says 'a CRL of another issuer'
pem crl "$data/appraise/crl-empty.der" >"$work/crl.pem"
run 0 "${verify[@]}" --policy "$work/required.json" --time $time --crl "$work/crl.pem"
refuses 3 crl "${verify[@]}" "${policy[@]}" --time $time --crl "$data/appraise/ark.der"

# ---- usage (2), help ------------------------------------------------------------------------------------------------
refuses 2 'only https, or http to this machine' certs fetch "${what[@]}" --kds http://example.com
refuses 2 'is no address' certs fetch "${what[@]}" --kds ''
refuses 2 'go together' certs fetch --product Milan --chip-id "$chip"
refuses 2 'wanted one of' certs fetch
refuses 2 'wanted one of' certs fetch --product Genoa --chip-id "$chip" --tcb "$tcb" --report "$real/report.bin"
refuses 2 'wanted Milan, Genoa or Turin' certs fetch --product Rome
refuses 2 '--tcb: ' certs fetch --product Milan --chip-id "$chip" --tcb snp=1
refuses 2 '--chip-id: ' certs fetch --product Milan --chip-id 00 --tcb "$tcb"
refuses 2 'masked' certs fetch --product Genoa --chip-id "$(printf '00%.0s' {1..64})" --tcb "$tcb"
refuses 2 '--vlek goes with' certs fetch --vlek --report "$real/report.bin"
refuses 2 'exclude each other' certs fetch "${what[@]}" --offline --refresh
refuses 3 'absent' certs fetch --report "$work/absent"
refuses 3 'report' certs fetch --report "$data/appraise/evidence.cbor.session.json"
refuses 3 'evidence' certs fetch --evidence "$real/report.bin"
refuses 3 'larger than its limit' certs fetch --report /dev/zero
run 2 certs
for sub in fetch bundle show; do
    run 0 certs $sub --help
    says Example
done

[ "$failed" = 0 ] || exit 1
echo "$count runs of cvmin certs and verify"
