#!/usr/bin/env bash
# cvmin measure as its users run it: digests against sev-snp-measure's, what goes to which stream, every exit code.
# Needs CVMIN (the command). Firmware named debian:* in the cases comes from the toolchain root.
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
data=$CVMIN_SRC/tests/data/sev-snp-measure
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
amdsev=/usr/share/ovmf/OVMF.amdsev.fd
plain=/usr/share/ovmf/OVMF.fd
suffix=$data/fixtures/ovmf_AmdSev_suffix.bin
kernel=$data/inputs/kernel.bin
initrd=$data/inputs/initrd.bin
: >"$work/empty"
failed=0
count=0

complain() {
    echo "measure.sh: $*" >&2
    failed=$((failed + 1))
}

# run ARGS...: exit code in $code, streams in $work/out and $work/err
run() {
    code=0
    "$CVMIN" measure "$@" >"$work/out" 2>"$work/err" || code=$?
    count=$((count + 1))
}

# gives DIGEST ARGS...: exit 0, exactly the digest and a newline on standard output, nothing on standard error
gives() {
    local wanted=$1
    shift
    run "$@"
    [ "$code" = 0 ] || complain "exit $code instead of 0: $* ($(cat "$work/err"))"
    printf '%s\n' "$wanted" | cmp -s - "$work/out" || complain "wanted $wanted, found $(cat "$work/out"): $*"
    [ ! -s "$work/err" ] || complain "standard error is not empty: $*"
}

# refuses CODE TEXT ARGS...: that exit code, TEXT in the one error line, nothing on standard output
refuses() {
    local wanted=$1 text=$2
    shift 2
    run "$@"
    [ "$code" = "$wanted" ] || complain "exit $code instead of $wanted: $*"
    [ ! -s "$work/out" ] || complain "standard output is not empty: $*"
    [ "$(grep -c '^cvmin measure: error: ' "$work/err")" = 1 ] || complain "not one error line: $*: $(cat "$work/err")"
    grep -qF -- "$text" "$work/err" || complain "no '$text' in '$(cat "$work/err")': $*"
}

# ---- every SNP case of sev-snp-measure under QEMU -------------------------------------------------------------------
# Fields: outcome, CPU type (or -), then the arguments. A kernel of 0 bytes is measured with a note on standard error.
cases() {
    python3 - "$data" <<'EOF'
import json, os, shlex, sys
data = sys.argv[1]
def path(name):
    if name.startswith("debian:"):
        folder = "OVMF" if name.endswith("CODE_4M.fd") else "ovmf"
        return "/usr/share/%s/%s" % (folder, name[len("debian:"):])
    return os.path.join(data, name)
for case in json.load(open(os.path.join(data, "cases.json")))["cases"]:
    if case["mode"] != "snp" or case["vmm"] != "qemu":
        continue
    args = ["--mode", "snp", "--vmm-type", "QEMU", "--vcpus", str(case["vcpus"]), "--ovmf", path(case["ovmf"]),
            "--guest-features", hex(case["guest_features"])]
    if case["kernel"]:
        args += ["--kernel", "/dev/null" if case["kernel"] == "EMPTY" else path(case["kernel"])]
    if case["initrd"]:
        args += ["--initrd", "/dev/null" if case["initrd"] == "EMPTY" else path(case["initrd"])]
    if case["append"] is not None and case["kernel"]:
        args += ["--append", case["append"]]
    if case["ovmf_hash_seed"]:
        args += ["--snp-ovmf-hash", case["ovmf_hash_seed"]]
    outcome = case.get("expect_digest", "refused")
    print(shlex.join([outcome, case["vcpu_sig_hex"], case["vcpu_type_equiv"][-1]] + args))
EOF
}
digests=0
refused=0
export CVMIN_QUIET=1
while read -r line; do
    eval "set -- $line"
    outcome=$1 signature=$2 type=$3
    shift 3
    case $outcome in
    refused)
        refused=$((refused + 1))
        refuses 3 "no kernel-hashes section" --vcpu-sig "$signature" "$@"
        ;;
    *)
        digests=$((digests + 1))
        gives "$outcome" --vcpu-sig "$signature" "$@"
        gives "$outcome" --vcpu-type "$type" "$@"
        ;;
    esac
