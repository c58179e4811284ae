#!/usr/bin/env bash
# The control of the demo's last step: the kernel with one changed byte does boot under a hash page made for it, so it is the
# page that keeps it from booting under the image's; and then its evidence is refused by snp.measurement, and only by that.
# Also: no hash page at all, and a CVM killed while it is being attested.
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
cd "$CVMIN_SRC"
image=${CVMIN_IMAGE:-out/image.json}
work=$(mktemp -d)
vm=refusals-$$
trap '"$CVMIN" stop $vm >/dev/null 2>&1 || true; rm -rf -- "$work"' EXIT
failed=0
complain() { echo "refusals.sh: $*"; failed=1; }

python3 - "$(dirname "$image")/bzImage" "$work/bzImage" <<'EOF'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
offset = 0x200 + int.from_bytes(data[0x20e:0x210], "little") # kernel_version of the setup header
assert data[offset:offset + 2] == b"6."
data[offset] = ord("7")
open(sys.argv[2], "wb").write(data)
EOF
"$CVMIN" boot --image "$image" --name $vm --kernel "$work/bzImage" --hash-page computed >/dev/null 2>"$work/err" ||
    complain "the changed kernel does not boot under its own page: $(cat "$work/err")"
ark=$("$CVMIN" describe $vm --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["emulated_ark"])')
code=0
"$CVMIN" verify --vm $vm --image "$image" --policy policies/emulated.json --trust-emulated "$ark" --json >"$work/v.json" || code=$?
[ $code = 1 ] || complain "verify: exit $code instead of 1"
names=$(python3 -c 'import json, sys
print(" ".join(c["check"] for c in json.load(open(sys.argv[1]))["checks"] if c["outcome"] not in ("passed", "skipped")))' "$work/v.json")
[ "$names" = snp.measurement ] || complain "refused by '$names' instead of snp.measurement alone"
echo secret >"$work/secret"
code=0
"$CVMIN" send $vm --secret-name x --file "$work/secret" --image "$image" --policy policies/emulated.json \
    --trust-emulated "$ark" >/dev/null 2>"$work/err" || code=$?
[ $code = 1 ] || complain "send: exit $code instead of 1"

# killed mid-attestation: one clear line, exit 5, nothing half-written
supervisor=$("$CVMIN" describe $vm --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["qemu"]["pid"])')
kill -STOP "$supervisor"
(
    code=0
    "$CVMIN" attest $vm --out "$work/never.cbor" --timeout 8 >/dev/null 2>"$work/err" || code=$?
    echo $code >"$work/code"
) &
sleep 1
kill -KILL "$supervisor"
wait $!
[ "$(cat "$work/code")" = 5 ] || complain "attest of a killed CVM: exit $(cat "$work/code") instead of 5: $(cat "$work/err")"
[ ! -e "$work/never.cbor" ] || complain "attest of a killed CVM left a file"
[ "$(wc -l <"$work/err")" = 1 ] || complain "attest of a killed CVM: not one line: $(cat "$work/err")"
"$CVMIN" stop $vm >/dev/null 2>&1 || true

code=0
"$CVMIN" boot --image "$image" --name $vm --hash-page none --timeout 15 >/dev/null 2>"$work/err" || code=$?
[ $code = 5 ] || complain "without a hash page: exit $code instead of 5: $(cat "$work/err")"
exit $failed
