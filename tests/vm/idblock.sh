#!/usr/bin/env bash
# A CVM launched under a signed ID block: its reports name the signer, and a relying party that pins the signer and a version
# number accepts it and sends a secret. Every ID block that does not fit is refused, with the reason, and nothing is left.
# Needs CVMIN, CVMIN_SRC, and an image (CVMIN_IMAGE, else out/image.json).
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
policy=$CVMIN_SRC/policies/emulated.json

section "sign"
for key in id author other; do "$CVMIN" keygen --out "$work/$key" >/dev/null; done
run sign sign --image "$image" --id-key "$work/id" --author-key "$work/author" --family-id cvmin --image-id test --svn 3 \
    --vcpus 1,2 --out-dir "$work/both"
[ $code = 0 ] || complain "sign: exit $code: $(cat "$work/sign.err")"
"$CVMIN" sign --image "$image" --id-key "$work/id" --svn 3 --out-dir "$work/one" >/dev/null

section "every ID block that does not fit is refused, and nothing is left"
echo "$XDG_RUNTIME_DIR/" >"$work/ours" # in the command line of QEMU and of the vsock device
# refused TEXT OPTION...: exit 3, that text, no CVM
refused() {
    local text=$1
    shift
    run refused boot --image "$image" --name refused --accel tcg "$@"
    [ $code = 3 ] || complain "'$text': exit $code instead of 3: $(cat "$work/refused.err")"
    grep -qF -- "$text" "$work/refused.err" || complain "no '$text' in: $(cat "$work/refused.err")"
    [ -z "$(ls "$XDG_RUNTIME_DIR/cvmin/vms" 2>/dev/null)" ] || complain "'$text': left behind: $(ls "$XDG_RUNTIME_DIR/cvmin/vms")"
    if grep -lzF -f "$work/ours" /proc/[0-9]*/cmdline 2>/dev/null | grep -q .; then complain "'$text': a process is left"; fi
}
one=(--id-block "$work/one/id-block.base64" --id-auth "$work/one/id-auth.base64")
changed() { # FILE OFFSET: the file with a bit of its bytes flipped
    python3 - "$1" "$2" >"$work/changed" <<'EOF'
import base64, sys
data = bytearray(base64.b64decode(open(sys.argv[1]).read()))
data[int(sys.argv[2], 0)] ^= 1
print(base64.b64encode(data).decode())
EOF
}
refused "launch digest: found " "${one[@]}" --vcpus 2
refused "launch digest: found " "${one[@]}" --append "another command line"
refused "guest policy: found 0x330000 (launch), wanted 0x30000 (ID block)" "${one[@]}" --policy 0x330000
changed "$work/one/id-block.base64" 0x54 # the SVN
refused "its signature: found one that does not hold" --id-block "$work/changed" --id-auth "$work/one/id-auth.base64"
changed "$work/one/id-block.base64" 0x50
refused "version: found 0, wanted 1" --id-block "$work/changed" --id-auth "$work/one/id-auth.base64"
changed "$work/one/id-auth.base64" 0x40
refused "its signature: found one that does not hold" --id-block "$work/one/id-block.base64" --id-auth "$work/changed"
python3 - "$work/both/id-blocks.json" "$work" <<'EOF'
import json, sys
block = json.load(open(sys.argv[1]))["blocks"][0]
open(sys.argv[2] + "/signed-block", "w").write(block["id_block"])
open(sys.argv[2] + "/signed-auth", "w").write(block["id_auth"])
EOF
changed "$work/signed-auth" 0x680
refused "the ID key's signature: found one that does not hold" --id-block "$work/signed-block" --id-auth "$work/changed"
refused "has no ID block for this launch" --id-block "$work/both/id-blocks.json" --vcpus 3
head -c 100 "$work/one/id-auth.base64" >"$work/short"
refused "id_auth ends too early" --id-block "$work/one/id-block.base64" --id-auth "$work/short"
refused "$work/none" --id-block "$work/none" --id-auth "$work/short"
refused "larger than its limit" --id-block /dev/zero --id-auth "$work/short"
run usage boot --image "$image" --id-block "$work/one/id-block.base64"
[ $code = 2 ] || complain "--id-block without --id-auth: exit $code"
run usage boot --image "$image" --id-auth "$work/one/id-auth.base64"
[ $code = 2 ] || complain "--id-auth without --id-block: exit $code"

