#!/usr/bin/env bash
# cvmin explain as its users run it: what it prints for digests of other tools, both kinds of output, the map, and every
# exit code. Needs CVMIN (the command). Firmware comes from the toolchain root.
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
data=$CVMIN_SRC/tests/data/sev-snp-measure
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
amdsev=/usr/share/ovmf/OVMF.amdsev.fd
plain=/usr/share/ovmf/OVMF.fd
code=/usr/share/OVMF/OVMF_CODE_4M.fd
vars=/usr/share/OVMF/OVMF_VARS_4M.fd
line='console=ttyS0 root=/dev/vda1 ro panic=-1'
files=(--ovmf "$amdsev" --kernel "$data/inputs/kernel.bin" --initrd "$data/inputs/initrd.bin" --append "$line")
command=explain
# shellcheck source=tests/cli/lib.sh
. "$CVMIN_SRC/tests/cli/lib.sh"
says() { # TEXT...: each is a whole line of standard output, but for blanks in front
    local text
    for text in "$@"; do
        sed 's/^ *//' "$work/out" | grep -qxF -- "$text" || complain "no line '$text' in '$(cat "$work/out")'"
    done
}
digest_of() { # CASE
    python3 -c 'import json, sys
for c in json.load(open(sys.argv[1]))["cases"]:
    if c["name"] == sys.argv[2]: print(c["expect_digest"])' "$data/cases.json" "$1"
}

# ---- explanations ---------------------------------------------------------------------------------------------------
four=$(digest_of deb-amdsev-EPYC-v4-4vcpu-kernel)
run 0 --digest "$four" "${files[@]}" --vcpus 2 --vcpu-type EPYC-v4
says 'the digest matches with this difference:' 'vcpus 4 instead of 2'
[ ! -s "$work/err" ] || complain "standard error is not empty: $(cat "$work/err")"
run 0 --digest "$four" "${files[@]}" --vcpus 4 --vcpu-sig 0x800f12
says 'the digest is that of the described launch'
run 0 --digest "0x${four^^}" "${files[@]}"
says 'vcpus 4' 'CPU model EPYC (0x800f12)'
run 0 --digest "$(python3 -c 'import base64, sys; print(base64.b64encode(bytes.fromhex(sys.argv[1])).decode())' "$four")" "${files[@]}"
says 'vcpus 4'
run 0 --digest "$(digest_of deb-amdsev-EPYC-Genoa-2vcpu-gf0x21)" "${files[@]}" --vcpus 4 --vcpu-type EPYC-v4
says 'CPU model EPYC-Genoa (0xa10f10) instead of EPYC-v4 (0x800f12)' 'vcpus 2 instead of 4' \
    'guest features 0x21 (SNP, debug swap) instead of 0x1 (SNP) (Linux 6.6 to 6.8 set debug swap unasked)'
run 0 --digest "$(digest_of deb-amdsev-kernel-cmdline-noinitrd)" "${files[@]}" --vcpus 1 --vcpu-type EPYC-v4
says 'no initrd instead of one of 300007 bytes'
run 0 --digest "$(digest_of deb-amdsev-gce-2vcpu)" --ovmf "$amdsev" --vcpus 2 --vcpu-type EPYC-v4
says 'VMM GCE instead of QEMU'
run 0 --digest "$(digest_of deb-amdsev-seves-4vcpu)" "${files[@]}" --vcpus 4 --vcpu-type EPYC-v4
says 'mode seves'
run 0 --digest "$("$CVMIN" measure --vcpus 2 --vcpu-type EPYC-v4 --ovmf "$plain")" --ovmf "$code" --also "$vars" --vcpus 2 --vcpu-type EPYC-v4
says "firmware $vars and $code in one file instead of $code"
run 0 --digest "$("$CVMIN" measure --vcpus 2 --vcpu-type EPYC-v4 --ovmf "$code")" --ovmf "$plain" --vcpus 2 --vcpu-type EPYC-v4
says "firmware $plain without its variable store (CODE only, 3653632 bytes) instead of $plain"
run 1 --digest "$(printf 'aa%.0s' {1..48})" "${files[@]}" --vcpus 2 --vcpu-type EPYC-v4
says 'no launch near the described one has this digest'
run 0 --digest "$(printf '00%.0s' {1..48})" "${files[@]}"
says 'all zeros: nothing was measured, this is no SEV-SNP launch at all'

