#!/usr/bin/env bash
# A real VM with a vTPM: what the agent hands on is what independent programs (tpm2-tools, tests/tools/evidence.py) work out, how
# long it takes, and what becomes of an initramfs in which somebody else has been at work.
# Needs CVMIN, CVMIN_SRC, CVMIN_BUILD, and an image (CVMIN_IMAGE, else out/image.json). Runs inside the toolchain root.
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
export TPM2TOOLS_TCTI=none

# take VM NAME: evidence with a quote of all PCRs, taken apart in $work/NAME
take() {
    "$CVMIN" attest "$1" --pcrs sha256:all --out "$work/$2.cbor" >/dev/null
    python3 "$CVMIN_SRC/tests/tools/evidence.py" split "$work/$2.cbor" "$work/$2"
}
value() { field "$work/$1/values.json" "$2"; }
# check_quote NAME: by tpm2_checkquote, with the values in the form that tpm2_quote writes
check_quote() {
    python3 - "$work/$1" <<'PY'
import json, pathlib, struct, sys
at = pathlib.Path(sys.argv[1])
pcrs = json.loads((at / "values.json").read_text())["pcrs"]
assert sorted(map(int, pcrs)) == list(range(24))
out = struct.pack("<I", 1) + struct.pack("<HB4sx", 11, 3, b"\xff\xff\xff\0") + bytes(15 * 8) + struct.pack("<I", 3)
for first in (0, 8, 16):
    out += struct.pack("<I", 8) + b"".join(struct.pack("<H64s", 32, bytes.fromhex(pcrs[str(first + i)])) for i in range(8))
(at / "serialized").write_bytes(out)
ak = (at / "ak").read_bytes()
(at / "ak.tpm2b").write_bytes(len(ak).to_bytes(2, "big") + ak)
PY
    tpm2_checkquote -u "$work/$1/ak.tpm2b" -m "$work/$1/attest" -s "$work/$1/signature" -f "$work/$1/serialized" \
        -q "$(value "$1" qualifying)" -g sha256 >"$work/$1.checked" 2>&1 || complain "$1: tpm2_checkquote: $(cat "$work/$1.checked")"
}
same() { # WHAT ONE OTHER
    [ "$2" = "$3" ] || complain "$1: $2 and $3"
}

section "evidence of a CVM with a vTPM"
"$CVMIN" boot --image "$image" --name measured --vtpm --json >"$work/boot.json" || exit 1
take measured one
same members "$(value one members)" \
    "['certificates', 'claims', 'event-log', 'ima-log', 'runtime-log', 'snp-report', 'tpm']"
check_quote one
same "the attestation key of the claims" "$(value one ak)" "$(value one ak_claim)"
same "the log's head of the claims" "$(value one log_head)" "$(value one log_head_claim)"
same "PCR 15 and the log" "$(value one log_pcr)" "$(value one pcrs.15)"
same "PCR 10 and the measurement list" "$(value one ima_pcr)" "$(value one pcrs.10)"
same "executed files" "$(value one ima | grep -o "'path': '[^']*'")" "'path': 'boot_aggregate'"
openssl x509 -inform der -in "$work/one/ek_certificate" -noout 2>"$work/x509.err" || complain "EK certificate: $(cat "$work/x509.err")"

section "the firmware's event log, by tpm2_eventlog"
tpm2_eventlog "$work/one/event-log" >"$work/events.yaml" 2>"$work/events.err" || complain "tpm2_eventlog: $(cat "$work/events.err")"
python3 - "$work/events.yaml" "$work/one/values.json" <<'PY' || complain "the event log does not replay to the quoted values"
import json, re, sys
replayed = re.split(r"^  (?=\w+:$)", open(sys.argv[1]).read().split("\npcrs:\n")[1], flags=re.M)
bank = next(part for part in replayed if part.startswith("sha256:"))
found = {index: value for index, value in re.findall(r"(\d+) *: 0x([0-9a-fA-F]+)", bank)}
quoted = json.load(open(sys.argv[2]))["pcrs"]
assert len(found) >= 8, found
for index, value in found.items():
    if value.lower() != quoted[index]:
        sys.exit(f"PCR {index}: {value} is replayed, {quoted[index]} quoted")
PY

section "more evidence: the key stays, the log grows, the quote is new"
take measured two
check_quote two
same "the attestation key" "$(value one ak)" "$(value two ak)"
[ "$(value one log_head)" != "$(value two log_head)" ] || complain "the second session is not in the log"
same "PCR 15 and the log" "$(value two log_pcr)" "$(value two pcrs.15)"

