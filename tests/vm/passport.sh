#!/usr/bin/env bash
# A verifier's result instead of an appraisal: obtained, kept by the agent, relied on by those who send; each kind of passport that must
# be refused, before anything goes; renewal; and verify --verifier. Needs CVMIN, CVMIN_SRC, and an image (CVMIN_IMAGE, else
# out/image.json).
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
cd "$work"
policy=$CVMIN_SRC/policies/emulated.json

for key in verifier stranger alice carol; do "$CVMIN" keygen --out "$key.pem" >/dev/null 2>&1; done
echo 'dataset of alice' >a.csv
gcc -static -x c -o program - <<<'int main(void) { return 0; }'
"$CVMIN" manifest new --id passport-1 --algorithm program@carol --dataset alice=a.csv@alice --party alice=alice.pem.pub.pem \
    --party carol=carol.pem.pub.pem --consumer alice --memory 16M --output-limit 1M --out m.json >/dev/null
sed 's/passport-1/passport-2/' m.json >other.json
"$CVMIN" boot --image "$image" --name one --manifest m.json --memory 160 --json >one.json || exit 1
"$CVMIN" boot --image "$image" --name two --json >two.json || exit 1
ark=$(field one.json emulated_ark)
echo secret >secret

# serve NAME ARGS...: a verifier service on a free port; its address in $url, its process in $served
serve() {
    local name=$1
    shift
    "$CVMIN" verifier serve --listen 127.0.0.1:0 --trust-emulated "$ark" --policy "$policy" --signing-key verifier.pem "$@" 2>"$name.log" &
    served=$!
    for _ in $(seq 600); do
        url=$(python3 -c 'import json, sys
for line in open(sys.argv[1]):
    entry = json.loads(line)
    if entry["event"] == "listening": print("http://" + entry["address"])' "$name.log" 2>/dev/null) && [ -n "$url" ] && return
        kill -0 "$served" 2>/dev/null || break
        sleep 0.1
    done
    complain "the service $name does not listen: $(cat "$name.log")"
    exit 1
}
trusting=(--trust-verifier verifier.pem.pub.pem --policy "$policy" --trust-emulated "$ark")
# failed_checks FILE: names of the checks that failed or were not made, in a verdict as JSON
failed_checks() {
    python3 -c 'import json, sys
print(" ".join(c["check"] for c in json.load(open(sys.argv[1]))["checks"] if c["outcome"] in ("failed", "not_made")))' "$1"
}
# refuses NAME CHECKS ARGS...: exits with 1, these are the only checks that fail, and the agent of `one` got no secret
refuses() {
    local name=$1 checks=$2
    shift 2
    run "$name" "$@" --json
    wants 1 "$name"
    [ "$(failed_checks "$name.out")" = "$checks" ] || complain "$name: failed: $(failed_checks "$name.out"), not $checks"
}
sends=(--secret-name key --file secret --passport)
secrets_of() { "$CVMIN" events "$1" --unverified --json 2>/dev/null | grep -c secret-received || true; }

section "nothing is kept yet"
run none passport show one "${trusting[@]}"
wants 5 none "no passport is stored"
run none send one "${sends[@]}" "${trusting[@]}"
wants 5 none "no passport is stored"
run nobody passport obtain one --verifier http://127.0.0.1:1 "${trusting[@]}" --timeout 20
wants 5 nobody
run plain passport obtain one --verifier http://192.0.2.1:8080 "${trusting[@]}"
wants 2 plain "only https"
run trust passport obtain one --verifier http://127.0.0.1:1 --policy "$policy"
wants 2 trust "--trust-verifier"
run both send one "${sends[@]}" "${trusting[@]}" --image "$image"
wants 2 both "leave references"
run without send one --secret-name key --file secret --trust-verifier verifier.pem.pub.pem --image "$image" --policy "$policy"
wants 2 without "go with --passport"

section "results that are not accepted are not kept"
serve main --image "$image" --own-nonces --result-lifetime 600
main=$url
refuses verifier "result.verifier result.signature" passport obtain one --verifier "$main" --trust-verifier stranger.pem.pub.pem \
    --policy "$policy" --trust-emulated "$ark"
refuses policy result.policy passport obtain one --verifier "$main" --trust-verifier verifier.pem.pub.pem \
    --policy "$CVMIN_SRC/policies/genoa.json" --trust-emulated "$ark"
refuses emulated result.emulated passport obtain one --verifier "$main" --trust-verifier verifier.pem.pub.pem --policy "$policy"
digest=$(printf '0%.0s' $(seq 96))
refuses launch result.measurement passport obtain one --verifier "$main" "${trusting[@]}" --result-measurement "$digest"
run none passport show one "${trusting[@]}"
wants 5 none "no passport is stored"

section "obtained, kept, relied on"
run obtain passport obtain one --verifier "$main" "${trusting[@]}" --json
wants 0 obtain
[ "$(field obtain.out accepted)" = True ] && [ "$(field obtain.out emulated)" = True ] || complain "obtain: $(cat obtain.out)"
run show passport show one "${trusting[@]}"
wants 0 show
grep -q '^ACCEPTED, on a verifier.s word (EMULATED' show.out || complain "show: $(cat show.out)"
run raw passport show one --raw
wants 0 raw
cp raw.out one.jwt
before=$(secrets_of one)
run send send one "${sends[@]}" "${trusting[@]}" --json
wants 0 send
[ "$(field send.out passport)" = True ] && [ "$(field send.out confirmed)" = True ] || complain "send: $(cat send.out)"
[ "$(secrets_of one)" = $((before + 1)) ] || complain "the secret is not in the log"

section "what must be refused, by name, and nothing sent"
before=$(secrets_of one)
refuses other-verifier "result.verifier result.signature" send one "${sends[@]}" --trust-verifier stranger.pem.pub.pem --policy "$policy" \
    --trust-emulated "$ark"
refuses other-policy result.policy send one "${sends[@]}" --trust-verifier verifier.pem.pub.pem --trust-emulated "$ark" \
    --policy "$CVMIN_SRC/policies/milan.json"
refuses no-emulated result.emulated send one "${sends[@]}" --trust-verifier verifier.pem.pub.pem --policy "$policy"
sleep 2.1 # ages are of whole seconds
refuses too-old result.issued send one "${sends[@]}" "${trusting[@]}" --max-age 1
run put passport put two --file one.jwt "${trusting[@]}"
wants 1 put "the agent was given nothing"
run put passport put two --file one.jwt --unverified
wants 0 put
refuses other-key result.key send two "${sends[@]}" "${trusting[@]}"
for byte in x A; do # another signature
    sed "s/.\$/$byte/" one.jwt >bad.jwt
    cmp -s one.jwt bad.jwt || break
done
run put passport put one --file bad.jwt --unverified
wants 0 put
refuses signature result.signature send one "${sends[@]}" "${trusting[@]}"
echo "not a result" >bad.jwt
run put passport put one --file bad.jwt --unverified
wants 0 put
run format send one "${sends[@]}" "${trusting[@]}" --json
wants 1 format
grep -q '"check": "result.format"' format.out || complain "format: $(cat format.out)"

# result NAME SESSION-QUERY: what the service at $url says of evidence that somebody else took of `one`
result_of() {
    python3 - "$CVMIN" "$url" "$2" "$work/$1.evidence" >"$1.jwt" <<'PYTHON'
import base64, json, subprocess, sys, urllib.request
cvmin, url, query, evidence = sys.argv[1:]
def post(path, body, kind):
    request = urllib.request.Request(path, body, {"Content-Type": kind}, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer), answer.headers.get("Location")
session, location = post(url + "/challenge-response/v1/newSession?" + query, b"", "text/plain")
nonce = base64.urlsafe_b64decode(session["nonce"]).hex()
subprocess.run([cvmin, "attest", "one", "--nonce", nonce, "--out", evidence], check=True, stdout=subprocess.DEVNULL)
answer, _ = post(url + "/challenge-response/v1/" + location, open(evidence, "rb").read(), "application/cmw+cbor")
print(answer["result"])
PYTHON
}
# refused_passport NAME CHECKS: one's agent keeps NAME.jwt, and whoever relies on it does not
refused_passport() {
    run put passport put one --file "$1.jwt" --unverified
    wants 0 put
    refuses "$1" "$2" send one "${sends[@]}" "${trusting[@]}"
}
serve strict --signer stranger.pem.pub.pem --minimum-svn 0 # which signed nothing here
result_of downgraded nonceSize=32
refused_passport downgraded "result.status result.vector"
refuses obtained "result.status result.vector" passport obtain one --verifier "$url" "${trusting[@]}"
kill "$served"
serve old --image "$image" --result-lifetime 10
result_of chosen "nonce=$(python3 -c 'print("A" * 43)')"
refused_passport chosen result.nonce
result_of expired nonceSize=32
run put passport put one --file expired.jwt "${trusting[@]}"
wants 0 put
sleep 11
refuses expired result.expiry send one "${sends[@]}" "${trusting[@]}"
kill "$served"
[ "$(secrets_of one)" = "$before" ] || complain "something was sent: $("$CVMIN" events one --unverified)"

section "parties of a computation"
run obtain passport obtain one --verifier "$main" "${trusting[@]}"
wants 0 obtain
party=(--party-key alice.pem --passport "${trusting[@]}")
refuses early result.manifest status one --manifest m.json "${party[@]}" # nobody has brought it yet
run bring status one --manifest m.json --party-key alice.pem --image "$image" --policy "$policy" --trust-emulated "$ark"
wants 0 bring
run obtain passport obtain one --verifier "$main" "${trusting[@]}"
wants 0 obtain
run upload upload one --manifest m.json "${party[@]}" --dataset alice=a.csv
wants 0 upload
run status status one --manifest m.json "${party[@]}" --json
wants 0 status
[ "$(python3 -c 'import json; print(json.load(open("status.out"))["items"][1]["complete"])')" = True ] ||
    complain "the dataset is not there: $(cat status.out)"
refuses other result.manifest status one --manifest other.json "${party[@]}"

section "verify --verifier"
run remote verify --vm one --verifier "$main" "${trusting[@]}" --json
wants 0 remote
[ "$(field remote.out accepted)" = True ] || complain "remote: $(cat remote.out)"
for check in result.key result.nonce binding.exporter binding.key binding.report_data; do
    python3 -c 'import json, sys
assert any(c["check"] == sys.argv[1] and c["outcome"] == "passed" for c in json.load(open("remote.out"))["checks"])' "$check" ||
        complain "remote: $check is not there"
done
run remote verify --vm one --verifier "$main" --trust-verifier stranger.pem.pub.pem --policy "$policy" --trust-emulated "$ark"
wants 1 remote
grep -q '^FAILED *result.verifier' remote.out || complain "remote: $(cat remote.out)"
run stored verify one.evidence --verifier "$main" "${trusting[@]}"
wants 2 stored "goes with --vm or --connect"
serve foreign --signer stranger.pem.pub.pem --minimum-svn 0
refuses remote "result.status result.vector" verify --vm one --verifier "$url" "${trusting[@]}"
kill "$served"

section "renewal"
serve short --image "$image" --result-lifetime 10
short=$url port=${url##*:}
"$CVMIN" passport obtain one --verifier "$short" "${trusting[@]}" --renew --json >renew.out 2>renew.err &
renewing=$!
lines() { # N: waits for this many results
    for _ in $(seq 600); do
        [ "$(wc -l <renew.out)" -ge "$1" ] && return
        sleep 0.1
    done
    complain "renewal: $(wc -l <renew.out) results instead of $1: $(cat renew.err)"
}
lines 2
kill "$served" # the verifier goes for a while
wait "$served" || true
sleep 9
kill -0 "$renewing" || complain "renewal ended with its verifier: $(cat renew.err)"
"$CVMIN" verifier serve --listen "127.0.0.1:$port" --trust-emulated "$ark" --policy "$policy" --signing-key verifier.pem --image "$image" \
    --result-lifetime 10 2>again.log &
have=$(wc -l <renew.out)
lines $((have + 1))
run show passport show one "${trusting[@]}"
wants 0 show
kill -TERM "$renewing"
code=0
wait "$renewing" || code=$?
[ "$code" = 143 ] || complain "renewal: exit $code after SIGTERM"
[ "$(python3 -c 'import json
print(len({json.loads(line)["result"]["issued"] for line in open("renew.out")}))')" -ge 3 ] || complain "renewal: $(cat renew.out)"

section "a verifier that does not answer"
python3 -c 'import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); print(s.getsockname()[1], flush=True); time.sleep(60)' >deaf &
for _ in $(seq 600); do [ -s deaf ] && break || sleep 0.1; done
"$CVMIN" passport obtain one --verifier "http://127.0.0.1:$(cat deaf)" "${trusting[@]}" >/dev/null 2>&1 &
waiting=$!
sleep 2
kill -TERM "$waiting"
code=0
wait "$waiting" || code=$?
[ "$code" = 143 ] || complain "SIGTERM: exit $code"

"$CVMIN" stop --all >/dev/null
all_held
