#!/usr/bin/env bash
# A CVM launched for a manifest: HOST_DATA of its reports is the manifest's digest, describe and list name it, and a relying
# party that means this manifest, or another one, or finds a CVM that was launched for none, is told so by the check's name.
# Needs CVMIN, CVMIN_SRC, and an image (CVMIN_IMAGE, else out/image.json).
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
mine=$CVMIN_SRC/tests/data/manifest/survey.json
# the same with other limits: another digest
sed 's/"processes": 4/"processes": 5/' "$mine" >"$work/other.json"
digest=$(sha256sum "$CVMIN_SRC/tests/data/manifest/survey.cbor" | cut -c1-64)

section "boot --manifest"
run boot boot --image "$image" --name mine --accel tcg --timeout 180 --manifest "$mine"
wants 0 boot
[ "$code" = 0 ] || exit 1
run describe describe mine --json
[ "$(field "$work/describe.out" launch.host_data)" = "$digest" ] || complain "HOST_DATA is not the digest"
[ "$(field "$work/describe.out" launch.manifest)" = survey-1 ] || complain "describe does not name the manifest"
run list list
grep -q 'survey-1' "$work/list.out" || complain "list does not name the manifest: $(cat "$work/list.out")"

section "verify and send, with this manifest and another"
reference=(--image "$image" --trust-emulated "$XDG_STATE_HOME/cvmin/emulated-sp/ark.der" --policy "$CVMIN_SRC/policies/emulated.json")
# refused_by CHECKS NAME: the last run's verdict failed in exactly these
refused_by() {
    [ $code = 1 ] || complain "$2: exit $code instead of 1: $(cat "$work/$2.err")"
    python3 -c 'import json, sys
failed = [c["check"] for c in json.load(open(sys.argv[1]))["checks"] if c["outcome"] in ("failed", "not_made")]
sys.exit(0 if failed == sys.argv[2].split() else str(failed))' "$work/$2.out" "$1" || complain "$2: not refused by: $1"
}
# evidence may take long where others use the processors, too
reference+=(--timeout 120)
run plain verify --vm mine "${reference[@]}"
wants 0 plain
run other verify --vm mine "${reference[@]}" --manifest "$work/other.json" --json
refused_by "snp.host_data claims.manifest" other
# launched for it, but nobody has handed it over
run early verify --vm mine "${reference[@]}" --manifest "$mine" --json
refused_by "claims.manifest" early
echo secret >"$work/secret"
run sent send mine --secret-name key --file "$work/secret" "${reference[@]}" --manifest "$work/other.json"
wants 1 sent "nothing was sent"

section "stored evidence, the manifest in the session"
run attest attest mine --out "$work/evidence.cbor" --manifest "$work/other.json"
wants 0 attest
run stored verify "$work/evidence.cbor" --session "$work/evidence.cbor.session.json" "${reference[@]}" --json
refused_by "snp.host_data claims.manifest" stored
run conflict verify "$work/evidence.cbor" --session "$work/evidence.cbor.session.json" "${reference[@]}" --manifest "$mine"
wants 2 conflict "another manifest than the one that the session names"
all_held
