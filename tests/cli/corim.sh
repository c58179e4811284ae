#!/usr/bin/env bash
# cvmin corim as its users run it: the CoRIM of an image against digests of sev-snp-measure, its bytes and its signature
# against programs that are not ours (a CBOR reader in Python, openssl), and every exit code.
# Needs CVMIN (the command) and CVMIN_SRC.
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
data=$CVMIN_SRC/tests/data
vectors=$data/sev-snp-measure
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
command=corim
# shellcheck source=tests/cli/lib.sh
. "$CVMIN_SRC/tests/cli/lib.sh"
# an image of upstream's test inputs
mkdir image other
cp "$vectors/fixtures/ovmf_AmdSev_suffix.bin" image/OVMF.fd
cp "$vectors/inputs/kernel.bin" image/bzImage
cp "$vectors/inputs/initrd.bin" image/initrd.zst
make_image() { # DIRECTORY COMMAND_LINE
    printf '%s' "$2" >"$1/cmdline"
    python3 - "$1" "$2" <<'PY'
import hashlib, json, pathlib, sys
directory, line = pathlib.Path(sys.argv[1]), sys.argv[2]
sha = lambda b: hashlib.sha256(b).hexdigest()
files = {}
for name, path in (("kernel", "bzImage"), ("initrd", "initrd.zst"), ("cmdline", "cmdline"), ("firmware", "OVMF.fd")):
    content = (directory / path).read_bytes()
    files[name] = {"path": path, "sha256": sha(content), "size": len(content)}
json.dump({"schema": 1, "kind": "cvmin-image", "version": "0", "debug": False, "files": files, "command_line": line,
           "hashes": {"kernel": files["kernel"]["sha256"], "initrd": files["initrd"]["sha256"],
                      "cmdline": sha(line.encode() + b"\0")},
           "guest_policy": "0x30000", "guest_features": "0x1", "inputs": []}, open(directory / "image.json", "w"))
PY
}
make_image image 'console=ttyS0 root=/dev/vda1 ro panic=-1'
cp image/OVMF.fd image/bzImage image/initrd.zst other/
make_image other 'console=ttyS0'

# ---- written, and read by others
run 0 create --image image/image.json --out a.corim
[ "$(cat out)" = a.corim ] || complain "create does not print what it wrote"
run 0 create --image image/image.json --out b.corim
cmp -s a.corim b.corim || complain "the same image gave other bytes"
cat >cbor.py <<'PY'
# Decodes CBOR: enough of RFC 8949 for CoRIM. A tag is a tuple ("tag", number, item).
def decode(data, at=0):
    first = data[at]; major, info = first >> 5, first & 31; at += 1
    if info < 24: value = info
    else:
        size = 1 << (info - 24); value = int.from_bytes(data[at:at + size], "big"); at += size
    if major == 0: return value, at
    if major == 1: return -1 - value, at
    if major == 2: return data[at:at + value], at + value
    if major == 3: return data[at:at + value].decode(), at + value
    if major == 4:
        items = []
        for _ in range(value): item, at = decode(data, at); items.append(item)
        return items, at
    if major == 5:
        members = {}
        for _ in range(value):
            key, at = decode(data, at); members[key], at = decode(data, at)
        return members, at
    if major == 6: item, at = decode(data, at); return ("tag", value, item), at
    return {20: False, 21: True, 22: None}[info], at
def whole(data):
    item, end = decode(data); assert end == len(data); return item
