#!/usr/bin/env bash
# cvmin keygen and sign as their users run them: files and modes, what OpenSSL says of keys and signatures, every exit code.
# Needs CVMIN (the command). Firmware is the toolchain root's.
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
export CVMIN_QUIET=1
command=
# shellcheck source=tests/cli/lib.sh
. "$CVMIN_SRC/tests/cli/lib.sh"
field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/out" "$1"; }

# ---- keygen ---------------------------------------------------------------------------------------------------------
(umask 0 && "$CVMIN" keygen --out "$work/id.pem" >/dev/null) || complain "keygen failed"
[ "$(stat -c %a "$work/id.pem")/$(stat -c %a "$work/id.pem.pub.pem")" = 600/644 ] || complain "modes: $(ls -l "$work")"
run 0 keygen --out "$work/author.pem" --json
author=$(field snp_key_digest)
openssl pkey -in "$work/id.pem" -check -noout >/dev/null 2>&1 || complain "OpenSSL does not like the key"
openssl pkey -in "$work/id.pem" -noout -text | grep -q 'ASN1 OID: secp384r1' || complain "not a P-384 key"
openssl pkey -in "$work/id.pem" -pubout | cmp -s - "$work/id.pem.pub.pem" || complain "the public half is another key's"
run 0 keygen --show "$work/id.pem.pub.pem" --json
id=$(field snp_key_digest)
[ "$(field spki_sha256)" = "$(openssl pkey -in "$work/id.pem" -pubout -outform DER | sha256sum | cut -c1-64)" ] ||
    complain "spki_sha256 is not OpenSSL's"
run 0 keygen --show "$work/id.pem" --json
[ "$(field snp_key_digest)" = "$id" ] || complain "the two halves have other digests"
[ "$id" != "$author" ] || complain "two keys are the same"
# the digest over the 1028 bytes, computed from OpenSSL's words
[ "$(python3 - "$work/id.pem.pub.pem" <<'EOF'
import hashlib, subprocess, sys
der = subprocess.run(["openssl", "pkey", "-pubin", "-in", sys.argv[1], "-outform", "DER"], check=True, capture_output=True).stdout
x, y = der[-96:-48], der[-48:]
pad = lambda n: n[::-1] + bytes(24)
print(hashlib.sha384(((2).to_bytes(4, "little") + pad(x) + pad(y)).ljust(1028, b"\0")).hexdigest())
EOF
)" = "$id" ] || complain "snp_key_digest is not SHA-384 of the SNP form"

cp "$work/id.pem" "$work/before"
refuses 4 "is there already" keygen --out "$work/id.pem"
cmp -s "$work/id.pem" "$work/before" || complain "a refused keygen changed the key"
rm "$work/id.pem.pub.pem"
refuses 4 "is there already" keygen --out "$work/id.pem"
run 0 keygen --out "$work/id.pem" --force
cmp -s "$work/id.pem" "$work/before" && complain "--force kept the old key"
[ "$(stat -c %a "$work/id.pem")" = 600 ] || complain "--force: mode $(stat -c %a "$work/id.pem")"
run 0 keygen --show "$work/id.pem" --json
id=$(field snp_key_digest)
touch "$work/only.pub.pem"
refuses 4 "only.pub.pem: is there already" keygen --out "$work/only"
[ ! -e "$work/only" ] || complain "half of a pair was left"
ln -s "$work/target" "$work/link"
refuses 4 "is not a file" keygen --out "$work/link" --force
[ ! -e "$work/target" ] || complain "a link was followed"
refuses 4 "is there already" keygen --out "$work"
refuses 4 "is not a file" keygen --out "$work" --force
refuses 3 "none/key" keygen --out "$work/none/key"
refuses 2 "standard output" keygen --out -
refuses 2 "wanted either" keygen
refuses 2 "--show" keygen --show "$work/id.pem" --out "$work/x"
refuses 3 "public key is not well-formed" keygen --show /dev/null
refuses 3 "larger than its limit" keygen --show /dev/zero
refuses 3 "does not support" keygen --show "$work"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/p256" 2>/dev/null
refuses 3 "not ECDSA on P-384" keygen --show "$work/p256"
if [ -w /dev/full ]; then
    code=0
    "$CVMIN" keygen --show "$work/id.pem" >/dev/full 2>"$work/err" || code=$?
    [ $code = 4 ] || complain "a full standard output: exit $code"