section "how long it takes"
socket=$("$CVMIN" describe measured --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["vsock_socket"])')
"$CVMIN_BUILD/tests/cvmin-test-latency" --socket "$socket" --rounds 41 --budget-ms 150 >"$work/latency" ||
    complain "over budget: $(cat "$work/latency")"
cat "$work/latency"
"$CVMIN" stop measured >/dev/null

section "an initramfs in which a stranger starts the agent"
python3 - "$image" "$work/altered" "$CVMIN_BUILD/tests" <<'PY'
import hashlib, json, pathlib, shutil, subprocess, sys
image, out, tests = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
shutil.copytree(image.parent, out)
tree = out / "tree"
for directory in ("dev", "proc", "sys", "run"):
    (tree / directory).mkdir(parents=True)
shutil.copy(out / "agent", tree / "agent")
shutil.copy(tests / "cvmin-test-starter", tree / "init")
shutil.copy(tests / "cvmin-test-stranger", tree / "stranger")
names = "\n".join(["dev", "proc", "sys", "run", "agent", "init", "stranger"])
archive = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], input=names.encode(), cwd=tree, check=True, stdout=subprocess.PIPE)
packed = subprocess.run(["zstd", "-q", "-c", "-9"], input=archive.stdout, check=True, stdout=subprocess.PIPE).stdout
manifest = json.loads(image.read_text())
initrd = manifest["files"]["initrd"]
(out / initrd["path"]).write_bytes(packed)
initrd["sha256"] = manifest["hashes"]["initrd"] = hashlib.sha256(packed).hexdigest()
initrd["size"] = len(packed)
(out / "image.json").write_text(json.dumps(manifest))
shutil.rmtree(tree)
PY
"$CVMIN" boot --image "$work/altered/image.json" --name altered --vtpm --json >"$work/boot.json" || exit 1
for _ in $(seq 30); do
    take altered list
    grep -q /stranger "$work/list/values.json" && break
    sleep 0.2
done
check_quote list
same "PCR 10 and the measurement list" "$(value list ima_pcr)" "$(value list pcrs.10)"
same "executed files" "$(value list ima | grep -o "'path': '[^']*'" | paste -sd,)" "'path': 'boot_aggregate','path': '/stranger'"
grep -q "$(sha256sum "$CVMIN_BUILD/tests/cvmin-test-stranger" | cut -d' ' -f1)" "$work/list/values.json" ||
    complain "the list has another file's digest"

section "and is refused by a policy that expects none"
python3 - "$CVMIN_SRC/policies/emulated.json" "$work" "$(sha256sum "$CVMIN_BUILD/tests/cvmin-test-stranger" | cut -d' ' -f1)" <<'PY'
import json, pathlib, sys
policy, work = json.load(open(sys.argv[1])), pathlib.Path(sys.argv[2])
policy["vtpm"] = {"bank": "sha256", "credential": "required", "ek_certificate": "skip", "svsm": "skip"}
policy["event_log"] = "required"
policy["ima"] = {"allowed": []}
(work / "strict.json").write_text(json.dumps(policy))
policy["ima"] = {"allowed": [{"sha256": sys.argv[3], "path": "/stranger"}]}
(work / "lax.json").write_text(json.dumps(policy))
PY
ark=$("$CVMIN" describe altered --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["emulated_ark"])')
# as if the altered image were the one that is wanted: the launch digest is right, and only the list tells
run strict verify --vm altered --image "$work/altered/image.json" --policy "$work/strict.json" --trust-emulated "$ark" --json
same "exit" "$code" 1
same "refused by" "$(python3 -c 'import json, sys
print(" ".join(c["check"] for c in json.load(open(sys.argv[1]))["checks"] if c["outcome"] not in ("passed", "skipped")))' "$work/strict.out")" ima.allowed
run lax verify --vm altered --image "$work/altered/image.json" --policy "$work/lax.json" --trust-emulated "$ark" --json
[ "$code" = 0 ] || complain "refused although it is allowed: $(python3 -c 'import json, sys
print([c for c in json.load(open(sys.argv[1]))["checks"] if c["outcome"] not in ("passed", "skipped")])' "$work/lax.out" 2>&1; cat "$work/lax.err")"
# and for whoever wants the real image it is another machine
run real verify --vm altered --image "$image" --policy "$work/lax.json" --trust-emulated "$ark" --json
same "exit" "$code" 1
grep -q snp.measurement "$work/real.out" || complain "the altered image is not refused by its launch digest"
"$CVMIN" stop altered >/dev/null

all_held
