#!/usr/bin/env bash
# cvmin manifest as its users run it: what new writes, checked by the schema and by a CBOR encoder and a signature check
# that are not ours; every mistake by its place; exit codes; and what boot and verify do with a manifest.
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
export CVMIN_QUIET=1
command=
# shellcheck source=tests/cli/lib.sh
. "$CVMIN_SRC/tests/cli/lib.sh"
has() { grep -qF -- "$1" "$work/out" || complain "no '$1' in: $(cat "$work/out")"; }
cd "$work"

for party in alice bob carol dave; do "$CVMIN" keygen --out "$party.pem" >keys; done
printf 'x,y\n1,2\n' >a.csv
: >b.csv
# the smallest static program: headers alone
python3 - <<'PY'
def elf(segment): return (b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\x3e\0\1\0\0\0" + bytes(8) + b"\x40" + bytes(7) + bytes(12) +
                          b"\x40\0\x38\0\1\0" + bytes(6) + bytes([segment]) + bytes(55))
open("program", "wb").write(elf(1))
open("dynamic", "wb").write(elf(3))
PY
new() { # what all calls of new share
    printf '%s\n' manifest new --id survey-1 --algorithm program@carol --dataset b=b.csv@bob --dataset a.csv=a.csv@alice \
        --party carol=carol.pem.pub.pem --party alice=alice.pem.pub.pem --party bob=bob.pem.pub.pem \
        --consumer bob --consumer alice
}
mapfile -t base < <(new)

# ---- new, digest ----------------------------------------------------------------------------------------------------
run 0 "${base[@]}" --memory 64M --output-limit 1M --argument=-n --argument "" --environment B=2 --environment A=1 --out m.json
digest=$(cut -c1-64 out)
run 0 manifest digest m.json --cbor m.cbor
[ "$(cat out)" = "$digest" ] || complain "digest says another digest than new"
python3 - "$CVMIN_SRC/docs/manifest.schema.json" "$digest" <<'PY' || complain "new: not what schema, files and CBOR say"
import base64, hashlib, json, subprocess, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
m = json.load(open("m.json"))
jsonschema.Draft202012Validator.check_schema(schema)
jsonschema.Draft202012Validator(schema).validate(m)
def head(major, n):
    if n < 24: return bytes([major << 5 | n])
    for size, code in ((1, 24), (2, 25), (4, 26), (8, 27)):
        if n < 1 << 8 * size: return bytes([major << 5 | code]) + n.to_bytes(size, "big")
def enc(v):
    if isinstance(v, int): return head(0, v)
    if isinstance(v, bytes): return head(2, len(v)) + v
    if isinstance(v, str): return head(3, len(v)) + v.encode()
    if isinstance(v, list): return head(4, len(v)) + b"".join(map(enc, v))
    return head(5, len(v)) + b"".join(enc(k) + enc(v[k]) for k in sorted(v))
def point(party):
    der = subprocess.run(["openssl", "pkey", "-in", party + ".pem", "-pubout", "-outform", "DER"], check=True,
                         capture_output=True).stdout
    assert base64.b64encode(der).decode() == next(p["key"] for p in m["parties"] if p["name"] == party)
    return der[-96:]
def item(path): return hashlib.sha256(open(path, "rb").read()).digest()
wanted = {1: 1, 2: "survey-1",
          3: {1: item("program"), 2: 120, 3: 1, 4: ["-n", ""], 5: ["A=1", "B=2"], 6: "carol",
              7: {1: 64 << 20, 2: 60, 3: 300, 4: 1 << 20, 5: 16}},
          4: [{1: "a.csv", 2: item("a.csv"), 3: 8, 4: "alice"}, {1: "b", 2: item("b.csv"), 3: 1, 4: "bob"}],
          5: [{1: p, 2: point(p)} for p in ("alice", "bob", "carol")], 6: ["alice", "bob"]}
