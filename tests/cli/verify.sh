#!/usr/bin/env bash
# cvmin verify as its users run it, over stored evidence: both outputs against their schemas, and every exit code.
# Needs CVMIN (the command). The evidence is tests/data/appraise/evidence.cbor, under a test root.
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
data=$CVMIN_SRC/tests/data/appraise
policies=$CVMIN_SRC/policies
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
count=0

complain() {
    echo "verify.sh: $*" >&2
    failed=$((failed + 1))
}

# run WANTED_CODE ARGS...: streams in $work/out and $work/err
run() {
    local wanted=$1 code=0
    shift
    "$CVMIN" verify "$@" >"$work/out" 2>"$work/err" || code=$?
    count=$((count + 1))
    [ "$code" = "$wanted" ] || complain "exit $code instead of $wanted: $* ($(cat "$work/err"))"
}
# verdict WANTED_CODE WORD ARGS...: first and last line begin with WORD, nothing on standard error
verdict() {
    local wanted=$1 word=$2
    shift 2
    run "$wanted" "$@"
    [[ $(head -n 1 "$work/out") == "$word"* ]] || complain "first line is not $word: $*: $(head -n 1 "$work/out")"
    [[ $(tail -n 1 "$work/out") == "$word"* ]] || complain "last line is not $word: $*"
    [ ! -s "$work/err" ] || complain "standard error is not empty: $*"
}
# refuses WANTED_CODE TEXT ARGS...: one error line with TEXT, nothing on standard output
refuses() {
    local wanted=$1 text=$2
    shift 2
    run "$wanted" "$@"
    [ ! -s "$work/out" ] || complain "standard output is not empty: $*"
    [ "$(grep -c '^cvmin verify: error: ' "$work/err")" = 1 ] || complain "not one error line: $*: $(cat "$work/err")"
    grep -qF -- "$text" "$work/err" || complain "no '$text' in '$(cat "$work/err")': $*"
}
json_says() { # PYTHON EXPRESSION over v, the verdict
    python3 -c 'import json, sys
v = json.load(open(sys.argv[1]))
by = {c["check"]: c for c in v["checks"]}
sys.exit(0 if eval(sys.argv[2]) else 1)' "$work/out" "$1" || complain "not so: $1"
}

good=$(printf 'aa%.0s' {1..48})
other=$(printf 'bb%.0s' {1..48})
evidence=$data/evidence.cbor
session=$data/evidence.cbor.session.json
base=(--policy "$policies/emulated.json" --time 2026-06-01T12:00:00Z)
root=(--trust-emulated "$data/ark.der")
nonce=$(printf '5a%.0s' {1..32})
exporter=$(printf '33%.0s' {1..32})
key=$(printf '11%.0s' {1..48})$(printf '22%.0s' {1..48})

# ---- verdicts ---------------------------------------------------------------------------------------------------
verdict 0 'ACCEPTED (EMULATED' "$evidence" --session "$session" "${base[@]}" "${root[@]}" --measurement "$good"
grep -q "EMULATED ARK" "$work/out" || complain "no row names the emulated root"
grep -q "$good" "$work/out" || complain "the measurement is not shown in full"
grep -q '^passed *binding.key .*\[caller\]' "$work/out" || complain "the binding of stored evidence does not rest on the caller"
if grep -q 'this connection' "$work/out"; then complain "stored evidence speaks of this connection"; fi
verdict 0 'ACCEPTED (EMULATED' "$evidence" --session "$session" "${base[@]}" "${root[@]}" --measurement "$other" --measurement "$good"
verdict 0 'ACCEPTED (EMULATED' "$evidence" "${base[@]}" "${root[@]}" --measurement "$good" --nonce "$nonce" --exporter "$exporter" --key "$key"
verdict 0 'ACCEPTED (EMULATED' "$evidence" "${base[@]}" "${root[@]}" --measurement "$good" --nonce "$nonce" --exporter skip --key skip
"$CVMIN" verify - --session "$session" "${base[@]}" "${root[@]}" --measurement "$good" <"$evidence" >/dev/null || complain "standard input"