PY
cat >read.py <<'PY'
import json, sys
from cbor import whole
tag, number, corim = whole(open(sys.argv[1], "rb").read())
assert number == 501 and corim[3] == ("tag", 32, "tag:amd.com,2024:snp-corim-profile") and set(corim) == {0, 1, 3}
launches = {}
for tag, number, encoded in corim[1]:
    comid = whole(encoded)
    assert number == 506 and set(comid) == {1, 4}
    (environment, measurements), = comid[4][0]
    values = {m[0]: m[1] for m in measurements}
    (algorithm, digest), = values[641][2]
    assert algorithm == 7 and len(digest) == 48 and environment[1] == ("tag", 560, digest)
    assert environment[0] == {0: ("tag", 111, bytes.fromhex("2b060104019c780301"))}
    assert values[2] == {4: ("tag", 560, bytes.fromhex("0000000000030000"))}
    signature, vcpus = comid[1][0].split("/")[-2:]
    launches[signature, int(vcpus)] = digest.hex()
signatures = {s for s, _ in launches}
assert len(launches) == len(corim[1]) == 255 * len(signatures) and len(signatures) >= 5, len(launches)
wanted = next(c for c in json.load(open(sys.argv[2]))["cases"] if c["name"] == "suffix-amdsev-kernel-64vcpu")
assert launches["0x00a00f11", 64] == wanted["expect_digest"], launches["0x00a00f11", 64]
PY
python3 read.py a.corim "$vectors/cases.json" || complain "another reader does not find sev-snp-measure's digest"

# ---- signed, and checked by openssl over the bytes of RFC 9052, 4.4
openssl ecparam -name secp384r1 -genkey -noout -out key.pem
openssl pkey -in key.pem -pubout -out public.pem
openssl ecparam -name secp384r1 -genkey -noout | openssl pkey -pubout -out stranger.pem
run 0 sign a.corim --key key.pem --out signed.corim --signer 'ACME Images'
cat >sign1.py <<'PY'
import sys
from cbor import whole
tag, number, (protected, unprotected, payload, signature) = whole(open("signed.corim", "rb").read())
header = whole(protected)
assert number == 18 and unprotected == {} and payload == open("a.corim", "rb").read() and len(signature) == 96
assert header[1] == -35 and header[3] == "application/rim+cbor" and whole(header[8]) == {0: {0: "ACME Images"}}
def head(major, n):
    return bytes([major << 5 | n]) if n < 24 else bytes([major << 5 | 24, n]) if n < 256 else \
        bytes([major << 5 | 25]) + n.to_bytes(2, "big") if n < 65536 else bytes([major << 5 | 26]) + n.to_bytes(4, "big")
open("tbs", "wb").write(head(4, 4) + head(3, 10) + b"Signature1" + head(2, len(protected)) + protected + head(2, 0) +
                        head(2, len(payload)) + payload)
def integer(b):
    b = b.lstrip(b"\0"); b = b"\0" + b if b[0] & 0x80 else b
    return b"\x02" + bytes([len(b)]) + b
der = integer(signature[:48]) + integer(signature[48:])
open("der", "wb").write(b"\x30" + bytes([len(der)]) + der)
PY
python3 sign1.py || complain "the signed file is not as another reader wants it"
openssl dgst -sha384 -verify public.pem -signature der tbs >/dev/null || complain "openssl refuses the signature"
# the other way round: a signature that openssl makes over the same bytes is one that we take
openssl dgst -sha384 -sign key.pem -out der2 tbs
python3 - <<'PY'
der = open("der2", "rb").read()
def integer(at): size = der[at + 1]; return der[at + 2:at + 2 + size].lstrip(b"\0").rjust(48, b"\0"), at + 2 + size
r, at = integer(2); s, at = integer(at)
open("theirs.corim", "wb").write(open("signed.corim", "rb").read()[:-96] + r + s)
PY
run 0 verify theirs.corim --key public.pem

# ---- verify
run 0 verify signed.corim --key public.pem --image image/image.json
grep -qF 'signed by ACME Images: the signature holds' out || complain "verify does not name the signer"
grep -q ': [0-9]* launches, each as image/image.json gives it' out || complain "verify does not say what it compared"
run 0 verify a.corim --image image/image.json
run 0 verify signed.corim --key public.pem --json
python3 -c 'import json; v = json.load(open("out")); assert v["schema"] == 1 and v["ok"] and v["signature"] == "verified"' ||
    complain "JSON of verify"
