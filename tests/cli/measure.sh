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
command=measure
# shellcheck source=tests/cli/lib.sh
. "$CVMIN_SRC/tests/cli/lib.sh"
# gives DIGEST ARGS...: exit 0, exactly the digest and a newline on standard output, nothing on standard error
gives() {
    local wanted=$1
    shift
    run 0 "$@"
    printf '%s\n' "$wanted" | cmp -s - "$work/out" || complain "wanted $wanted, found $(cat "$work/out"): $*"
    [ ! -s "$work/err" ] || complain "standard error is not empty: $*"
}


# ---- every case of sev-snp-measure in its own options, and the variants in ours -------------------------------------
# Fields: outcome, CPUID signature and CPU type (or - where the VMM or mode has none), then the arguments.
zstd -dq "$data/fixtures/svsm.bin.zst" -o "$work/svsm.bin"
zstd -dq "$data/fixtures/svsm_ovmf.fd.zst" -o "$work/svsm_ovmf.fd"
cases() { # cases LIST
    python3 - "$data" "$work" "$1" <<'EOF'
import json, os, shlex, sys
data, work, which = sys.argv[1:]
def path(name):
    if name.startswith("debian:"):
        folder = "OVMF" if name.endswith("CODE_4M.fd") else "ovmf"
        return "/usr/share/%s/%s" % (folder, name[len("debian:"):])
    if name.startswith("fixtures/svsm"):
        return os.path.join(work, os.path.basename(name))
    return "/dev/null" if name == "EMPTY" else os.path.join(data, name)
for case in json.load(open(os.path.join(data, "cases.json")))[which]:
    args = ["--mode", case["mode"], "--vmm-type", case["vmm"], "--vcpus", str(case["vcpus"]), "--ovmf", path(case["ovmf"])]
    if which == "cases" or case["mode"] == "snp":
        args += ["--guest-features", hex(case["guest_features"])]
    for option in "kernel", "initrd":
        if case.get(option):
            args += ["--" + option, path(case[option])]
    if case.get("append") is not None and case["kernel"]:
        args += ["--append", case["append"]]
    if case.get("ovmf_hash_seed"):
        args += ["--snp-ovmf-hash", case["ovmf_hash_seed"]]
    if case.get("svsm"):
        args += ["--svsm", path(case["svsm"]), "--vars-size", str(case["vars_size"])]
    if case.get("fpu"):
        args += ["--fpu-state", {"init2": "reset"}.get(case["fpu"], case["fpu"])]
    if case.get("legacy_vm_type"):
        args += ["--legacy-vm-type"]
    signature = hex(case["vcpu_sig"]) if case["vcpu_sig"] else "-"
    model = (case.get("vcpu_type_equiv") or ["-"])[-1]
    print(shlex.join([case.get("expect_digest", "refused"), signature, model] + args))
EOF
}
export CVMIN_QUIET=1
run_cases() { # run_cases LIST DIGESTS/REFUSALS
    local list=$1 wanted=$2 digests=0 refused=0 line outcome signature type
    while read -r line; do
        eval "set -- $line"
        outcome=$1 signature=$2 type=$3
        shift 3
        if [ "$outcome" = refused ]; then
            refused=$((refused + 1))
            [ "$signature" != - ] || signature=0x800f12
            refuses 3 "no kernel-hashes" --vcpu-sig "$signature" "$@"
            continue
        fi
        digests=$((digests + 1))
        if [ "$signature" = - ]; then
            gives "$outcome" "$@"
        else
            gives "$outcome" --vcpu-sig "$signature" "$@"
        fi
        [ "$type" = - ] || gives "$outcome" --vcpu-type "$type" "$@"
    done < <(LC_ALL=C.UTF-8 PYTHONIOENCODING=utf-8 cases "$list")
    [ "$digests/$refused" = "$wanted" ] || complain "$list: other numbers of cases than expected: $digests/$refused"
}
run_cases cases 55/4
run_cases variant_cases 11/0
unset CVMIN_QUIET
gives 086e2e9149ebf45abdc3445fba5b2da8270bdbb04094d7a2c37faaa4b24af3aa16aff8c374c2a55c467a50da6d466b74 \
    --mode snp:ovmf-hash --ovmf "$suffix"

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
run 0 "${one[@]}" --json
python3 - "$work/out" $digest <<'EOF' || complain "--json: $(cat "$work/out")"
import json, sys
found = json.load(open(sys.argv[1]))
wanted = {"schema": 1, "mode": "snp", "vmm_type": "QEMU", "vcpus": 1, "vcpu_type": "EPYC-v4",
          "vcpu_signature": "0x800f12", "guest_features": "0x1", "fpu_state": "reset", "launch_digest": sys.argv[2]}