# no emulated root, another one, another digest, another nonce, exporter, key, policy, time
verdict 1 REFUSED "$evidence" --session "$session" "${base[@]}" --measurement "$good"
grep -q "^FAILED *snp.chain" "$work/out" || complain "snp.chain did not fail"
verdict 1 REFUSED "$evidence" --session "$session" "${base[@]}" --trust-emulated "$data/ark-same-name.der" --measurement "$good"
verdict 1 'REFUSED (EMULATED' "$evidence" --session "$session" "${base[@]}" "${root[@]}" --measurement "$other"
for digest in "$good" "$other"; do
    grep -q "$digest" "$work/out" || complain "found and wanted are not both there in full"
done
verdict 1 'REFUSED (EMULATED' "$evidence" --session "$session" "${base[@]}" "${root[@]}" --measurement "$good" --nonce "${exporter}"
verdict 1 'REFUSED (EMULATED' "$evidence" --session "$session" "${base[@]}" "${root[@]}" --measurement "$good" --exporter "${nonce}"
grep -q "^FAILED *binding.exporter" "$work/out" || complain "binding.exporter did not fail"
verdict 1 'REFUSED (EMULATED' "$evidence" --session "$session" --policy "$policies/turin.json" --time 2026-06-01T12:00:00Z "${root[@]}" --measurement "$good"
verdict 1 REFUSED "$evidence" --session "$session" --policy "$policies/emulated.json" --time 2046-01-01T00:00:00Z "${root[@]}" --measurement "$good"
: >"$work/empty"
verdict 1 REFUSED "$work/empty" --session "$session" "${base[@]}" "${root[@]}" --measurement "$good"
head -c 1000 /dev/urandom >"$work/noise"
verdict 1 REFUSED "$work/noise" --session "$session" "${base[@]}" "${root[@]}" --measurement "$good"

# ---- JSON -------------------------------------------------------------------------------------------------------
validate() { # SCHEMA FILE: exit 0 when it holds
    python3 -c 'import json, sys, jsonschema
jsonschema.Draft202012Validator(json.load(open(sys.argv[1]))).validate(json.load(open(sys.argv[2])))' "$1" "$2" 2>/dev/null
}
schemas=$CVMIN_SRC/docs
run 0 "$evidence" --session "$session" "${base[@]}" "${root[@]}" --measurement "$good" --json
validate "$schemas/verdict.schema.json" "$work/out" || complain "the accepted verdict does not follow its schema"
json_says 'v["schema"] == 1 and v["accepted"] and v["emulated"] and v["time"] == "2026-06-01T12:00:00Z"'
json_says 'by["snp.measurement"]["outcome"] == "passed" and len(by["snp.measurement"]["found"]) == 96'
json_says 'not any("..." in c["found"] or "..." in c["wanted"] for c in v["checks"])'
run 1 "$work/noise" --session "$session" "${base[@]}" "${root[@]}" --measurement "$good" --json
validate "$schemas/verdict.schema.json" "$work/out" || complain "the refused verdict does not follow its schema"
json_says 'not v["accepted"] and v["report"] is None and by["snp.chain"]["outcome"] == "not_made"'
for file in verdict-accepted verdict-refused; do
    validate "$schemas/verdict.schema.json" "$data/$file.json" || complain "$file.json does not follow the schema"
