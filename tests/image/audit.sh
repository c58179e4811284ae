#!/usr/bin/env bash
# cvmin image list, inspect and diff, on the built image (CVMIN_IMAGE, default out/) and on images made of it in which one thing
# is different; as other programs see it: GNU cpio, readelf, the resolved configuration, the locks. Then bad inputs.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
out=${CVMIN_IMAGE:-$CVMIN_SRC/out}
[ -f "$out/audit.json" ] || broken "no image with an audit.json in $out: run cvmin build first"

# ---- list, against GNU cpio and sha256sum ---------------------------------------------------------------------------
expect 0 "$CVMIN" image list "$out"
zstd -q -d -c "$out/initrd.zst" >"$work/initrd"
mkdir "$work/unpacked"
(cd "$work/unpacked" && cpio -i --quiet <"$work/initrd")
cpio -itv --numeric-uid-gid --quiet <"$work/initrd" | awk '{ print $1, $3 ":" $4, ($1 ~ /^d/ ? 0 : $5), $9 }' >"$work/wanted"
[ -s "$work/wanted" ] || broken "GNU cpio lists nothing"
awk '{ print $1, $2, $3, $5 }' "$work/stdout" >"$work/found"
same "$work/wanted" "$work/found"
while read -r mode _ _ digest name; do
    [[ $mode == -* ]] || continue
    [ "$(sha256sum <"$work/unpacked/$name" | cut -d' ' -f1)" = "$digest" ] || broken "sha256 of $name"
done <"$work/stdout"

# ---- inspect, against the fragment, the resolved configuration, and the locks --------------------------------------
expect 0 "$CVMIN" image inspect "$out"
grep -q 'CONFIG_SEV_GUEST=y .*asks the AMD-SP for reports' "$work/stdout" || broken "inspect: no reason of CONFIG_SEV_GUEST"
grep -q 'musl-dev .* MIT$' "$work/stdout" || broken "inspect: no licence of musl"
expect 0 "$CVMIN" image inspect --json "$out/image.json"
kernel=$CVMIN_CACHE/kernel-$("$CVMIN_SRC/image/kernel.sh" --key)
python3 - "$work/stdout" "$kernel/config" "$CVMIN_SRC" "$out/image.json" <<'PY'
import hashlib, json, re, sys
inspected, source = json.load(open(sys.argv[1])), sys.argv[3]
assert inspected["schema"] == 1 and inspected["image"] == json.load(open(sys.argv[4]))
config = open(sys.argv[2], "rb").read()
recorded = {i["name"]: i["sha256"] for i in inspected["image"]["inputs"]}
# the tree may have moved on since the image was built; then the configuration in the cache is another one's
fresh = recorded["resolved kernel configuration"] == hashlib.sha256(config).hexdigest()
values = dict(re.findall(r"^CONFIG_(\w+)=(.*)$", config.decode(), re.M))
options = {o["name"]: o for o in inspected["kernel_options"]}
assert len(options) == len(inspected["kernel_options"]) > 300
fragment = open(source + "/image/kernel.config", "rb").read()
if fresh and recorded["image/kernel.config"] == hashlib.sha256(fragment).hexdigest():
    last = None
    for line in fragment.decode().splitlines():
        found = re.match(r"CONFIG_(\w+)=(\S+|\"[^\"]*\")\s+# (.*)$", line)
        if not found: continue
        name, value, reason = found.groups()
        last = reason = last if reason == "the same" else reason
        option = options.pop(name)
        assert (option["origin"], option["reason"]) == ("asked", reason), option
        assert option["value"] == value == values.get(name, "n"), option
    for option in options.values():
        assert option["origin"] in ("selected", "default") and option["value"] != option["base"], option
        assert option["value"] == values.get(option["name"], "n"), option
        if option["origin"] == "selected":
            assert all(by in values for by in option["reason"].split(", ")), option
else:
    print("note: the image is of another kernel than this tree's; its options were not compared")