refuses 1 'cose.signature does not match' verify signed.corim --key stranger.pem
refuses 1 'corim.signature is missing' verify a.corim --key public.pem
refuses 1 'EPYC (0x00800f12), 1 vCPU: launch digest: found ' verify a.corim --image other/image.json
refuses 1 'guest SVN: found none, wanted at least 3' verify a.corim --image image/image.json --guest-svn 3
refuses 2 'is signed: give the signer' verify signed.corim --image image/image.json
refuses 2 'wanted --key PUBLIC.pem, --image image.json, or both' verify a.corim
cp signed.corim flipped.corim
printf '\001' | dd of=flipped.corim bs=1 seek=2000 conv=notrunc status=none
run 1 verify flipped.corim --key public.pem --json
python3 -c 'import json; v = json.load(open("out")); assert not v["ok"] and v["signature"] == "refused"' ||
    complain "a flipped byte is not refused"

# ---- values of an ID block
run 0 create --image image/image.json --out id.corim --guest-svn 3 --family-id fleet --image-id 0x000102030405060708090a0b0c0d0e0f
run 0 verify id.corim --image image/image.json --guest-svn 3 --family-id fleet --image-id 0x000102030405060708090a0b0c0d0e0f
refuses 1 'image id: found 000102030405060708090a0b0c0d0e0f, wanted none' verify id.corim --image image/image.json --guest-svn 3 --family-id fleet
refuses 2 '--family-id' create --image image/image.json --out x --family-id 'longer than sixteen'

# ---- show
run 0 show "$data/veraison/corim-sevsnp-valid.cbor"
grep -q 'MEASUREMENT *sha-384 7699e6ac12cc' out || complain "show does not show a measurement"
run 0 show signed.corim --json
python3 -c 'import json; v = json.load(open("out")); assert v["signature"] == {"signer": "ACME Images", "uri": "", "validity": None, "checked": False} and v["tags"][63]["launch"]["vcpus"] == 64' ||
    complain "JSON of show"
run 0 show - <a.corim

# ---- as reference values of cvmin verify: the stored evidence of verify.sh, and CoRIMs that Python wrote
appraise=$data/appraise
cat >write.py <<'PY'
import sys
def head(major, n):
    for size, info in ((0, n), (1, 24), (2, 25), (4, 26)):
        if n < (24 if size == 0 else 1 << 8 * size): return bytes([major << 5 | info]) + (n.to_bytes(size, "big") if size else b"")
def encode(item):
    if isinstance(item, int): return head(0, item)
    if isinstance(item, bytes): return head(2, len(item)) + item
    if isinstance(item, str): return head(3, len(item)) + item.encode()
    if isinstance(item, list): return head(4, len(item)) + b"".join(map(encode, item))
    if isinstance(item, dict): return head(5, len(item)) + b"".join(encode(k) + encode(v) for k, v in item.items())
    return head(6, item[0]) + encode(item[1])
out, signature, policy, *digests = sys.argv[1:]
def comid(number, digest):
    digest = bytes.fromhex(digest)
    return (506, encode({4: {0: [[{0: {0: (111, bytes.fromhex("2b060104019c780301"))}},
                                  [{1: {2: [[7, digest]]}, 0: 641},
                                   {0: 2, 1: {4: (560, int(policy, 16).to_bytes(8, "big"))}}]]]},
                         1: {0: f"tag:cvmin,2026:launch/test/{signature}/{number}"}}))
corim = {1: [comid(i + 1, d) for i, d in enumerate(digests)], 0: "made by a test",
         3: (32, "tag:amd.com,2025:snp-corim-profile")}