sys.exit(found != wanted)
EOF
run 0 --help
for mode in snp snp:ovmf-hash snp:svsm seves sev; do
    grep -q "^  cvmin measure --mode $mode " "$work/out" || complain "--help has no example of $mode"
done

# ---- what else sev-snp-measure's users expect -----------------------------------------------------------------------
gives "Calculated SEV_SNP guest measurement: $digest" "${one[@]}" --verbose
gives "Calculated SEV_SNP guest measurement: $digest" "${one[@]}" -v
gives $digest "${one[@]}" --vmm-type qemu
gives "$(sha256sum <"$plain" | cut -c1-64)" --mode sev --ovmf "$plain" --vcpus 7 --vcpu-type EPYC-Rome # neither counts
svsm=(--mode snp:svsm --vcpus 2 --vcpu-type EPYC-v4 --ovmf "$work/svsm_ovmf.fd" --svsm "$work/svsm.bin")
truncate -s 540672 "$work/vars" # only its size counts
svsm_real=4ae03ca013690e956bc1eb16bc1c6465788dba64ad88a650db09216fa9cdddf06167bfce810eba8988108e71458dd68b
gives $svsm_real "${svsm[@]}" --vars-file "$work/vars" --fpu-state zero
run 0 "${svsm[@]}" --vars-file "$work/vars" # sev-snp-measure's digest, but not without a word
grep -q -e '--fpu-state reset' "$work/err" || complain "SVSM with a FPU state that no host sets: $(cat "$work/err")"
run 0 "${svsm[@]}" --vars-file "$work/vars" --fpu-state zero --guest-features 0x21
grep -qx $svsm_real "$work/out" || complain "--guest-features counts in snp:svsm"
grep -q 'guest-features does not count in mode snp:svsm' "$work/err" || complain "ignored without a word"
es=(--mode seves --vcpus 1 --vcpu-type EPYC-v4 --ovmf "$amdsev")
run 0 "${es[@]}"
mv "$work/out" "$work/es"
run 0 "${es[@]}" --sev-features 0x20
if cmp -s "$work/out" "$work/es"; then complain "--sev-features does not count in seves"; fi

# ---- VMSA files -----------------------------------------------------------------------------------------------------
mkdir "$work/vmsa"
two=(--vcpus 2 --vcpu-type EPYC-v4 --ovmf "$suffix")
same_vmsas() { # same_vmsas BSP AP: vmsa0.bin and vmsa1.bin are these
    { cmp "$data/vmsa/$1.bin" "$work/vmsa/vmsa0.bin" && cmp "$data/vmsa/$2.bin" "$work/vmsa/vmsa1.bin"; } >"$work/cmp" 2>&1 ||
        complain "VMSA files: $(cat "$work/cmp")"
    [ "$(cd "$work/vmsa" && echo *)" = 'vmsa0.bin vmsa1.bin' ] || complain "VMSA files: $(cd "$work/vmsa" && echo *)"
}
run 0 "${two[@]}" --dump-vmsa "$work/vmsa"
same_vmsas qemu-EPYC-v4-bsp qemu-EPYC-v4-ap
grep -q 'wrote vmsa0.bin to vmsa1.bin' "$work/err" || complain "--dump-vmsa says nothing: $(cat "$work/err")"
count=$((count + 1))
(cd "$work/vmsa" && "$CVMIN" measure --dump-vmsa "${two[@]}" --vmm-type EC2 >/dev/null 2>"$work/err") || complain "--dump-vmsa here"
same_vmsas ec2-bsp ec2-ap
grep -q 'replaced 2' "$work/err" || complain "--dump-vmsa replaces without a word: $(cat "$work/err")"
run 0 "${two[@]}" --vmm-type GCE --dump-vmsa="$work/vmsa"
same_vmsas gce-bsp gce-ap
refuses 3 "$work/none/vmsa0.bin" "${two[@]}" --dump-vmsa "$work/none"
rm "$work/vmsa/vmsa0.bin" "$work/vmsa/vmsa1.bin"
mkdir "$work/vmsa/vmsa1.bin"
refuses 4 "vmsa1.bin" "${two[@]}" --dump-vmsa "$work/vmsa"
refuses 2 "no VMSA is measured" --mode sev --ovmf "$suffix" --dump-vmsa
refuses 2 "no VMSA is measured" --mode snp:ovmf-hash --ovmf "$suffix" --dump-vmsa