done < <(LC_ALL=C.UTF-8 PYTHONIOENCODING=utf-8 cases)
[ "$digests/$refused" = 37/2 ] || complain "other numbers of cases than expected: $digests/$refused"
unset CVMIN_QUIET
"$CVMIN" measure --vcpus 1 --vcpu-type EPYC-v4 --ovmf "$amdsev" --kernel "$work/empty" 2>"$work/err" >"$work/out" ||
    complain "an empty kernel is not measured"
grep -q "the kernel is empty" "$work/err" || complain "an empty kernel is measured without a note"

# ---- the same digest by other options -------------------------------------------------------------------------------
digest=d74bd3ea40b240c3228edc5177ce6193561ebff633dbd0be76d6c143b876d65102425c0e2e8a930857c48daa5eacda58
base=10vT6kCyQMMijtxRd85hk1Yev/Yz29C+dtbBQ7h21lECQlwOLoqTCFfEjaperNpY # its bytes, not its text
ovmf_hash=9d0dd8be18c86e3fe3bf0038ed75ebf5340bee69fd2632c8ff9409964575960ae1f7e84be387d2e3467bc3508d1e4806
one=(--vcpus 1 --vcpu-type EPYC-v4 --ovmf "$amdsev")
gives $digest "${one[@]}"
gives $digest --vcpus 1 --vcpu-sig 8392466 --ovmf "$amdsev"
gives $digest --vcpus 1 --vcpu-family 23 --vcpu-model 1 --vcpu-stepping 2 --ovmf "$amdsev"
gives $digest "${one[@]}" --guest-features 0x1 --output-format hex
gives $base "${one[@]}" --output-format base64
gives $digest "${one[@]}" --snp-ovmf-hash $ovmf_hash
gives $digest --vcpus 1 --vcpu-type EPYC-v4 --ovmf - <"$amdsev"
run "${one[@]}" --json
python3 - "$work/out" $digest <<'EOF' || complain "--json: $(cat "$work/out")"
import json, sys
found = json.load(open(sys.argv[1]))
wanted = {"schema": 1, "mode": "snp", "vmm_type": "QEMU", "vcpus": 1, "vcpu_type": "EPYC-v4",
          "vcpu_signature": "0x800f12", "guest_features": "0x1", "launch_digest": sys.argv[2]}
sys.exit(found != wanted)
EOF
run --help
[ "$code" = 0 ] || complain "--help: exit $code"
grep -q 'cvmin measure --mode snp' "$work/out" || complain "--help has no example"

