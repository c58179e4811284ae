#!/usr/bin/env bash
# cvmin build --firmware source, without building edk2 (that is image_firmware_long): the key, what it refuses and with which
# words, and what an image records of its firmware. The firmware in the cache is Debian's with one byte changed.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
export CVMIN_QUIET=1
shared=$CVMIN_CACHE

# ---- the key: script, root and sources; nothing else --------------------------------------------------------------------
copy_source "$work/tree"
key() { CVMIN_SRC=$work/tree "$work/tree/image/firmware.sh" --key; }
first=$(key)
[[ $first =~ ^[0-9a-f]{16}$ ]] || broken "key: $first"
[ "$first" = "$("$CVMIN_SRC/image/firmware.sh" --key)" ] || broken "the key follows the directory"
for file in image/firmware.sh toolchain/firmware.lock toolchain/firmware-sources.lock; do
    cp "$work/tree/$file" "$work/saved"
    case $file in
    *sources.lock) sed -i -E '/source$/s/^[0-9a-f]{4}/abcd/' "$work/tree/$file" ;;
    *) echo '# more' >>"$work/tree/$file" ;;
    esac
    [ "$(key)" != "$first" ] || broken "the key does not follow $file"
    cp "$work/saved" "$work/tree/$file"
done
for file in toolchain/debs.lock toolchain/sources.lock image/kernel.config; do echo '# more' >>"$work/tree/$file"; done
[ "$(key)" = "$first" ] || broken "the key follows what does not decide a byte"

# ---- locks ----------------------------------------------------------------------------------------------------------------
refuses_lock() { # what makes it wrong
    cp "$CVMIN_SRC/toolchain/firmware-sources.lock" "$work/tree/toolchain/"
    sed -i -E "$1" "$work/tree/toolchain/firmware-sources.lock"
    CVMIN_SRC=$work/tree expect 3 "$work/tree/image/firmware.sh" --key
    one_error "does not have exactly one line for edk2's $2"
}
refuses_lock '/ packaging$/d' packaging
refuses_lock '/ source$/p' source
refuses_lock '/ source$/s/^./x/' source
refuses_lock '/ source$/s/ edk2 / edk3 /' source
cp "$CVMIN_SRC/toolchain/firmware-sources.lock" "$work/tree/toolchain/"
awk '!/^#/ { ++n; bad += NF != 6 || length($1) != 64 } END { exit bad || n < 100 }' "$CVMIN_SRC/toolchain/firmware.lock" ||
    broken "firmware.lock"

# ---- what is missing is named, with the command that mends it, before anything is built -----------------------------------
export CVMIN_CACHE=$work/cache
mkdir -p "$CVMIN_CACHE/dl" "$work/root"
build() { timeout 120 "$CVMIN" build --out "$work/out" "$@"; }
CVMIN_FIRMWARE=$work/root expect 4 build --firmware source
one_error "the root that the firmware is built in is missing; run: ./dev firmware"
touch "$work/root/.complete"
CVMIN_FIRMWARE=$work/root expect 4 build --firmware source
one_error "is not in the cache; run: ./dev firmware"
while read -r sha _; do
    [[ $sha == \#* ]] || echo other >"$CVMIN_CACHE/dl/$sha"
done <"$CVMIN_SRC/toolchain/firmware-sources.lock"
CVMIN_FIRMWARE=$work/root expect 3 build --firmware source
one_error "is not edk2_"
expect 2 build --firmware other
expect 2 build --rebuild-firmware
one_error "--firmware source"
expect 2 "$CVMIN_SRC/image/firmware.sh" -j 0
expect 2 "$CVMIN_SRC/image/firmware.sh" --other
[ ! -e "$work/out" ] || broken "something was built"
rm -r "$CVMIN_CACHE/dl"

# ---- what an image records ------------------------------------------------------------------------------------------------
for path in "$shared"/*; do
    case $(basename "$path") in firmware-* | agent-* | *.lock) ;; *) ln -s "$path" "$CVMIN_CACHE/" ;; esac
done
read -r pinned < <(sed -n 's/^[0-9a-f]\{64\} [0-9]* //p' "$CVMIN_SRC/image/firmware.pin")
mkdir "$CVMIN_CACHE/firmware-$first"
python3 - "$pinned" "$CVMIN_CACHE/firmware-$first/OVMF.fd" <<'PY'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[0x1000] ^= 1
open(sys.argv[2], "wb").write(data)
PY
expect 0 build --firmware source
same "$work/out/OVMF.fd" "$CVMIN_CACHE/firmware-$first/OVMF.fd"
python3 - "$work/out" "$CVMIN_SRC" <<'PY'
import hashlib, json, sys
out, source = sys.argv[1:]
inputs = {(i["kind"], i["name"]): i["sha256"] for i in json.load(open(out + "/image.json"))["inputs"]}
digest = lambda name: hashlib.sha256(open(f"{source}/{name}", "rb").read()).hexdigest()
assert inputs["recipe", "image/firmware.sh"] == digest("image/firmware.sh")
assert inputs["toolchain", "toolchain/firmware.lock"] == digest("toolchain/firmware.lock")
assert ("recipe", "image/firmware.pin") not in inputs
pins = [line.split() for line in open(source + "/toolchain/firmware-sources.lock") if not line.startswith("#")]
for sha, size, path, *rest in pins:
    assert inputs["source", path.split("/")[-1]] == sha
parts = {s["name"]: s for s in json.load(open(out + "/audit.json"))["sources"]}
assert parts["edk2"]["part"] == "firmware" and parts["edk2"]["version"] == pins[0][4], parts["edk2"]
assert "Apache-2.0" in parts["edk2"]["licence"] and parts["ovmf-amdsev"]["part"] == "-"
assert json.load(open(out + "/reference-values.json"))["firmware"] == hashlib.sha256(open(out + "/OVMF.fd", "rb").read()).hexdigest()
PY
expect 0 "$CVMIN" build --out "$work/package"
! grep -q 'edk2\|firmware.lock\|firmware.sh' "$work/package/image.json" "$work/package/audit.json" ||
    broken "an image of Debian's binary names edk2's sources"
expect 1 "$CVMIN" image diff "$work/package" "$work/out"
grep -q '^launch digests: not the same, because of: firmware$' "$work/stdout" || broken "diff: $(head -n 1 "$work/stdout")"
grep -q 'firmware, first at byte 0x1000: ' "$work/stdout" || broken "diff does not name the byte: $(grep firmware "$work/stdout")"
grep -q 'image/firmware.sh: nothing | ' "$work/stdout" || broken "diff does not name the recipe"

# ---- reproduce takes it as it was made; another firmware is another image ---------------------------------------------------
refuses() { # STATUS TEXT ARGS...
    expect "$1" timeout 20 "$CVMIN" reproduce --cached-kernel "${@:3}"
    one_error "$2"
}
while read -r sha _; do
    [[ $sha == \#* ]] || [ -f "$shared/dl/$sha" ] || sources_missing=1
done <"$CVMIN_SRC/toolchain/firmware-sources.lock"
if [ -z "${sources_missing:-}" ]; then
    CVMIN_FIRMWARE=$work/none refuses 4 "run: ./dev firmware" "$work/out"
    refuses 4 "user cannot be varied" "$work/out" --vary user
    expect 0 "$CVMIN" reproduce "$work/out" --cached-kernel --cached-firmware
    grep -q 'the firmware was not built again: it came from the cache' "$work/stdout" || broken "reproduce does not say so"
else
    echo "note: edk2's sources are not in the cache (./dev firmware): reproduce was not tried with them"
fi
refuses 2 "Debian's binary" "$work/package" --cached-firmware