# ---- every model and count ------------------------------------------------------------------------------------------
all_files=(--ovmf "$amdsev" --kernel "$kernel" --initrd "$initrd" --append 'console=ttyS0 root=/dev/vda1 ro panic=-1')
run 0 "${all_files[@]}" --all
[ ! -s "$work/err" ] || complain "--all: $(cat "$work/err")"
[ "$(wc -l <"$work/out")" = $((25 * 255)) ] || complain "--all: $(wc -l <"$work/out") lines"
[ "$(awk 'NF != 3 || $2 !~ /^[0-9]+$/ || length($3) != 96' "$work/out" | wc -l)" = 0 ] || complain "--all: other columns"
[ "$(awk '$1 == "EPYC-Genoa" && $2 == 64 { print $3 }' "$work/out")" = \
    ec47e6244576ffdb6cb083d5043fddfb5aeb52897142df5b01593f25c65990dfae831cc66901eade964166ec8d8cdbb5 ] || complain "--all by awk"
[ "$(grep '^EPYC-Milan-v2 255 ' "$work/out" | cut -d' ' -f3)" = \
    7e437630edc2cca38ac370f1666dd7aa52d4a97e9021fc267983e71bceae86639a8b075e8e8df28ca311dfce226eb8c5 ] || complain "--all by grep"
run 0 "${all_files[@]}" --all --json
python3 - "$work/out" "$data/cases.json" <<'EOF' || complain "--all --json"
import json, sys
found, cases = (json.load(open(name)) for name in sys.argv[1:])
def shape(value): # types, and of a list the one that all its elements have
    if isinstance(value, dict):
        return {key: shape(element) for key, element in value.items()}
    if isinstance(value, list):
        shapes = [shape(element) for element in value]
        return shapes[:1] if all(element == shapes[0] for element in shapes) else shapes
    return type(value).__name__
golden = {"schema": "int", "mode": "str", "vmm_type": "str", "guest_features": "str", "fpu_state": "str",
          "kernel_hashes": {"kernel": "str", "initrd": "str", "cmdline": "str"},
          "cpu_models": [{"models": ["str"], "signature": "str", "launch_digests": ["str"]}]}
assert shape(found) == golden, shape(found)
assert list(found) == list(golden), list(found)
assert (found["schema"], found["mode"], found["vmm_type"], found["guest_features"]) == (1, "snp", "QEMU", "0x1")
entries = found["cpu_models"]
assert len(entries) == 5 and all(len(entry["launch_digests"]) == 255 for entry in entries)
assert len({digest for entry in entries for digest in entry["launch_digests"]}) == 5 * 255
by_model = {model: entry for entry in entries for model in entry["models"]}
assert len(by_model) == 25
checked = 0
for case in cases["cases"]:
    if (case["ovmf"], case["mode"], case["vmm"], case["guest_features"]) == ("debian:OVMF.amdsev.fd", "snp", "qemu", 1) and \
            case["append"] == "console=ttyS0 root=/dev/vda1 ro panic=-1" and case["initrd"]:
        for model in case["vcpu_type_equiv"]:
            assert by_model[model]["launch_digests"][case["vcpus"] - 1] == case["expect_digest"], case["name"]
            assert by_model[model]["signature"] == case["vcpu_sig_hex"], case["name"]
        checked += 1