assert open("m.cbor", "rb").read() == enc(wanted)
assert hashlib.sha256(enc(wanted)).hexdigest() == sys.argv[2]
assert [p["roles"] for p in m["parties"]] == [["data/a.csv", "result"], ["data/b", "result"], ["algorithm"]]
for spoil in ({"id": ".."}, {"consumers": []}, {"comment": "x"}): # the schema refuses, too
    assert list(jsonschema.Draft202012Validator(schema).iter_errors({**m, **spoil})), spoil
PY
run 0 manifest digest m.cbor --json
has "\"sha256\": \"$digest\""
# without the files, from what the other parties say of them
run 0 manifest new --id survey-1 --memory 64M --output-limit 1M --argument=-n --argument "" --environment A=1 --environment B=2 \
    --algorithm "sha256:$(sha256sum program | cut -c1-64):120@carol" --dataset "b=sha256:$(sha256sum b.csv | cut -c1-64):1@bob" \
    --dataset "a.csv=sha256:$(sha256sum a.csv | cut -c1-64):8@alice" --party carol=carol.pem.pub.pem \
    --party alice=alice.pem.pub.pem --party bob=bob.pem.pub.pem --consumer alice --consumer bob
cp out again.json
cmp -s again.json m.json || complain "the same computation, told by digests, is another manifest"
refuses 4 "is there already" "${base[@]}" --out m.json
run 0 "${base[@]}" --out m2.json --json
[ "$(python3 -c 'import json; print(json.load(open("out"))["sha256"])')" != "$digest" ] || complain "other limits, same digest"

# ---- new: mistakes --------------------------------------------------------------------------------------------------
command=manifest
refuses 2 "wanted FILE@PARTY" "${base[@]:1}" --dataset c=a.csv
refuses 2 "wanted NAME=FILE@PARTY" "${base[@]:1}" --dataset a.csv@alice
refuses 2 "64 hexadecimal digits" "${base[@]:1}" --dataset c=sha256:00:1@alice
refuses 3 "\"eve\" is the name of no party" "${base[@]:1}" --dataset c=a.csv@eve
refuses 3 "is also the key of" "${base[@]:1}" --party eve=bob.pem.pub.pem --consumer eve
refuses 3 "\"dave\" has no role" "${base[@]:1}" --party dave=dave.pem.pub.pem
refuses 3 "public key is not well-formed" "${base[@]:1}" --party dave=dave.pem --consumer dave
refuses 3 "do not fit in memory" "${base[@]:1}" --output-limit 1G
refuses 3 "LD_" "${base[@]:1}" --environment LD_PRELOAD=x
refuses 3 "none.csv" "${base[@]:1}" --dataset c=none.csv@alice
refuses 3 "is no regular file" "${base[@]:1}" --dataset c=/dev/zero@alice
refuses 2 "--json goes with --out" "${base[@]:1}" --json
program_of() { sed "s/^program@carol\$/$1@carol/" < <(new) | tail -n +2; }
for pair in "dynamic:is linked dynamically" "a.csv:is no ELF executable"; do
    mapfile -t spoilt < <(program_of "${pair%%:*}")
    refuses 3 "${pair#*:}" "${spoilt[@]}"
done