# the digest out of a report, and out of evidence: none of this firmware's
run 1 --report "$CVMIN_SRC/tests/data/appraise/evidence.cbor" "${files[@]}" --json
python3 -c 'import json, sys; sys.exit(json.load(open(sys.argv[1]))["digest"] != "aa" * 48)' "$work/out" || complain "not the digest of the evidence: $(cat "$work/out")"
report=$CVMIN_SRC/tests/data/oak/turin-v5-oc/report.bin
run 1 --report "$report" "${files[@]}" --vcpus 1 --vcpu-type EPYC-v4

# ---- JSON -----------------------------------------------------------------------------------------------------------
run 0 --digest "$four" "${files[@]}" --vcpus 2 --vcpu-type EPYC-v4 --json
python3 - "$work/out" "$four" <<'EOT' || complain "--json: $(cat "$work/out")"
import json, sys
found = json.load(open(sys.argv[1]))
candidates = found.pop("candidates")
wanted = {"schema": 1, "digest": sys.argv[2], "result": "explained", "complete": True, "open": [],
          "differences": [{"what": "vcpus", "found": "4", "described": "2", "text": "vcpus 4 instead of 2"}]}
sys.exit(found != wanted or not isinstance(candidates, int) or candidates < 255)
EOT

# ---- steps ----------------------------------------------------------------------------------------------------------
run 0 --steps "${files[@]}" --vcpus 4 --vcpu-type EPYC-v4
[ "$(tail -n 1 "$work/out")" = "$four" ] || complain "the last step is not the digest: $(tail -n 1 "$work/out")"
says 'digest        9d0dd8be18c86e3fe3bf0038ed75ebf5340bee69fd2632c8ff9409964575960ae1f7e84be387d2e3467bc3508d1e4806' \
    "digest        $(digest_of deb-amdsev-EPYC-v4-1vcpu-kernel)" \
    '0x0000ffc00000-0x0000ffffffff  normal      1024 pages  firmware '"$amdsev" \
    'command line  38d9d20938cf80b13cceedac3664c96a1026f8197120dbc934adbbd9840faead'
run 0 --steps "${files[@]}" --vcpus 4 --vcpu-type EPYC-v4 --json
python3 - "$work/out" "$four" <<'EOT' || complain "--steps --json: $(cat "$work/out")"
import json, sys
found = json.load(open(sys.argv[1]))
steps = found["steps"]
ok = found["schema"] == 1 and found["launch_digest"] == sys.argv[2] and steps[-1]["digest"] == sys.argv[2]
ok = ok and set(found) == {"schema", "steps", "kernel_hashes", "launch_digest"} and len(steps) == 10
ok = ok and all(set(s) == {"gpa", "end", "pages", "type", "kind", "what", "contents_measured", "digest"} for s in steps)
ok = ok and steps[0]["gpa"] == "0xffc00000" and steps[0]["end"] == "0x100000000" and steps[0]["pages"] == 1024
ok = ok and [s["contents_measured"] for s in steps] == [True] + 6 * [False] + 3 * [True]
sys.exit(not ok)
EOT
for vmm in EC2 GCE krun; do
    run 0 --steps --ovmf "$amdsev" --vcpus 2 --vmm-type "$vmm"
    [ "$(tail -n 1 "$work/out")" = "$("$CVMIN" measure --ovmf "$amdsev" --vcpus 2 --vmm-type "$vmm")" ] || complain "steps of $vmm"
done

# ---- map ------------------------------------------------------------------------------------------------------------
well_formed() { # FILE: tags nest, nothing is fetched and nothing runs; prints its text
    python3 - "$1" <<'EOT'
import html.parser, sys
class Parser(html.parser.HTMLParser):
    void = {"meta", "br"}
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "img", "link", "iframe", "object", "base"), tag
        for name, value in attrs:
            assert not name.startswith("on") and name not in ("src", "href", "style"), name
        self.tags.append(tag)
        if tag not in self.void:
            self.open.append(tag)
    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.open.pop()
    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()
    def handle_data(self, data):
        self.text.append(data)
