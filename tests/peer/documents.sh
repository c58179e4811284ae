#!/usr/bin/env bash
# A real image's SBOM, provenance and envelope, as other people's programs see them: SPDX's and in-toto's Go packages, SPDX's
# list of licences, cosign. Each must also refuse what is wrong. Needs CVMIN_PEER (a root with them; `./dev test` makes it).
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
: "${CVMIN_BUILD:?}"
[ -f "${CVMIN_PEER:-/nonexistent}/.complete" ] || broken "no root with the peers in CVMIN_PEER: run by ./dev test"
image=${CVMIN_IMAGE:-$CVMIN_SRC/out}
peer() { "$CVMIN_SRC/toolchain/enter.sh" "$CVMIN_PEER" env HOME="$work" "$@"; }
documents() { "$CVMIN_BUILD/tests/cvmin-test-documents" "$1" "$image" "$CVMIN_SRC" "$commit" 1700000000 "${@:2}"; }
commit=0123456789abcdef0123456789abcdef01234567

program=$CVMIN_BUILD/peer-go/documents
if [ ! "$program" -nt "$CVMIN_SRC/tests/peer/documents.go" ] || [ ! "$program" -nt "$CVMIN_PEER/.complete" ]; then
    # no modules and no network: packages are those of the root
    peer env GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE="$CVMIN_BUILD/peer-go/cache" GOTOOLCHAIN=local GOPROXY=off \
        CGO_ENABLED=0 go build -o "$program" "$CVMIN_SRC/tests/peer/documents.go"
fi

documents sbom >"$work/sbom.json"
documents provenance >"$work/statement.json"
expect 0 "$program" "$work/sbom.json" "$work/statement.json"
cat "$work/stdout"
packages=$(($(grep -hvc '^#' "$CVMIN_SRC"/toolchain/{sources,debs}.lock | paste -sd+)))
grep -q "^$((packages + 2)) packages 9 files " "$work/stdout" || broken "SPDX's reader: not $packages pinned files, cvmin and the image"
grep -q '^1284 subjects ' "$work/stdout" || broken "in-toto's reader: not 5 times 255 launches and 9 files"
expect 0 peer python3 "$CVMIN_SRC/tests/peer/licences.py" "$work/sbom.json"

# what they are here for: they refuse
wrong() { sed "$1" "$2" >"$work/wrong.json" && ! cmp -s "$2" "$work/wrong.json" || broken "nothing is wrong in $1"; }
wrong '0,/"relatedSpdxElement": "SPDXRef-File-kernel"/s//"relatedSpdxElement": "SPDXRef-File-gone"/' "$work/sbom.json"
expect 1 "$program" "$work/wrong.json" "$work/statement.json"
wrong 's/"packageVerificationCodeValue": "../&0/' "$work/sbom.json"
expect 1 "$program" "$work/wrong.json" "$work/statement.json"
wrong 's/"licenseDeclared": "MIT"/"licenseDeclared": "MIT-or-so"/' "$work/sbom.json"
expect 1 peer python3 "$CVMIN_SRC/tests/peer/licences.py" "$work/wrong.json"
wrong 's/"builder":/"builders":/' "$work/statement.json"
expect 1 "$program" "$work/sbom.json" "$work/wrong.json"
wrong 's/"sha256":"../"sha256":"/' "$work/statement.json"
expect 1 "$program" "$work/sbom.json" "$work/wrong.json"

# ---- the envelope, by cosign ----------------------------------------------------------------------------------------
openssl ecparam -name secp384r1 -genkey -noout -out "$work/key.pem"
openssl ec -in "$work/key.pem" -pubout -out "$work/public.pem" 2>"$work/stderr"
openssl ecparam -name secp384r1 -genkey -noout | openssl ec -pubout -out "$work/other.pem" 2>"$work/stderr"
documents envelope "$work/key.pem" >"$work/envelope.json"
cosign() { # cosign WANTED KEY ENVELOPE FILE: there is no log of this key to ask
    expect "$1" peer cosign verify-blob-attestation --key "$2" --signature "$3" --type slsaprovenance1 \
        --insecure-ignore-tlog=true "$4"
}
for name in bzImage initrd.zst OVMF.fd image.json; do cosign 0 "$work/public.pem" "$work/envelope.json" "$image/$name"; done
cosign 1 "$work/other.pem" "$work/envelope.json" "$image/bzImage"
grep -q 'signatures' "$work/stderr" || broken "cosign: another reason than another key: $(cat "$work/stderr")"
cosign 1 "$work/public.pem" "$work/envelope.json" "$CVMIN_SRC/README.md"
grep -q 'no matching subject digest' "$work/stderr" || broken "cosign: another reason than another file: $(cat "$work/stderr")"
python3 - "$work/envelope.json" >"$work/wrong.json" <<'PY'
import base64, json, sys
envelope = json.load(open(sys.argv[1]))
payload = base64.b64decode(envelope["payload"]).replace(b'"debug":false', b'"debug":true ')
print(json.dumps(envelope | {"payload": base64.b64encode(payload).decode()}))
PY
cosign 1 "$work/public.pem" "$work/wrong.json" "$image/bzImage"