# ---- usage: exit 2 --------------------------------------------------------------------------------------------------
refuses 2 "did you mean EPYC-v4?" --vcpus 1 --vcpu-type epyc-v4 --ovmf "$amdsev"
refuses 2 "did you mean EPYC-Genoa?" --vcpus 1 --vcpu-type EPYC-Genova --ovmf "$amdsev"
refuses 2 "--vcpus 0" --vcpus 0 --vcpu-type EPYC-v4 --ovmf "$amdsev"
refuses 2 "--vcpus 256" --vcpus 256 --vcpu-type EPYC-v4 --ovmf "$amdsev"
refuses 2 "--vcpus" --vcpus 4294967297 --vcpu-type EPYC-v4 --ovmf "$amdsev"
refuses 2 "--vcpus" --vcpus -1 --vcpu-type EPYC-v4 --ovmf "$amdsev"
refuses 2 "--vcpus" --vcpu-type EPYC-v4 --ovmf "$amdsev"
refuses 2 "--vcpu-type" --vcpus 1 --ovmf "$amdsev"
refuses 2 "--vcpu-type" --vcpus 1 --vcpu-type EPYC-v4 --vcpu-sig 0x800f12 --ovmf "$amdsev"
refuses 2 "go together" --vcpus 1 --vcpu-family 23 --vcpu-model 1 --ovmf "$amdsev"
refuses 2 "--vcpu-family" --vcpus 1 --vcpu-family 271 --vcpu-model 1 --vcpu-stepping 2 --ovmf "$amdsev"
refuses 2 "--vcpu-model" --vcpus 1 --vcpu-family 23 --vcpu-model 256 --vcpu-stepping 2 --ovmf "$amdsev"
refuses 2 "--vcpu-stepping" --vcpus 1 --vcpu-family 23 --vcpu-model 1 --vcpu-stepping 16 --ovmf "$amdsev"
refuses 2 "--vcpu-sig" --vcpus 1 --vcpu-sig 800f12 --ovmf "$amdsev"
refuses 2 "--vcpu-sig" --vcpus 1 --vcpu-sig 0x100000000 --ovmf "$amdsev"
refuses 2 "--ovmf" --vcpus 1 --vcpu-type EPYC-v4
refuses 2 "snp only" "${one[@]}" --mode seves
refuses 2 "QEMU only" "${one[@]}" --vmm-type ec2
refuses 2 "wanted hex or base64" "${one[@]}" --output-format octal
refuses 2 "without --kernel" "${one[@]}" --initrd "$initrd"
refuses 2 "without --kernel" "${one[@]}" --append ""
refuses 2 "bit 0" "${one[@]}" --guest-features 0x20
refuses 2 "--guest-features" "${one[@]}" --guest-features 0x1zz
refuses 2 "96 hexadecimal digits" "${one[@]}" --snp-ovmf-hash 00
refuses 2 "--image" "${one[@]}" --image "$work/image.json"
refuses 2 "--unknown" "${one[@]}" --unknown

# ---- bad input: exit 3 ----------------------------------------------------------------------------------------------
vcpu=(--vcpus 1 --vcpu-type EPYC-v4)
refuses 3 "no kernel-hashes section" "${vcpu[@]}" --ovmf "$plain" --kernel "$kernel"
refuses 3 "$work/none" "${vcpu[@]}" --ovmf "$work/none"
refuses 3 "$work/none" "${one[@]}" --kernel "$work/none"
refuses 3 "$work/none" "${one[@]}" --kernel "$kernel" --initrd "$work/none"
refuses 3 "$work/none" "${vcpu[@]}" --image "$work/none"
refuses 3 "file_size" "${vcpu[@]}" --ovmf "$work/empty"
refuses 3 "file" "${vcpu[@]}" --ovmf "$work"
head -c 4194303 "$amdsev" >"$work/short"
refuses 3 "ovmf.file_size" "${vcpu[@]}" --ovmf "$work/short"
head -c 4190208 "$amdsev" >"$work/front"
refuses 3 "ovmf.footer" "${vcpu[@]}" --ovmf "$work/front"
head -c 65536 /dev/urandom >"$work/garbage"
refuses 3 "ovmf.footer" "${vcpu[@]}" --ovmf "$work/garbage"
truncate -s 65M "$work/large"
refuses 3 "larger than its limit" "${vcpu[@]}" --ovmf "$work/large"
refuses 3 "larger than its limit" "${one[@]}" --kernel "$work/large"
printf '{' >"$work/image.json"
refuses 3 "image" "${vcpu[@]}" --image "$work/image.json"
cp "$suffix" "$work/type" # the first section becomes type 5
printf '\005' | dd of="$work/type" bs=1 seek=$((2732 + 16 + 8)) conv=notrunc status=none
refuses 3 "ovmf.metadata.section.type" "${vcpu[@]}" --ovmf "$work/type"