page = open(sys.argv[1], encoding="utf-8").read()
parser = Parser()
parser.feed(page)
parser.close()
assert not parser.open, parser.open
assert page.startswith("<!DOCTYPE html>\n<html lang=\"en\">")
for tag in ("title", "main", "svg", "desc", "table", "caption"):
    assert tag in parser.tags, tag
print("".join(parser.text))
EOT
}
hostile='x=<script>alert(1)</script>&"'
run 0 --html "$work/map.html" --ovmf "$amdsev" --kernel "$data/inputs/kernel.bin" --append "$hostile" --vcpus 4 --vcpu-type EPYC-v4
[ ! -s "$work/out" ] || complain "--html writes to standard output"
well_formed "$work/map.html" >"$work/text" || complain "the map is not well-formed"
grep -qF "$hostile" "$work/text" || complain "the command line is not in the map"
grep -qF "$("$CVMIN" measure --ovmf "$amdsev" --kernel "$data/inputs/kernel.bin" --append "$hostile" --vcpus 4 --vcpu-type EPYC-v4)" \
    "$work/text" || complain "the digest is not in the map"
printf old >"$work/kept.html" # an existing file is replaced as a whole, or stays as it was
run 0 --html "$work/kept.html" --ovmf "$amdsev" --vcpus 1 --vcpu-type EPYC-v4
well_formed "$work/kept.html" >"$work/text" || complain "the replaced map is not well-formed"
grep -q 'there is no hashes page' "$work/text" || complain "the map does not say that the kernel is not covered"
refuses 3 "$work/none/map.html" --html "$work/none/map.html" --ovmf "$amdsev" --vcpus 1 --vcpu-type EPYC-v4