done
for policy in "$policies"/*.json; do
    [ "$policy" != "$policies/advisories.json" ] || continue # data that policies name, and none itself
    validate "$schemas/policy.schema.json" "$policy" || complain "$policy does not follow the schema"
    python3 -c 'import json, sys
p = json.load(open(sys.argv[1])); del p["guest_policy"]["debug"]; json.dump(p, open(sys.argv[2], "w"))' "$policy" "$work/short.json"
    if validate "$schemas/policy.schema.json" "$work/short.json"; then complain "the schema lets a missing member pass"; fi
done
# demands that prove nothing: the schema and the command agree, and the command names the member
while read -r member change; do
    python3 -c 'import json, sys
p = json.load(open(sys.argv[1])); p.update(json.loads(sys.argv[2])); json.dump(p, open(sys.argv[3], "w"))' \
        "$policies/emulated.json" "$change" "$work/idle.json"
    if validate "$schemas/policy.schema.json" "$work/idle.json"; then complain "the schema lets $change pass"; fi
    refuses 3 "idle.json: $member: " "$evidence" --session "$session" --policy "$work/idle.json" --measurement "$good"
done <<'END'
family_id {"family_id": "000102030405060708090a0b0c0d0e0f"}
image_id {"image_id": "000102030405060708090a0b0c0d0e0f"}
guest_svn_minimum {"guest_svn_minimum": 0}
chip_id {"signing_key": ["vcek", "vlek"], "csp_id": ["CN=cloud.example"], "chip_id": ["0102030405060708"]}
END

# ---- a vTPM: evidence of a real swtpm ------------------------------------------------------------------------------------
swtpm=$data/swtpm
python3 -c 'import json, sys
p = json.load(open(sys.argv[1])); p["boot_events"] = "skip"; p["vtpm"]["ek_certificate"] = "required"
json.dump(p, open(sys.argv[2], "w"))' "$policies/emulated-vtpm.json" "$work/vtpm.json"
measured=7489e671fec513a33de84c723454b8d207602adc57fa84405a631722955fadc2268825e64af099de78017c9608914489
vtpm=(--session "$swtpm/evidence.cbor.session.json" --policy "$work/vtpm.json" --trust-emulated "$swtpm/ark.der"
    --measurement "$measured" --time 2026-11-24T14:00:00Z)
verdict 0 'ACCEPTED (EMULATED' "$swtpm/evidence.cbor" "${vtpm[@]}" --ek-root "$swtpm/ek-root.pem"
grep -q '^Anchored in: host-run vTPM\. ' "$work/out" || complain "the table does not say what a host-run vTPM proves"
verdict 1 'REFUSED (EMULATED' "$swtpm/evidence.cbor" "${vtpm[@]}"
grep -q '^FAILED *tpm.ek ' "$work/out" || complain "an EK whose authority nobody named was taken"
# PCR 10 of the quote is about one entry; one byte of the list
sed 's/boot_aggregate/boot_aggregatf/' "$swtpm/evidence.cbor" >"$work/ima.cbor"
verdict 1 'REFUSED (EMULATED' "$work/ima.cbor" "${vtpm[@]}" --ek-root "$swtpm/ek-root.pem"
grep -q '^FAILED *ima.replay ' "$work/out" || complain "a changed measurement list was taken"
# a machine without a vTPM under a policy that demands one
verdict 1 'REFUSED (EMULATED' "$evidence" --session "$session" --policy "$policies/emulated-vtpm.json" "${root[@]}" \
    --measurement "$good" --time 2026-06-01T12:00:00Z
grep -q '^FAILED *tpm.quote *found no vTPM' "$work/out" || complain "a machine without a vTPM was taken"
run 0 "$swtpm/evidence.cbor" "${vtpm[@]}" --ek-root "$swtpm/ek-root.pem" --json
validate "$schemas/verdict.schema.json" "$work/out" || complain "a verdict about a vTPM does not follow its schema"
json_says 'v["vtpm"]["anchor"] == "host-run vTPM" and "no trust" in v["vtpm"]["note"]'
for change in '{"vtpm": "skip"}' '{"event_log": "skip", "boot_events": "image"}' '{"vtpm": {"bank": "sha1"}}' '{"pcrs": {"24": "00"}}'; do
    python3 -c 'import json, sys
p = json.load(open(sys.argv[1])); p.update(json.loads(sys.argv[2])); json.dump(p, open(sys.argv[3], "w"))' \
        "$policies/emulated-vtpm.json" "$change" "$work/idle.json"
    if validate "$schemas/policy.schema.json" "$work/idle.json"; then complain "the schema lets $change pass"; fi
    refuses 3 'idle.json: ' "$evidence" --session "$session" --policy "$work/idle.json" --measurement "$good"
done

# ---- a policy that skips the launch digest, or lists it --------------------------------------------------------------
for value in '"skip"' "[\"$good\"]" "[\"$other\"]"; do
    python3 -c 'import json, sys
p = json.load(open(sys.argv[1])); p["measurement"] = json.loads(sys.argv[2]); json.dump(p, open(sys.argv[3], "w"))' \
        "$policies/emulated.json" "$value" "$work/digest.json"
    validate "$schemas/policy.schema.json" "$work/digest.json" || complain "measurement $value does not follow the schema"
    digest=("$evidence" --session "$session" --policy "$work/digest.json" --time 2026-06-01T12:00:00Z "${root[@]}")
    case $value in
    *skip*) # evidence opens a connection: unknown software is never accepted
        refuses 2 'one of: --image image.json, --measurement' "${digest[@]}"
        verdict 0 'ACCEPTED (EMULATED' "${digest[@]}" --measurement "$good"
        verdict 1 'REFUSED (EMULATED' "${digest[@]}" --measurement "$other"
        ;;
    *"$good"*)
        verdict 0 'ACCEPTED (EMULATED' "${digest[@]}"
        verdict 1 'REFUSED (EMULATED' "${digest[@]}" --measurement "$other"
        ;;
    *) verdict 1 'REFUSED (EMULATED' "${digest[@]}" --measurement "$good" ;;
    esac
done

# ---- usage (2) --------------------------------------------------------------------------------------------------
refuses 2 'one of: a file of evidence, --vm NAME, --connect HOST:PORT, --report FILE' "${base[@]}" --measurement "$good"
refuses 2 'one of: a file of evidence, --vm NAME, --connect HOST:PORT, --report FILE' "$evidence" --vm x "${base[@]}" --measurement "$good"
refuses 2 'leave --session' --vm x --nonce "$nonce" "${base[@]}" --measurement "$good"
refuses 2 'one of: --image image.json, --measurement' "$evidence" --session "$session" "${base[@]}"
refuses 2 'stored evidence needs' "$evidence" "${base[@]}" --measurement "$good" --nonce "$nonce" --exporter skip
refuses 2 '--vcpus and --vcpu-type' "$evidence" "${base[@]}" --image i.json --nonce "$nonce" --exporter skip --key skip
refuses 2 '--nonce: wanted' "$evidence" "${base[@]}" --measurement "$good" --nonce 00 --exporter skip --key skip
refuses 2 '--exporter: wanted' "$evidence" "${base[@]}" --measurement "$good" --nonce "$nonce" --exporter 00 --key skip
refuses 2 '--key: wanted' "$evidence" "${base[@]}" --measurement "$good" --nonce "$nonce" --exporter skip --key 00
refuses 2 '--measurement: wanted' "$evidence" --session "$session" "${base[@]}" --measurement "${good}00"
refuses 2 '--time: wanted' "$evidence" --session "$session" --policy "$policies/emulated.json" --measurement "$good" --time yesterday
refuses 2 'no CPU model EPYC-v9; did you mean' "$evidence" --session "$session" "${base[@]}" --image i.json --vcpu-type EPYC-v9 --vcpus 1
run 2 "$evidence" --session "$session" --measurement "$good"
grep -q -- '--policy is required' "$work/err" || complain "a missing policy is not named"
run 0 --help
grep -q 'Exit codes: 0 accepted, 1 refused' "$work/out" || complain "no exit codes in the help"
grep -q "must be the verifier's own" "$work/out" || complain "the help does not say whose the session file must be"

# ---- bad input (3) ----------------------------------------------------------------------------------------------
refuses 3 "$work/none" "$work/none" --session "$session" "${base[@]}" --measurement "$good"
refuses 3 session.nonce "$evidence" --session <(echo '{"schema":1}') "${base[@]}" --measurement "$good"
refuses 3 session.schema "$evidence" --session <(echo '{"schema":2}') "${base[@]}" --measurement "$good"
refuses 3 'guest_policy.debug: policy is missing' "$evidence" --session "$session" --policy "$work/short.json" --measurement "$good"
refuses 3 emulated_ark "$evidence" --session "$session" "${base[@]}" --trust-emulated "$data/vek-key.der" --measurement "$good"
refuses 3 'is larger than its limit' "$evidence" --session "$session" "${base[@]}" --trust-emulated "$CVMIN" --measurement "$good"
head -c 600000 /dev/zero >"$work/large"
refuses 3 'is larger than its limit' "$work/large" --session "$session" "${base[@]}" --measurement "$good"
refuses 3 i.json "$evidence" --session "$session" "${base[@]}" --image "$work/i.json"
refuses 3 no-such-vm --vm no-such-vm "${base[@]}" --measurement "$good"

[ "$failed" = 0 ] || exit 1
echo "$count runs of cvmin verify"