open(out, "wb").write(encode((501, corim)))
PY
field() { python3 -c 'import sys; r = open(sys.argv[1], "rb").read(); at = r.index(bytes.fromhex(sys.argv[2])); print(r[at - 0x90 + 8:at - 0x90 + 16][::-1].hex())' "$appraise/evidence.cbor" "$1"; }
good=$(printf 'aa%.0s' {1..48})
policy=$(field "$good")
bad=$(printf '%096d' 0)
appraise() { # WANTED_CODE ARGS...
    local wanted=$1 code=0
    shift
    "$CVMIN" verify "$appraise/evidence.cbor" --session "$appraise/evidence.cbor.session.json" --policy "$CVMIN_SRC/policies/emulated.json" \
        --time 2026-06-01T12:00:00Z --trust-emulated "$appraise/ark.der" "$@" >out 2>err || code=$?
    [ "$code" = "$wanted" ] || complain "verify: exit $code instead of $wanted: $* ($(cat err))"
}
python3 write.py ref.corim 0x00a10f10 "$policy" "$bad" "$good"
python3 write.py none.corim 0x00a10f10 "$policy" "$bad"
python3 write.py debug.corim 0x00a10f10 "$(printf '%x' $((0x$policy | 1 << 19)))" "$good"
appraise 0 --reference ref.corim
grep -q 'ref.corim, not signed, EPYC-Genoa (0x00a10f10), 2 vCPUs' out || complain "the verdict does not say which launch it was"
appraise 0 --reference ref.corim --vcpus 2 --vcpu-type EPYC-Genoa
appraise 1 --reference ref.corim --vcpus 1
appraise 1 --reference ref.corim --vcpu-type EPYC-Milan
appraise 1 --reference none.corim
grep -q '^FAILED *snp.measurement' out || complain "not snp.measurement failed"
appraise 1 --reference debug.corim # its digest, under another guest policy than the report's
grep -q '^FAILED *snp.measurement' out || complain "a demand beside the digest was dropped"
appraise 3 --reference "$data/veraison/corim-sevsnp-valid.cbor"
"$CVMIN" corim sign ref.corim --key key.pem --out ref.signed --signer ACME >/dev/null
appraise 0 --reference ref.signed --reference-key public.pem
grep -q 'signed by ACME' out || complain "the verdict does not name the signer"
appraise 3 --reference ref.signed --reference-key stranger.pem
appraise 2 --reference ref.signed
appraise 3 --reference ref.corim --reference-key public.pem
appraise 2 --reference ref.corim --measurement "$good"
appraise 2 --measurement "$good" --reference-key public.pem

# ---- what cannot be read or written
refuses 3 'is missing' show nothing
refuses 3 'file' show image
refuses 3 'corim ends too early' show /dev/null
refuses 3 'larger than its limit' show /dev/zero
refuses 3 'corim' show image/image.json
refuses 3 'corim' verify image/OVMF.fd --image image/image.json
head -c 100000 a.corim >cut.corim
refuses 3 'ends too early' show cut.corim
refuses 3 'is of a kind this version does not support' sign signed.corim --key key.pem --out x
refuses 3 'public.pem' sign a.corim --key public.pem --out x
refuses 3 'key.pem' verify a.corim --key key.pem
refuses 2 'signer' sign a.corim --key key.pem --out x --signer "$(printf 'a\nb')"
refuses 3 'nowhere/x' sign a.corim --key key.pem --out nowhere/x
mkfifo pipe
ln -s a.corim link
for target in pipe link; do # would be replaced by a file
    refuses 3 "$target: file is of a kind" create --image image/image.json --out $target
done
[ -p pipe ] && [ -L link ] || complain "a pipe or a link was replaced"
[ ! -e x ] || complain "a refused command wrote its file"
code=0
"$CVMIN" corim >/dev/null 2>&1 || code=$?
[ $code = 2 ] || complain "no subcommand: exit $code"
code=0
"$CVMIN" corim show a.corim >/dev/full 2>err || code=$?
[ $code = 4 ] || complain "a full standard output: exit $code"
[ $failed = 0 ] && echo "CoRIM: written, signed, compared, refused as documented"
exit $((failed != 0))
