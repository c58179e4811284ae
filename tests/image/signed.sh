#!/usr/bin/env bash
# cvmin build --corim-key: the reference values of the image, signed; OpenSSL checks the signature, cvmin the values.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
export CVMIN_QUIET=1
openssl ecparam -name secp384r1 -genkey -noout -out "$work/key.pem"
openssl pkey -in "$work/key.pem" -pubout -out "$work/public.pem"
openssl ecparam -name secp384r1 -genkey -noout | openssl pkey -pubout -out "$work/stranger.pem"
openssl ecparam -name prime256v1 -genkey -noout -out "$work/p256.pem"

# a key that cannot sign is known before anything is built
expect 3 "$CVMIN" build --corim-key "$work/none.pem" --out "$work/x"
one_error "none.pem"
expect 3 "$CVMIN" build --corim-key "$work/p256.pem" --out "$work/x"
one_error "p256.pem"
[ ! -e "$work/x" ] || broken "a build without a usable key left something"

expect 0 "$CVMIN" build --corim-key "$work/key.pem" --corim-signer "ACME Images" --out "$work/out"
signed=$work/out/reference-values.signed.corim
[ -s "$signed" ] || broken "no signed reference values"
python3 - "$signed" "$work/out/reference-values.corim" "$work" <<'PY' || broken "not a COSE_Sign1 of the reference values"
import sys
signed, payload, work = open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read(), sys.argv[3]
def head(at):  # major type, value, behind it
    first, info = signed[at], signed[at] & 31
    if info < 24: return first >> 5, info, at + 1
    size = 1 << info - 24
    return first >> 5, int.from_bytes(signed[at + 1:at + 1 + size], "big"), at + 1 + size
def bstr(at):
    major, size, at = head(at)
    assert major == 2
    return signed[at:at + size], at + size
major, tag, at = head(0)
assert (major, tag) == (6, 18)
major, count, at = head(at)
assert (major, count) == (4, 4)
protected, at = bstr(at)
major, count, at = head(at)
assert (major, count) == (5, 0)
body, at = bstr(at)
signature, at = bstr(at)
assert at == len(signed) and len(signature) == 96 and b"ACME Images" in protected
assert body == payload, "another payload than reference-values.corim"
def out(b):
    return (bytes([0x40 | len(b)]) if len(b) < 24 else b"\x58" + bytes([len(b)]) if len(b) < 256 else
            b"\x59" + len(b).to_bytes(2, "big") if len(b) < 65536 else b"\x5a" + len(b).to_bytes(4, "big")) + b
open(work + "/tbs", "wb").write(b"\x84\x6aSignature1" + out(protected) + b"\x40" + out(body))
def integer(b):
    b = b.lstrip(b"\0")
    b = b"\0" + b if b[0] & 0x80 else b
    return b"\x02" + bytes([len(b)]) + b
pair = integer(signature[:48]) + integer(signature[48:])
open(work + "/der", "wb").write(b"\x30" + bytes([len(pair)]) + pair)
PY
openssl dgst -sha384 -verify "$work/public.pem" -signature "$work/der" "$work/tbs" >/dev/null || broken "openssl refuses the signature"
expect 0 "$CVMIN" corim verify "$signed" --key "$work/public.pem" --image "$work/out/image.json"
expect 1 "$CVMIN" corim verify "$signed" --key "$work/stranger.pem" --image "$work/out/image.json"

# an image without a key has no signed values left over from an earlier one
expect 0 "$CVMIN" build --out "$work/out"
[ ! -e "$signed" ] || broken "signed values of an earlier build are left"
echo "signed reference values agree"