# ---- check ----------------------------------------------------------------------------------------------------------
run 0 check m.json
has "sha256     $digest"
has "alice      brings data/a.csv; gets result, log and receipt"
has "carol      brings algorithm; gets no result"
if grep -q '^Note' out; then complain "a remark where none is due: $(cat out)"; fi
run 0 check m.cbor --json
has '"signed_by": null'
run 0 "${base[@]:1}" --consumer carol --out author.json
run 0 check author.json
has "Note: carol brings the program and gets the result"
python3 - <<'PY'
import json
m = json.load(open("m.json"))
m["algorithm"]["party"] = "eve"
m["datasets"][1]["size_limit"] = 0
m["parties"][0]["roles"] = ["algorithm"]
json.dump(m, open("wrong.json", "w"), indent=1)
PY
run 3 check wrong.json
[ ! -s out ] || complain "check: mistakes on standard output"
[ "$(grep -c '^cvmin manifest: error: wrong.json: line [0-9]*: ' err)" = 4 ] || complain "not four mistakes: $(cat err)"
line=$(grep -n '"eve"' wrong.json | cut -d: -f1)
grep -qF "line $line: algorithm.party: \"eve\" is the name of no party" err || complain "not the line of eve: $(cat err)"
run 3 check wrong.json --json
python3 -c 'import json; o = json.load(open("out")); assert not o["ok"] and len(o["problems"]) == 4, o' || complain "check --json"
printf '{\n"schema": 1,,\n' >broken.json
refuses 3 "line 2: is no JSON that can be read" check broken.json
refuses 3 "and 3 more" digest wrong.json
head -c 100 m.cbor >short.cbor
refuses 3 "ends too early" check short.cbor
refuses 3 "none.json" check none.json

# ---- sign -----------------------------------------------------------------------------------------------------------
run 0 sign m.json --key alice.pem --out m.cose
has "m.cose: signed by alice, sha256 $digest"
python3 - <<'PY' || complain "OpenSSL does not verify the signature"
import subprocess
message, payload = open("m.cose", "rb").read(), open("m.cbor", "rb").read()
def bstr(b): return (bytes([0x40 | len(b)]) if len(b) < 24 else b"\x58" + bytes([len(b)]) if len(b) < 256 else b"\x59" + len(b).to_bytes(2, "big")) + b
header = b"\xa2\x01\x38\x22\x03\x78\x23application/vnd.cvmin.manifest+cbor"
assert message[:-96] == b"\xd2\x84" + bstr(header) + b"\xa0" + bstr(payload) + b"\x58\x60"
def integer(n): body = n.to_bytes(n.bit_length() // 8 + 1, "big"); return b"\x02" + bytes([len(body)]) + body
r, s = (int.from_bytes(message[-96:][i:i + 48], "big") for i in (0, 48))
body = integer(r) + integer(s)
open("s.der", "wb").write(b"\x30" + bytes([len(body)]) + body)
open("tbs", "wb").write(b"\x84\x6aSignature1" + bstr(header) + b"\x40" + bstr(payload))
subprocess.run(["openssl", "dgst", "-sha384", "-verify", "alice.pem.pub.pem", "-signature", "s.der", "tbs"], check=True,
               capture_output=True)
PY
run 0 check m.cose --signer alice.pem.pub.pem
has "signed by  alice"
run 0 digest m.cose --signer alice.pem.pub.pem
[ "$(cat out)" = "$digest" ] || complain "digest of the signed one"
refuses 2 "is signed" check m.cose
refuses 2 "is signed" digest m.cose
refuses 2 "is not signed" check m.json --signer alice.pem.pub.pem
refuses 3 "does not match" check m.cose --signer bob.pem.pub.pem
refuses 3 "whose agreement nobody needs" sign m.json --key dave.pem --out d.cose
refuses 4 "is there already" sign m.json --key bob.pem --out m.cose
refuses 3 "3 more" sign wrong.json --key alice.pem --out w.cose
[ ! -e d.cose ] && [ ! -e w.cose ] || complain "a refused sign wrote something"

# ---- what other commands do with it ---------------------------------------------------------------------------------
command=
refuses 2 "excludes" boot --image none.json --manifest m.json --host-data "$digest"
refuses 3 "and 3 more" boot --image none.json --manifest wrong.json
run 0 manifest new --id big --algorithm program@carol --party carol=carol.pem.pub.pem --consumer carol --memory 1G --out big.json
refuses 2 "do not fit in --memory 128" boot --image none.json --manifest big.json
echo "$count runs"
[ $failed = 0 ]
