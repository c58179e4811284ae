#!/usr/bin/env bash
# SBOM, provenance and envelope of the built image (CVMIN_IMAGE, default out/): held against files, locks and dpkg by other code
# than wrote them; the same bytes twice; the envelope's signatures by openssl. What SPDX's, in-toto's and sigstore's own
# programs say is tests/peer/documents.sh.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
image=${CVMIN_IMAGE:-$CVMIN_SRC/out}
documents=$CVMIN_BUILD/tests/cvmin-test-documents
commit=0123456789abcdef0123456789abcdef01234567
[ -f "$image/image.json" ] || broken "no image in $image: run cvmin build first"

for what in sbom provenance; do
    expect 0 "$documents" $what "$image" "$CVMIN_SRC" $commit 1700000000
    mv "$work/stdout" "$work/$what.json"
    expect 0 "$documents" $what "$image" "$CVMIN_SRC" $commit 1700000000
    same "$work/stdout" "$work/$what.json"
done
grep -q '"created": "2023-11-14T22:13:20Z"' "$work/sbom.json" || broken "created is not the time given" # date -ud @1700000000
expect 0 python3 "$CVMIN_SRC/tests/image/documents.py" "$work/sbom.json" "$work/provenance.json" "$image" "$CVMIN_SRC" $commit

# nothing of this machine or of its mirrors: each address is one of the formats' own
! grep -qF -e "$CVMIN_SRC" -e "$CVMIN_CACHE" "$work/sbom.json" "$work/provenance.json" || broken "a document has a path of this machine"
grep -ohE '[a-z]+://[^"]*' "$work/sbom.json" "$work/provenance.json" | sort -u >"$work/found"
printf '%s\n' https://in-toto.io/Statement/v1 https://slsa.dev/provenance/v1 >"$work/wanted"
same "$work/found" "$work/wanted"

# locks of another tree
mkdir -p "$work/tree/toolchain"
cp "$CVMIN_SRC"/toolchain/{sources,debs}.lock "$work/tree/toolchain/"
echo "# renewed" >>"$work/tree/toolchain/debs.lock"
expect 3 "$documents" sbom "$image" "$work/tree" $commit 0
expect 3 "$documents" provenance "$image" "$work/tree" $commit 0

# ---- the envelope, by openssl ---------------------------------------------------------------------------------------
openssl ecparam -name secp384r1 -genkey -noout -out "$work/key.pem"
openssl ec -in "$work/key.pem" -pubout -out "$work/public.pem" 2>"$work/stderr"
expect 0 "$documents" envelope "$image" "$CVMIN_SRC" $commit 0 "$work/key.pem"
python3 - "$work" "$(openssl pkey -pubin -in "$work/public.pem" -outform der | sha256sum | cut -d' ' -f1)" <<'PY'
import base64, json, sys
work, keyid = sys.argv[1:3]
text = open(f"{work}/stdout").read()
assert text.endswith("}\n") and text.count("\n") == 1
envelope = json.loads(text)
payload, type = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
assert type == b"application/vnd.in-toto+json"
open(f"{work}/payload", "wb").write(payload + b"\n")
open(f"{work}/signed", "wb").write(b"DSSEv1 %d %s %d %s" % (len(type), type, len(payload), payload))
assert [s["keyid"] for s in envelope["signatures"]] == [keyid, keyid]
for bits, one in zip((384, 256), envelope["signatures"]):
    open(f"{work}/{bits}.der", "wb").write(base64.b64decode(one["sig"]))
PY
same "$work/payload" "$work/provenance.json"
for bits in 384 256; do
    expect 0 openssl dgst -sha$bits -verify "$work/public.pem" -signature "$work/$bits.der" "$work/signed"
    expect 1 openssl dgst -sha$bits -verify "$work/public.pem" -signature "$work/$bits.der" "$work/payload"
done