assert checked == 13, checked
EOF
run 0 --vmm-type GCE --ovmf "$amdsev" --all # its digests depend on no model
gce=$(python3 -c 'import json, sys
print(next(c["expect_digest"] for c in json.load(open(sys.argv[1]))["cases"] if c["name"] == "deb-amdsev-gce-64vcpu"))' "$data/cases.json")
[ "$(awk '$2 == 64 { print $3 }' "$work/out" | sort -u)" = "$gce" ] || complain "--all for GCE"
run 0 --ovmf "$amdsev" --all --output-format base64
grep -qxF "EPYC-v4 1 $base" "$work/out" || complain "--all in base64"

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
refuses 2 "wanted snp, snp:ovmf-hash" "${one[@]}" --mode csv
refuses 2 "wanted QEMU, EC2" "${one[@]}" --vmm-type xen
refuses 2 "--vcpus" --vcpus 99999999999999999999 --vcpu-type EPYC-v4 --ovmf "$amdsev"
refuses 2 "--vcpus" --mode seves --vcpu-type EPYC-v4 --ovmf "$amdsev"
refuses 2 "--vcpu-type" --mode seves --vcpus 1 --ovmf "$amdsev"
refuses 2 "did you mean EPYC-Milan?" --vmm-type EC2 --vcpus 1 --vcpu-type Milan --ovmf "$amdsev"
refuses 2 "--svsm FILE" --mode snp:svsm --vcpus 1 --vcpu-type EPYC-v4 --ovmf "$amdsev"
refuses 2 "--vars-size" "${svsm[@]}"
refuses 2 "--vars-file" "${svsm[@]}" --vars-size 540672 --vars-file "$work/vars"
refuses 2 "not measured under an SVSM" "${svsm[@]}" --vars-size 540672 --kernel "$kernel"
refuses 2 "only QEMU starts an SVSM" "${svsm[@]}" --vars-size 540672 --vmm-type GCE
refuses 2 "snp:svsm" "${one[@]}" --svsm "$work/svsm.bin"
refuses 2 "snp:svsm" "${one[@]}" --vars-size 540672
refuses 2 "--snp-ovmf-hash is for" "${es[@]}" --snp-ovmf-hash $ovmf_hash
refuses 2 "--legacy-vm-type is for" "${one[@]}" --legacy-vm-type
refuses 2 "leave one of them out" "${es[@]}" --legacy-vm-type --fpu-state zero
refuses 2 "wanted reset, zero" "${one[@]}" --fpu-state init
refuses 2 "about QEMU's launches" "${one[@]}" --vmm-type EC2 --fpu-state zero
refuses 2 "it is --guest-features" "${one[@]}" --sev-features 0x1
refuses 2 "bit 0" "${es[@]}" --sev-features 0x21
refuses 2 "bit 0" "${svsm[@]}" --vars-size 540672 --sev-features 0x20
refuses 2 "only the firmware counts" --mode snp:ovmf-hash --ovmf "$amdsev" --kernel "$kernel"
refuses 2 "leave --vcpus" --all --vcpus 1 --ovmf "$amdsev"
refuses 2 "leave --vcpus" --all --vcpu-type EPYC-v4 --ovmf "$amdsev"
refuses 2 "--all is for --mode snp" --all --mode seves --ovmf "$amdsev"
refuses 2 "--all with --dump-vmsa" --all --dump-vmsa --ovmf "$amdsev"
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
for mode in snp snp:ovmf-hash seves sev; do # no mode takes a file without OVMF's footer
    refuses 3 "ovmf.footer" --mode $mode "${vcpu[@]}" --ovmf "$work/garbage"
    refuses 3 "larger than its limit" --mode $mode "${vcpu[@]}" --ovmf /dev/zero
done
truncate -s 4G "$work/sparse"
refuses 3 "larger than its limit" "${vcpu[@]}" --ovmf "$work/sparse"
refuses 3 "larger than its limit" "${one[@]}" --kernel "$work/sparse"
refuses 3 "larger than its limit" "${one[@]}" --kernel "$kernel" --initrd "$work/sparse"
refuses 3 "larger than its limit" "${svsm[@]}" --vars-file "$work/sparse"
refuses 3 "larger than its limit" "${svsm[@]}" --vars-size 4294967296
refuses 3 "--vars-size: svsm.vars_size is out of range" "${svsm[@]}" --vars-size 540671
swapped=(--mode snp:svsm --vcpus 1 --vcpu-type EPYC-v4 --vars-size 540672)
refuses 3 "svsm.info is missing" "${swapped[@]}" --ovmf "$work/svsm_ovmf.fd" --svsm "$work/svsm_ovmf.fd"
refuses 3 "$work/garbage: ovmf.footer" "${swapped[@]}" --ovmf "$work/svsm_ovmf.fd" --svsm "$work/garbage"
refuses 3 "$work/garbage: ovmf.footer" "${swapped[@]}" --ovmf "$work/garbage" --svsm "$work/svsm.bin"
refuses 3 "$work/none" "${swapped[@]}" --ovmf "$work/svsm_ovmf.fd" --svsm "$work/none"
refuses 3 "a kernel of 0 bytes cannot boot" "${one[@]}" --kernel "$work/empty"
refuses 3 "--kernel /dev/null" "${one[@]}" --kernel "$work/empty" # what to do when it was meant
refuses 3 "a kernel of 0 bytes cannot boot" "${one[@]}" --kernel - <"$work/empty"
refuses 3 "a kernel of 0 bytes cannot boot" --mode sev --ovmf "$amdsev" --kernel "$work/empty"
run 0 "${one[@]}" --kernel "$kernel" --initrd "$work/empty" # QEMU takes it, and it is as none
mv "$work/out" "$work/empty-initrd"
grep -q "the digest of no initrd" "$work/err" || complain "an empty initrd without a word: $(cat "$work/err")"
gives "$(cat "$work/empty-initrd")" "${one[@]}" --kernel "$kernel"
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
run 0 --vcpus 2 --vcpu-type EPYC-Genoa --image "$work/image.json" # deb-amdsev-EPYC-Genoa-2vcpu-gf0x21
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