fi

# ---- sign -----------------------------------------------------------------------------------------------------------
digest=$(python3 -c 'import base64, json, sys
print(base64.b64decode(json.load(open(sys.argv[1]))["id_block"]["measurement_b64"]).hex())' "$CVMIN_SRC/tests/data/sev-snp-measure/cases.json")
: >"$work/empty"
run 0 sign --digest "$digest" --id-key "$work/id.pem" --svn 0 --policy 0x30000 --out-dir "$work/case"
# sev-snp-measure's bytes
python3 - "$CVMIN_SRC/tests/data/sev-snp-measure/cases.json" "$work/case/id-block.base64" <<'EOF' || complain "not the ID block of sev-snp-measure"
import json, sys
sys.exit(json.load(open(sys.argv[1]))["id_block"]["expect_id_block_b64"] != open(sys.argv[2]).read().strip())
EOF

run 0 sign --digest "$digest" --id-key "$work/id.pem" --author-key "$work/author.pem" --svn 7 --policy 0x30000 \
    --family-id web --image-id 0x000102030405060708090a0b0c0d0eff --out-dir "$work/new/dir" --json
[ "$(field id_key_digest)/$(field author_key_digest)" = "$id/$author" ] || complain "key digests: $(cat "$work/out")"
python3 - "$work" <<'EOF' || complain "the signatures of sign are not OpenSSL's to verify"
import base64, hashlib, json, subprocess, sys
work = sys.argv[1]
block = base64.b64decode(open(work + "/new/dir/id-block.base64").read())
auth = base64.b64decode(open(work + "/new/dir/id-auth.base64").read())
assert len(block) == 96 and len(auth) == 4096
assert block[48:64] == b"web".ljust(16, b"\0") and block[64:80] == bytes(range(15)) + b"\xff"
assert block[80:] == bytes([1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0])
def der(signature): # r and s, little-endian, as OpenSSL wants them
    def integer(le):
        n = int.from_bytes(le, "little")
        body = n.to_bytes(n.bit_length() // 8 + 1, "big")
        return b"\x02" + bytes([len(body)]) + body
    body = integer(signature[:72]) + integer(signature[72:144])
    return b"\x30" + bytes([len(body)]) + body
def verify(message, signature, key):
    open(work + "/m", "wb").write(message)
    open(work + "/s", "wb").write(der(signature))
    subprocess.run(["openssl", "dgst", "-sha384", "-verify", key, "-signature", work + "/s", work + "/m"],
                   check=True, capture_output=True)
verify(block, auth[0x40:0x240], work + "/id.pem.pub.pem")
verify(auth[0x240:0x240 + 1028], auth[0x680:0x880], work + "/author.pem.pub.pem")
printed = json.load(open(work + "/out"))
assert printed["qemu"] == "id-block=%s,id-auth=%s,author-key-enabled=on" % tuple(
    base64.b64encode(b).decode() for b in (block, auth)), printed["qemu"]
assert json.load(open(work + "/new/dir/id-blocks.json"))["blocks"][0]["id_block"] == base64.b64encode(block).decode()
assert hashlib.sha384(auth[0x240:0x240 + 1028]).hexdigest() == printed["id_key_digest"]
EOF

# an image: a block for each configuration, and its digest is what measure predicts
python3 - "$work" /usr/share/ovmf/OVMF.amdsev.fd "$CVMIN_SRC/tests/data/sev-snp-measure/inputs" <<'EOF'
import hashlib, json, shutil, sys
work, firmware, inputs = sys.argv[1:]
line = "console=ttyS0"
open(work + "/cmdline", "w").write(line)
def file(name, source=None):
    if source:
        shutil.copyfile(source, work + "/" + name)
    data = open(work + "/" + name, "rb").read()
    return {"path": name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
files = {"kernel": file("bzImage", inputs + "/kernel.bin"), "initrd": file("initrd", inputs + "/initrd.bin"),
         "cmdline": file("cmdline"), "firmware": file("OVMF.fd", firmware)}
hashes = {"kernel": files["kernel"]["sha256"], "initrd": files["initrd"]["sha256"],
          "cmdline": hashlib.sha256(line.encode() + b"\0").hexdigest()}
for debug in (False, True):
    json.dump({"schema": 1, "kind": "cvmin-image", "version": "0.1.0", "debug": debug, "files": files, "command_line": line,
               "hashes": hashes, "guest_policy": "0x30000", "guest_features": "0x1", "inputs": []},
              open(work + ("/debug.json" if debug else "/image.json"), "w"))
EOF
image=(sign --image "$work/image.json" --id-key "$work/id.pem" --svn 1 --out-dir "$work/image")
run 0 "${image[@]}"
[ -e "$work/image/id-block.base64" ] || complain "no id-block.base64 of one configuration"
run 0 "${image[@]}" --vcpus 1,4 --vcpu-type EPYC-Milan,EPYC-Genoa
[ ! -e "$work/image/id-block.base64" ] || complain "an earlier call's id-block.base64 is left beside other blocks"
for vcpus in 1 4; do
    for type in EPYC-Milan EPYC-Genoa; do
        wanted=$("$CVMIN" measure --image "$work/image.json" --vcpus $vcpus --vcpu-type $type)
        grep -qxF "$wanted  $vcpus x $type" "$work/out" || complain "no line for $vcpus x $type: $(cat "$work/out")"
    done
done

one=(sign --digest "$digest" --id-key "$work/id.pem" --svn 1 --policy 0x30000 --out-dir "$work/never")
refuses 2 "DEBUG image" sign --image "$work/debug.json" --id-key "$work/id.pem" --svn 1 --out-dir "$work/never"
run 0 sign --image "$work/debug.json" --id-key "$work/id.pem" --svn 1 --out-dir "$work/allowed" --allow-debug
refuses 2 "allows debugging" sign --digest "$digest" --id-key "$work/id.pem" --svn 1 --policy 0xb0000 --out-dir "$work/never"
refuses 2 "bit 17" sign --digest "$digest" --id-key "$work/id.pem" --svn 1 --policy 0x10000 --out-dir "$work/never"
refuses 2 "--policy" sign --digest "$digest" --id-key "$work/id.pem" --svn 1 --policy 3zz --out-dir "$work/never"
refuses 2 "needs --policy" sign --digest "$digest" --id-key "$work/id.pem" --svn 1 --out-dir "$work/never"
refuses 2 "wanted either" sign --id-key "$work/id.pem" --svn 1
refuses 2 "--svn" sign --digest "$digest" --id-key "$work/id.pem" --policy 0x30000
refuses 2 "--svn" "${one[@]}" --svn 4294967296
refuses 2 "48 bytes" sign --digest 00 --id-key "$work/id.pem" --svn 1 --policy 0x30000
refuses 2 "zeros" sign --digest "$(printf '0%.0s' {1..96})" --id-key "$work/id.pem" --svn 1 --policy 0x30000
refuses 2 "--family-id: wanted 1 to 16" "${one[@]}" --family-id 00112233445566778899aabbccddeeff
refuses 2 "--image-id: wanted 1 to 16" "${one[@]}" --image-id 0x00
refuses 2 "did you mean EPYC-Genoa" "${image[@]}" --vcpu-type EPYC-Genova
refuses 2 "--vcpus" "${image[@]}" --vcpus 0
refuses 2 "at most 128" "${image[@]}" --vcpus "$(seq -s, 1 129)"
refuses 3 "$work/none" sign --digest "$digest" --id-key "$work/none" --svn 1 --policy 0x30000 --out-dir "$work/never"
refuses 3 "private key is not well-formed" sign --digest "$digest" --id-key "$work/id.pem.pub.pem" --svn 1 --policy 0x30000 --out-dir "$work/never"
refuses 3 "$work/empty" "${one[@]}" --author-key "$work/empty"
refuses 3 "$work/image-none" sign --image "$work/image-none" --id-key "$work/id.pem" --svn 1 --out-dir "$work/never"
[ ! -e "$work/never" ] || complain "a refused call left files"
refuses 4 "$work/empty" sign --digest "$digest" --id-key "$work/id.pem" --svn 1 --policy 0x30000 --out-dir "$work/empty"

# ---- what verify and send say of a signer before anything is asked of anybody -----------------------------------------
appraise=(verify "$CVMIN_SRC/tests/data/appraise/evidence.cbor" --session "$CVMIN_SRC/tests/data/appraise/evidence.cbor.session.json"
    --trust-emulated "$CVMIN_SRC/tests/data/appraise/ark.der" --time 2026-06-01T12:00:00Z --policy "$CVMIN_SRC/policies/emulated.json")
refuses 2 "--minimum-svn" "${appraise[@]}" --signer "$work/id.pem.pub.pem"
refuses 2 "goes with --signer" "${appraise[@]}" --minimum-svn 1
refuses 2 "no member \"signer\"" "${appraise[@]}" --signer policy
refuses 2 "leave the other options out" "${appraise[@]}" --signer policy --minimum-svn 1
refuses 2 "zeros stand" "${appraise[@]}" --signer "$(printf '0%.0s' {1..96})" --minimum-svn 0
refuses 2 "wanted one of" "${appraise[@]}" --signer "$work/id.pem.pub.pem" --minimum-svn 1 --measurement "$digest"
refuses 3 "public key is not well-formed" "${appraise[@]}" --signer "$work/id.pem" --minimum-svn 1
refuses 3 "$work/none" "${appraise[@]}" --author "$work/none" --minimum-svn 1
# the stored report names key 1c..., author ac..., SVN 7
verdict() { # WANTED_CODE FAILED_CHECKS ARGS...
    local wanted=$1 checks=$2 found
    shift 2
    run "$wanted" "${appraise[@]}" --json "$@"
    found=$(python3 -c 'import json, sys
print(" ".join(c["check"] for c in json.load(open(sys.argv[1]))["checks"] if c["outcome"] not in ("passed", "skipped")))' "$work/out")
    [ "$found" = "$checks" ] || complain "'$found' failed instead of '$checks': $*"
}
key=$(printf '1c%.0s' {1..48})
by_author=$(printf 'ac%.0s' {1..48})
verdict 0 "" --signer "$key" --minimum-svn 7
verdict 0 "" --author "$by_author" --minimum-svn 0
verdict 0 "" --signer "$key" --signer "$id" --author "$by_author" --minimum-svn 7
verdict 1 "snp.measurement snp.guest_svn" --signer "$key" --minimum-svn 8
verdict 1 "snp.measurement snp.id_key_digest" --signer "$work/id.pem.pub.pem" --minimum-svn 7
verdict 1 "snp.measurement snp.author_key_digest" --signer "$key" --author "$id" --minimum-svn 7
python3 - "$CVMIN_SRC/policies/emulated.json" "$key" >"$work/policy.json" <<'EOF'
import json, sys
policy = json.load(open(sys.argv[1]))
policy["signer"] = {"id_key_digest": [sys.argv[2]], "author_key_digest": "skip", "family_id": "skip", "image_id": "1d" * 16,
                    "guest_svn_minimum": 7}
json.dump(policy, sys.stdout)
EOF
appraise[-1]=$work/policy.json
verdict 0 "" --signer policy
refuses 2 "say --signer policy" "${appraise[@]}" --signer "$key" --minimum-svn 7
refuses 2 "wanted one of" "${appraise[@]}" # a signer in the policy does not vouch unless it is asked to
sed -i 's/1d1d/1e1d/' "$work/policy.json"
verdict 1 "snp.measurement snp.image_id" --signer policy
refuses 2 "wanted one of" send nobody --secret-name k --file "$work/id.pem" --policy "$work/policy.json"
refuses 2 "wanted one of" send nobody --secret-name k --file "$work/id.pem" --policy "$work/policy.json" --signer policy --image "$work/image.json"
refuses 2 "go with --image" send nobody --secret-name k --file "$work/id.pem" --policy "$work/policy.json" --signer policy --allow-debug

echo "sign.sh: $count runs, $failed wrong"
[ "$failed" = 0 ]