packages = {}
for lock in ("sources.lock", "debs.lock"):
    for line in open(f"{source}/toolchain/{lock}"):
        if not line.startswith("#") and line.strip():
            words = line.split()
            packages.setdefault(words[3], words[4])
sources = {s["name"]: s for s in inspected["sources"]}
for line in open(source + "/toolchain/sources.lock"):
    if not line.startswith("#"): assert line.split()[3] in sources, "no licence: " + line
spdx = {"GPL-2.0-only", "GPL-2.0-or-later", "Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "BSD-2-Clause-Patent",
        "Linux-syscall-note", "LLVM-exception"}
for name, entry in sources.items():
    words = re.split(r" (?:AND|OR|WITH) ", entry["licence"])
    assert set(words) <= spdx, entry
    assert name == "cvmin" or entry["version"] == packages[name] or not fresh, entry
PY

# ---- diff: images in which one thing is different -------------------------------------------------------------------
cat >"$work/variant.py" <<'PY'
import hashlib, json, os, shutil, struct, subprocess, sys
source, target, what, *rest = sys.argv[1:]
shutil.copytree(source, target)
path = lambda name: os.path.join(target, name)
read = lambda name: open(path(name), "rb").read()
manifest = json.loads(read("image.json"))
def put(kind, data):
    name = manifest["files"][kind]["path"]
    open(path(name), "wb").write(data)
    manifest["files"][kind].update(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
zstd = lambda data, level=1: subprocess.run(["zstd", "-q", f"-{level}", "-c"], input=data, capture_output=True, check=True).stdout
unzstd = lambda data: subprocess.run(["zstd", "-q", "-d", "-c"], input=data, capture_output=True, check=True).stdout
flip = lambda data, at: data[:at] + bytes([data[at] ^ 0xff]) + data[at + 1:]
kernel, archive = read("bzImage"), unzstd(read("initrd.zst"))
def entry(name): # of the archive: start of the header, start and size of the data
    at = 0
    while True:
        size, names = int(archive[at + 54:at + 62], 16), int(archive[at + 94:at + 102], 16)
        data = at + 110 + names + 3 & ~3
        if archive[at + 110:at + 110 + names - 1] == name: return at, data, size
        at = data + size + 3 & ~3
if what == "init": put("initrd", zstd(flip(archive, entry(b"init")[1] + int(rest[0], 0))))
elif what == "level": put("initrd", zstd(archive, 3))
elif what == "mode": put("initrd", zstd(archive[:entry(b"run")[0] + 14] + b"000041C0" + archive[entry(b"run")[0] + 22:]))
elif what == "gone": put("initrd", zstd(archive[:entry(b"run")[0]] + archive[entry(b"sys")[0]:]))
elif what == "headers": put("kernel", flip(kernel, 0x20))
elif what == "vmlinux": # the payload, at another place and less compressed, with one byte of vmlinux changed or none
    offset, length = struct.unpack_from("<II", kernel, 0x248)
    start = (kernel[0x1f1] + 1) * 512
    inner = unzstd(kernel[start + offset:start + offset + length - 4])
    if rest: inner = flip(inner, int(rest[0], 0))
    payload = zstd(inner) + struct.pack("<I", len(inner))
    put("kernel", kernel[:0x248] + struct.pack("<II", len(kernel) - start, len(payload)) + kernel[0x250:] + payload)
    open(target + ".vmlinux", "wb").write(inner)
elif what == "firmware": put("firmware", flip(read("OVMF.fd"), 0x12345))
elif what == "line":
    manifest["command_line"] += " " + rest[0]
    put("cmdline", manifest["command_line"].encode())
    audit = json.loads(read("audit.json"))
    audit["command_line"].append({"parameter": rest[0], "reason": "a test"})
    put("audit", json.dumps(audit).encode())
elif what == "option":
    audit = json.loads(read("audit.json"))
    next(o for o in audit["kernel_options"] if o["name"] == rest[0])["value"] = rest[1]
    put("audit", json.dumps(audit).encode())
elif what == "input": next(i for i in manifest["inputs"] if i["name"] == rest[0])["sha256"] = "0" * 64
elif what == "no-audit":
    os.remove(path("audit.json"))
    del manifest["files"]["audit"]
elif what == "file": put(rest[0], open(rest[1], "rb").read())
else: sys.exit(what)
manifest["hashes"] = {"kernel": manifest["files"]["kernel"]["sha256"], "initrd": manifest["files"]["initrd"]["sha256"],
                      "cmdline": hashlib.sha256(manifest["command_line"].encode() + b"\0").hexdigest()}
open(path("image.json"), "w").write(json.dumps(manifest))
PY
variant() { rm -rf "$work/v-$1" && python3 "$work/variant.py" "${base:-$out}" "$work/v-$1" "${@:2}"; }
# differs BASE NAME BECAUSE LINES...: what `diff` names, as "path path @offset", is exactly LINES
differs() {
    expect 1 "$CVMIN" image diff --json "$1" "$work/v-$2"
    python3 - "$work/stdout" "$3" "${@:4}" <<'PY' || broken "diff of $2"
import json, sys
diff = json.load(open(sys.argv[1]))
found = [": ".join(d["path"]) + ("" if d["offset"] is None else f" @{d['offset']:#x}") for d in diff["differences"]]
assert found == sys.argv[3:], found
assert not diff["same"] and diff["left_out"] == 0
assert ", ".join(diff["because_of"]) == sys.argv[2] and diff["same_launch_digest"] == (sys.argv[2] == ""), diff["because_of"]
assert all(d["first"] != d["second"] for d in diff["differences"])
PY
}
# first FILE FILE: offset of the first differing byte, as cmp(1) says
first() { printf '0x%x' $(($(cmp "$1" "$2" | sed -E 's/.*(byte|char) ([0-9]+).*/\2/') - 1)); }
# section FILE NAME: its offset in the file, as readelf says
section() { readelf -SW "$1" | sed -nE "s/^ *\[ *[0-9]+\] \\$2 +[A-Z]+ +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+) .*/\1 \2/p"; }

cp -r "$out" "$work/v-copy"
expect 0 "$CVMIN" image diff "$out" "$work/v-copy/image.json"
grep -q '^same: ' "$work/stdout" || broken "a copy is not the same"

variant level level
differs "$out" level initrd "initrd: (compression) @$(first "$out/initrd.zst" "$work/v-level/initrd.zst")"
read -r text_at text_size < <(section "$out/agent" .text)
[ -n "$text_size" ] || broken "readelf finds no .text in the agent"
variant text init $((0x$text_at + 0x77))
differs "$out" text initrd "initrd: init: .text @0x77"
variant mode mode
differs "$out" mode initrd "initrd: run: mode"
variant gone gone
differs "$out" gone initrd "initrd: run"
variant headers headers
differs "$out" headers kernel "kernel: (headers) @0x20"
variant firmware firmware
differs "$out" firmware firmware "firmware @0x12345"
variant line line loglevel=7
differs "$out" line "command line" "command line: loglevel" "audit @$(first "$out/audit.json" "$work/v-line/audit.json")"
variant input input image/kernel.config
differs "$out" input "" "input: recipe: image/kernel.config"
variant none no-audit
expect 1 "$CVMIN" image diff "$out" "$work/v-none"
grep -q 'kernel options were not compared' "$work/stdout" || broken "diff is silent about options it cannot know"
expect 0 "$CVMIN" image inspect "$work/v-none"
grep -q 'licences: not available' "$work/stdout" || broken "inspect is silent about what it cannot know"
variant plain vmlinux
read -r rodata_at _ < <(section "$work/v-plain.vmlinux" .rodata)
base=$work/v-plain variant rodata vmlinux $((0x$rodata_at + 0x1234))
expect 1 "$CVMIN" image diff "$work/v-plain" "$work/v-rodata"
grep -q '^  kernel: vmlinux: .rodata, first at byte 0x1234: ' "$work/stdout" || broken "diff does not find the section of vmlinux"
variant option option SMP n
expect 1 "$CVMIN" image diff "$out" "$work/v-option"
grep -qx '  kernel option: CONFIG_SMP: y | n' "$work/stdout" || broken "diff does not name the option"

# ---- bad input ------------------------------------------------------------------------------------------------------
refuses() { # TEXT IMAGE: list, inspect and diff all do
    for command in list inspect "diff $out"; do
        # shellcheck disable=SC2086 # words are meant to split
        expect 3 "$CVMIN" image $command "$2"
        one_error "$1"
        [ ! -s "$work/stdout" ] || broken "$command prints something about $2"
    done
}
refuses "$work/none: file is missing" "$work/none"
mkdir "$work/empty"
refuses "$work/empty/image.json" "$work/empty"
refuses "/dev/zero" /dev/zero
refuses "bzImage: file is larger" "$out/bzImage"
head -c 2000000 /dev/zero >"$work/huge.json"
refuses "$work/huge.json: file is larger than its limit" "$work/huge.json"
cp -r "$out" "$work/v-cut" && truncate -s -1 "$work/v-cut/initrd.zst"
refuses "image.initrd" "$work/v-cut"
cp -r "$out" "$work/v-lost" && rm "$work/v-lost/bzImage"
refuses "image.kernel" "$work/v-lost"
cp -r "$out" "$work/v-audit" && echo >>"$work/v-audit/audit.json"
refuses "audit.json" "$work/v-audit"
for bad in '[]' '{' '{"schema":9}'; do
    printf %s "$bad" >"$work/audit"
    variant reasons file audit "$work/audit"
    refuses "audit" "$work/v-reasons"
done
cp -r "$out" "$work/v-sparse" && truncate -s 3G "$work/v-sparse/bzImage"
refuses "image.kernel" "$work/v-sparse"

# archives whose digests are right, and which are no archives; diff says what it can: the bytes
listing_refuses() { # TEXT FILE
    variant archive file initrd "$2"
    for command in list inspect; do
        expect 3 "$CVMIN" image $command "$work/v-archive"
        one_error "$1"
        [ ! -s "$work/stdout" ] || broken "$command prints something"
    done
    expect 1 "$CVMIN" image diff "$out" "$work/v-archive"
    grep -qE '^  initrd(: \(archive\))?, first at byte ' "$work/stdout" || broken "diff says nothing about $1"
}
head -c -100 "$out/initrd.zst" >"$work/short.zst"
listing_refuses "initrd.zstd ends too early" "$work/short.zst"
head -c 600M /dev/zero | zstd -q -c >"$work/bomb.zst"
[ "$(stat -c %s "$work/bomb.zst")" -lt 200000 ] || broken "not much of a bomb"
listing_refuses "initrd.zstd is larger than its limit" "$work/bomb.zst"
(cat "$out/initrd.zst" && echo more) >"$work/more.zst"
listing_refuses "initrd.zstd has bytes after its end" "$work/more.zst"
head -c -200 "$work/initrd" | zstd -q -c >"$work/cut.zst"
listing_refuses "newc" "$work/cut.zst"
head -c 5000 "$out/bzImage" >"$work/noise"
listing_refuses "initrd.zstd is not well-formed" "$work/noise"

expect 2 "$CVMIN" image
expect 2 "$CVMIN" image list
expect 2 "$CVMIN" image diff "$out"
expect 2 "$CVMIN" image burn "$out"
status=0
"$CVMIN" image list "$out" >/dev/full 2>/dev/null || status=$?
[ $status = 4 ] || broken "a full disk: exit $status"
echo "list and inspect agree with cpio, the configuration and the locks; diff finds one byte in each part; bad input is refused"
