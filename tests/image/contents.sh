#!/usr/bin/env bash
# The built image (CVMIN_IMAGE, default out/): its manifest against the schema, digests computed by other programs, contents of the
# initramfs as GNU cpio and zstd see them, and the published launch digests against `cvmin measure`.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
out=${CVMIN_IMAGE:-$CVMIN_SRC/out}
[ -f "$out/image.json" ] || broken "no image in $out: run cvmin build first"

python3 - "$out" "$CVMIN_SRC/docs/image.schema.json" <<'PY'
import hashlib, json, jsonschema, os, sys
out, schema = sys.argv[1], json.load(open(sys.argv[2]))
image = json.load(open(os.path.join(out, "image.json")))
jsonschema.Draft202012Validator.check_schema(schema)
jsonschema.validate(image, schema)
read = lambda name: open(os.path.join(out, name), "rb").read()
sha256 = lambda data: hashlib.sha256(data).hexdigest()
for name, file in image["files"].items():
    data = read(file["path"])
    assert (len(data), sha256(data)) == (file["size"], file["sha256"]), name
assert sorted(os.listdir(out)) == sorted([f["path"] for f in image["files"].values()] + ["image.json"]), os.listdir(out)
assert image["command_line"].encode() == read("cmdline")
assert image["hashes"]["cmdline"] == sha256(read("cmdline") + b"\0")
assert image["hashes"]["kernel"] == sha256(read("bzImage")) and image["hashes"]["initrd"] == sha256(read("initrd.zst"))
assert read("OVMF.fd") == open("/usr/share/ovmf/OVMF.amdsev.fd", "rb").read()
kinds = [i["kind"] for i in image["inputs"]]
assert {"source", "toolchain", "recipe", "tree"} == set(kinds), kinds
names = [i["name"] for i in image["inputs"]]
assert len(names) == len(set(names))
for wanted in ("linux-source-6.12_6.12.117-1_all.deb", "toolchain/debs.lock", "image/kernel.config", "image/kernel.sh",
               "image/firmware.pin", "resolved kernel configuration", "image/patches/0001-acpi-no-memory-for-host-tables.patch",
               "image/patches/0002-yama-nobody-is-traced.patch", "image/hardening.list"):
    assert wanted in names, wanted
PY

zstd -q -d -c "$out/initrd.zst" >"$work/initrd" || broken "zstd does not take initrd.zst"
listing=$(cpio -itv --numeric-uid-gid --quiet <"$work/initrd" | awk '{ print $1, $2, $3, $4, $6, $7, $8, $9 }')
[ "$listing" = "drwxr-xr-x 2 0 0 Jan 1 1970 dev
-rwxr-xr-x 1 0 0 Jan 1 1970 init
drwxr-xr-x 2 0 0 Jan 1 1970 proc
drwxr-xr-x 2 0 0 Jan 1 1970 run
drwxr-xr-x 2 0 0 Jan 1 1970 sys" ] || broken "initramfs holds: $listing"
(cd "$work" && cpio -i --quiet init <initrd)
same "$work/init" "$out/agent"
file=$(readelf -hdl "$out/agent")
grep -q 'DYN (Position-Independent Executable file)' <<<"$file" || broken "the agent is not position independent"
! grep -qE 'NEEDED|INTERP' <<<"$file" || broken "the agent is not static"

value() { python3 -c 'import json, sys
for m in json.load(open(sys.argv[1]))["cpu_models"]:
    if sys.argv[2] in m["models"]: assert len(m["launch_digests"]) == 255; print(m["launch_digests"][int(sys.argv[3]) - 1])' \
    "$out/reference-values.json" "$@"; }
for case in "EPYC-v4 1" "EPYC-Milan 2" "EPYC-Genoa 255"; do
    read -r model vcpus <<<"$case"
    expect 0 "$CVMIN" measure --image "$out/image.json" --mode snp --vcpus "$vcpus" --vcpu-type "$model"
    [ "$(value "$model" "$vcpus")" = "$(cat "$work/stdout")" ] || broken "reference value of $case is not what measure says"
done
expect 0 "$CVMIN" corim verify "$out/reference-values.corim" --image "$out/image.json"
echo "manifest, files, initramfs and reference values agree"