section "the snp platform gets QEMU's options"
run dry boot --image "$image" --platform snp --dry-run --id-block "$work/both/id-blocks.json"
grep -qF ",id-block=$(cat "$work/signed-block"),id-auth=$(cat "$work/signed-auth"),author-key-enabled=on" "$work/dry.out" ||
    complain "--dry-run: $(cat "$work/dry.out" "$work/dry.err")"

section "a block that fits: reports name the signer"
run boot boot --image "$image" --name signed --vcpus 2 --id-block "$work/both/id-blocks.json" --json
[ $code = 0 ] || complain "boot: exit $code: $(cat "$work/boot.err")"
"$CVMIN" keygen --show "$work/id" --json >"$work/id.json"
"$CVMIN" keygen --show "$work/author" --json >"$work/author.json"
id=$(field "$work/id.json" snp_key_digest)
author=$(field "$work/author.json" snp_key_digest)
[ "$(field "$work/boot.out" launch.id_block.id_key_digest)" = "$id" ] || complain "describe names another ID key"
"$CVMIN" list | grep -q "^signed .* ${id:0:8} " || complain "list does not show the ID key: $("$CVMIN" list)"
root=(--policy "$policy" --trust-emulated "$(field "$work/boot.out" emulated_ark)")
run verify verify --vm signed --image "$image" "${root[@]}" --json
[ $code = 0 ] || complain "verify by digest: exit $code: $(cat "$work/verify.out")"
[ "$(field "$work/verify.out" report.guest_svn)/$(field "$work/verify.out" report.family_id)/$(field "$work/verify.out" report.image_id)" = \
    3/63766d696e0000000000000000000000/74657374000000000000000000000000 ] || complain "report: $(cat "$work/verify.out")"
[ "$(field "$work/verify.out" report.id_key_digest)/$(field "$work/verify.out" report.author_key_digest)" = "$id/$author" ] ||
    complain "report: $(cat "$work/verify.out")"

section "a relying party pins the signer and a version number instead of a digest"
run attest attest signed --out "$work/evidence"
[ $code = 0 ] || complain "attest: exit $code"
pinned() { # WANTED_CODE OPTION...: of the stored evidence
    local wanted=$1
    shift
    run pinned verify "$work/evidence" --session "$work/evidence.session.json" "${root[@]}" "$@"
    [ $code = "$wanted" ] || complain "$*: exit $code instead of $wanted: $(cat "$work/pinned.out" "$work/pinned.err")"
}
pinned 0 --signer "$work/id.pub.pem" --minimum-svn 3
pinned 0 --author "$work/author.pub.pem" --minimum-svn 0
pinned 1 --signer "$work/id.pub.pem" --minimum-svn 4
pinned 1 --signer "$work/other.pub.pem" --minimum-svn 3
pinned 1 --signer "$work/author.pub.pem" --minimum-svn 3
pinned 1 --signer "$work/id.pub.pem" --author "$work/other.pub.pem" --minimum-svn 3
echo secret >"$work/secret"
run send send signed --secret-name a --file "$work/secret" "${root[@]}" --signer "$work/other.pub.pem" --minimum-svn 3
[ $code = 1 ] || complain "send to another's image: exit $code instead of 1"
run send send signed --secret-name a --file "$work/secret" "${root[@]}" --signer "$work/id.pub.pem" --minimum-svn 3 --json
[ $code = 0 ] || complain "send: exit $code: $(cat "$work/send.err")"
[ "$(field "$work/send.out" by_signer)" = True ] || complain "send --json does not say by whom: $(cat "$work/send.out")"
"$CVMIN" stop signed >/dev/null

section "without an ID block a signer never passes"
run plain boot --image "$image" --name plain
[ $code = 0 ] || complain "boot: exit $code: $(cat "$work/plain.err")"
run verify verify --vm plain "${root[@]}" --signer "$work/id.pub.pem" --minimum-svn 0 --json
[ $code = 1 ] || complain "verify: exit $code instead of 1"
[ "$(field "$work/verify.out" report.id_key_digest)" = "$(printf '0%.0s' {1..96})" ] || complain "an ID key out of nothing"
all_held