# ---- an image instead of files --------------------------------------------------------------------------------------
# The image of the cases with a kernel; its guest features are those of image.json.
image() { # image FEATURES
    python3 - "$work" "$1" "$amdsev" "$kernel" "$initrd" 'console=ttyS0 root=/dev/vda1 ro panic=-1' <<'EOF'
import hashlib, json, os, shutil, sys
work, features, firmware, kernel, initrd, line = sys.argv[1:]
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
           "command_line": line, "hashes": hashes, "guest_policy": "0x30000", "guest_features": features,
           "inputs": []}, open(os.path.join(work, "image.json"), "w"))
EOF
}
image 0x1
of_image=76a511ee649ae0fb55dfebde35edb841d7856060a0286e217368251ab69aaf0b855ebe305e4ae93d151b43cc4a986e5b
gives $of_image "${vcpu[@]}" --image "$work/image.json"

# the same image, called a debug image: verify says so beside the digest, and send keeps away from it unless told otherwise
sed -i 's/"debug": false/"debug": true/' "$work/image.json"
appraise=$CVMIN_SRC/tests/data/appraise
count=$((count + 1))
"$CVMIN" verify "$appraise/evidence.cbor" --session "$appraise/evidence.cbor.session.json" "${vcpu[@]}" --image "$work/image.json" \
    --policy "$CVMIN_SRC/policies/emulated.json" >"$work/out" 2>"$work/err" || true
grep -q '^at .*, DEBUG image$' "$work/out" || complain "verify does not name a debug image: $(cat "$work/out" "$work/err")"
sends() { # WANTED_CODE TEXT OPTION...: cvmin send ends with this code and says this
    local wanted=$1 text=$2 code=0
    shift 2
    "$CVMIN" send no-such-vm --secret-name k --file "$work/cmdline" --image "$work/image.json" \
        --policy "$CVMIN_SRC/policies/emulated.json" "$@" >"$work/out" 2>"$work/err" || code=$?
    count=$((count + 1))
    [ "$code" = "$wanted" ] || complain "send: exit $code instead of $wanted: $(cat "$work/err")"
    grep -qF -- "$text" "$work/err" || complain "send: no '$text' in $(cat "$work/err")"
}
sends 2 'is a DEBUG image'
sends 3 'no-such-vm' --allow-debug
image 0x1
sends 3 'no-such-vm'
(cd "$work" && gives $of_image "${vcpu[@]}" --image image.json && [ "$failed" = 0 ]) || complain "--image of the working directory"
image 0x21
run --vcpus 2 --vcpu-type EPYC-Genoa --image "$work/image.json" # deb-amdsev-EPYC-Genoa-2vcpu-gf0x21
[[ $(cat "$work/out") == 8170cdf238282330c052477504ac1962e5f7c3949a85811aac82fae7c2ad988e16a52fe0692666ab* ]] ||
    complain "guest features of an image: $(cat "$work/out" "$work/err")"
printf 'x' | dd of="$work/bzImage" bs=1 seek=1000 conv=notrunc status=none
refuses 3 "image.kernel" "${vcpu[@]}" --image "$work/image.json"
image 0x1
printf 'x' >>"$work/initrd"
refuses 3 "image.initrd" "${vcpu[@]}" --image "$work/image.json"
image 0x1
sed -i 's/ro panic=-1/rw panic=-1/' "$work/image.json"
refuses 3 "image" "${vcpu[@]}" --image "$work/image.json"
image 0x1
rm "$work/OVMF.fd"
refuses 3 "image.firmware" "${vcpu[@]}" --image "$work/image.json"

# ---- system: exit 4 -------------------------------------------------------------------------------------------------
code=0
"$CVMIN" measure "${one[@]}" >/dev/full 2>"$work/err" || code=$?
[ "$code" = 4 ] || complain "a full disk: exit $code"
grep -q "standard output" "$work/err" || complain "a full disk: $(cat "$work/err")"

echo "measure.sh: $count runs, $failed wrong"
[ "$failed" = 0 ]