# ---- under a failed snp.measurement ------------------------------------------------------------------------------------
# A verdict over an image that another launch digest was wanted of; the explanation is in the table, and in JSON by schema.
python3 - "$work" "$amdsev" "$data/inputs/kernel.bin" "$data/inputs/initrd.bin" "$line" <<'EOT'
import hashlib, json, os, shutil, sys
work, firmware, kernel, initrd, line = sys.argv[1:]
def file(name, source):
    path = os.path.join(work, name)
    if source:
        shutil.copyfile(source, path)
    data = open(path, "rb").read()
    return {"path": name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
open(os.path.join(work, "cmdline"), "w").write(line)
files = {"kernel": file("bzImage", kernel), "initrd": file("initrd", initrd), "cmdline": file("cmdline", None),
         "firmware": file("OVMF.fd", firmware)}
hashes = {"kernel": files["kernel"]["sha256"], "initrd": files["initrd"]["sha256"],
          "cmdline": hashlib.sha256(line.encode() + b"\0").hexdigest()}
json.dump({"schema": 1, "kind": "cvmin-image", "version": "0.1.0", "debug": False, "files": files,
           "command_line": line, "hashes": hashes, "guest_policy": "0x30000", "guest_features": "0x1",
           "inputs": []}, open(os.path.join(work, "image.json"), "w"))
EOT
run 0 --digest "$four" --image "$work/image.json" --vcpus 2 --vcpu-type EPYC-v4
says 'vcpus 4 instead of 2'
appraise=$CVMIN_SRC/tests/data/appraise
verify() { # ARGS...
    local exit=0
    "$CVMIN" verify "$appraise/evidence.cbor" --session "$appraise/evidence.cbor.session.json" --vcpus 2 --vcpu-type EPYC-v4 \
        --image "$work/image.json" --policy "$CVMIN_SRC/policies/emulated.json" --trust-emulated "$appraise/ark.der" \
        --time 2026-06-01T12:00:00Z "$@" >"$work/out" 2>"$work/err" || exit=$?
    count=$((count + 1))
    [ "$exit" = 1 ] || complain "verify: exit $exit instead of 1: $(cat "$work/err")"
    [ ! -s "$work/err" ] || complain "verify: standard error is not empty: $(cat "$work/err")"
}
verify
says 'Why the launch digest may be another one:' 'no launch near the described one has this digest'
[[ $(tail -n 1 "$work/out") == REFUSED* ]] || complain "verify: the last line is not the decision"
verify --json
python3 - "$work/out" "$CVMIN_SRC/docs/verdict.schema.json" "$appraise/explanation.json" <<'EOT' || complain "verify --json: the explanation does not follow the schema"
import json, sys, jsonschema
verdict, schema, golden = (json.load(open(path)) for path in sys.argv[1:])
assert verdict["explanation"]["result"] == "nothing_near" and not verdict["accepted"]
validator = jsonschema.Draft202012Validator(schema["properties"]["explanation"]) # verify.sh looks at all of it
validator.validate(verdict["explanation"])
validator.validate(golden)
golden["more"] = 1
assert not validator.is_valid(golden)
EOT

# ---- usage: exit 2 --------------------------------------------------------------------------------------------------
vcpu=(--vcpus 2 --vcpu-type EPYC-v4)
refuses 2 "wanted --digest HEX" "${files[@]}" "${vcpu[@]}"
refuses 2 "wanted --image image.json or --ovmf FILE" --digest "$four"
refuses 2 "48 bytes" --digest 00 "${files[@]}"
refuses 2 "48 bytes" --digest "${four}0" "${files[@]}"
refuses 2 "48 bytes" --digest "" "${files[@]}"
refuses 2 "one at a time" --digest "$four" --steps "${files[@]}" "${vcpu[@]}"
refuses 2 "taken from one of them" --digest "$four" --report x "${files[@]}"
refuses 2 "wanted --vcpus N" --steps "${files[@]}"
refuses 2 "wanted --vcpu-type" --steps "${files[@]}" --vcpus 2
refuses 2 "did you mean EPYC-Genoa?" --digest "$four" "${files[@]}" --vcpu-type EPYC-Genova
refuses 2 "--vcpus 0" --digest "$four" "${files[@]}" --vcpus 0
refuses 2 "--vcpus 256" --digest "$four" "${files[@]}" --vcpus 256
refuses 2 "--vmm-type" --digest "$four" "${files[@]}" --vmm-type xen
refuses 2 "--fpu-state" --digest "$four" "${files[@]}" --fpu-state full
refuses 2 "bit 0" --digest "$four" "${files[@]}" --guest-features 0x20
refuses 2 "without --kernel" --digest "$four" --ovmf "$amdsev" --append x
refuses 2 "--image brings" --digest "$four" --image image.json --ovmf "$amdsev"
refuses 2 "--also goes with" --steps "${files[@]}" "${vcpu[@]}" --also "$plain"
refuses 2 "--svsm" --digest "$four" --ovmf "$amdsev" --svsm "$amdsev"
refuses 2 "--memory" --digest "$four" "${files[@]}" --memory lots

# ---- bad input: exit 3 ----------------------------------------------------------------------------------------------
refuses 3 "$work/none" --digest "$four" --ovmf "$work/none"
refuses 3 "$work" --digest "$four" --ovmf "$work"
refuses 3 "/dev/zero" --digest "$four" --ovmf /dev/zero
refuses 3 "$work/none" --digest "$four" "${files[@]}" --also "$work/none"
head -c 65536 /dev/urandom >"$work/noise"
: >"$work/empty"
refuses 3 "ovmf.footer" --digest "$four" --ovmf "$work/noise"
refuses 3 "ovmf.file_size" --digest "$four" --ovmf "$work/empty"
refuses 3 "$work/noise: is neither OVMF" --digest "$four" "${files[@]}" --also "$work/noise"
refuses 3 "$work/noise: is neither an attestation report" --report "$work/noise" "${files[@]}"
refuses 3 "$work/none" --digest "$four" --image "$work/none"
refuses 3 "ovmf.kernel_hashes_section" --steps --ovmf "$plain" --kernel "$data/inputs/kernel.bin" "${vcpu[@]}"

# ---- system: exit 4 -------------------------------------------------------------------------------------------------
exit=0
"$CVMIN" explain --digest "$four" "${files[@]}" >/dev/full 2>"$work/err" || exit=$?
[ "$exit" = 4 ] || complain "a full disk: exit $exit"

echo "explain.sh: $count runs, $failed wrong"
[ "$failed" = 0 ]
