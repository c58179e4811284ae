#!/usr/bin/env bash
# The same sources give the same bytes. Agent, initramfs, reference values and image.json: a build through a ccache without them, one through
# the ccache with them, and one by `cvmin reproduce`, without ccache, with everything varied that can be; compared by cmp(1), too. Kernel: the one that was built here
# against the digest on record, which is of another machine's build; one that is not on record is built a second time in another
# directory, with another number of jobs.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"

# a cache of compilations that has nothing of ours, then one that has all: the same bytes; reproduce compiles without
export CCACHE_DIR=$work/ccache
copy_source "$work/a"
vary=path,jobs,umask,locale,time,hostname,fs-order
# an ordinary user has one user id in the root, and no other to build as
if [ "${CVMIN_UID:-0}" = 0 ]; then vary+=,user; else echo "note: user was not varied: that takes root"; fi
"$CVMIN" build --source "$work/a" --out "$work/a/out" --work "$work/a/work" -j 1 >/dev/null
compiled=$(ccache --print-stats | awk '$1 == "cache_miss" { print $2 }')
[ "$compiled" -ge 30 ] || broken "the first build put $compiled objects into ccache"
"$CVMIN" build --source "$work/a" --out "$work/warm" --work "$work/warm-work" -j 1 >/dev/null
found=$(ccache --print-stats | awk '$1 == "direct_cache_hit" || $1 == "preprocessed_cache_hit" { sum += $2 } END { print sum + 0 }')
[ "$found" = "$compiled" ] || broken "ccache had $found of $compiled objects"
for file in "$work"/a/out/*; do same "$file" "$work/warm/$(basename "$file")"; done
rm -rf -- "$work/warm" "$work/warm-work"
echo "ccache: $found objects from it, and the same image"
expect 0 "$CVMIN" reproduce "$work/a/out" --source "$work/a" --work "$work" --cached-kernel --vary $vary -j 1 --out "$work/b/out"
grep -q '^same: ' "$work/stdout" || broken "reproduce does not say that it is the same"
b=$work/b
for file in bzImage initrd.zst cmdline OVMF.fd agent reference-values.json reference-values.corim audit.json image.json; do
    same "$work/a/out/$file" "$b/out/$file"
done
modes() { (cd "$1" && stat -c '%a %n' . ./* | sort); }
[ "$(modes "$work/a/out")" = "$(modes "$b/out")" ] || broken "modes differ: $(modes "$work/a/out") $(modes "$b/out")"
[ "$(modes "$work/a/out" | wc -l)" = 10 ] || broken "not nine files and their directory: $(modes "$work/a/out")"
! grep -qaF "$work" "$work"/a/out/* "$b"/out/* || broken "the path of the build is in the image"
echo "agent, initramfs, reference values, image.json: same bytes; varied: $vary"

# a recorded image in which one byte of the agent's code is another: built again it is not the same, and the place is named
read -r text_at < <(readelf -SW "$work/a/out/agent" | sed -nE 's/^ *\[ *[0-9]+\] \.text +[A-Z]+ +[0-9a-f]+ ([0-9a-f]+) .*/\1/p')
python3 - "$work/a/out" "$work/other" $((0x$text_at + 0x99)) <<'PY'
import hashlib, json, shutil, subprocess, sys
source, target, at = sys.argv[1:]
shutil.copytree(source, target)
run = lambda data, *options: subprocess.run(["zstd", "-q", "-c", *options], input=data, capture_output=True, check=True).stdout
agent = open(source + "/agent", "rb").read()
archive = run(open(source + "/initrd.zst", "rb").read(), "-d")
assert archive.count(agent) == 1
place = archive.index(agent) + int(at)
initrd = run(archive[:place] + bytes([archive[place] ^ 1]) + archive[place + 1:], "-19")
open(target + "/initrd.zst", "wb").write(initrd)
image = json.load(open(source + "/image.json"))
digest = hashlib.sha256(initrd).hexdigest()
image["files"]["initrd"].update(sha256=digest, size=len(initrd))
image["hashes"]["initrd"] = digest
json.dump(image, open(target + "/image.json", "w"))
PY
expect 1 "$CVMIN" reproduce "$work/other" --source "$work/a" --work "$work" --cached-kernel -j 2
one_error "first initrd: init: .text, first at byte 0x99: "
[ -z "$(find "$work" -maxdepth 1 -name 'cvmin-reproduce-*')" ] || broken "reproduce leaves directories behind"

# what is not the recorded tree, source or image is refused before anything is built
refuses() { # STATUS TEXT ARGS...
    expect "$1" timeout 20 "$CVMIN" reproduce --source "$work/a" --cached-kernel "${@:3}"
    one_error "$2"
    [ ! -s "$work/stdout" ] || broken "reproduce prints something: ${*:3}"
}
refuses 3 "none/image.json: file is missing" "$work/none/image.json"
refuses 3 "is not well-formed" "$work/a/CMakeLists.txt"
refuses 2 "is there already" "$work/a/out" --out "$work/a/out"
expect 2 "$CVMIN" reproduce "$work/a/out" --vary path,weather
expect 2 "$CVMIN" reproduce
mkdir -p "$work/cache/dl"
status=0
CVMIN_CACHE=$work/cache "$CVMIN" reproduce --source "$work/a" "$work/a/out" --cached-kernel >/dev/null 2>"$work/stderr" || status=$?
[ $status = 3 ] || broken "sources are missing: exit $status"
one_error "ovmf-amdsev_"
while read -r digest _ path _; do
    [[ $digest == \#* ]] || ln -s "$CVMIN_CACHE/dl/$digest" "$work/cache/dl/$digest"
    case $path in *tinycbor*) rm "$work/cache/dl/$digest" && echo other >"$work/cache/dl/$digest" ;; esac
done <"$work/a/toolchain/sources.lock"
status=0
CVMIN_CACHE=$work/cache "$CVMIN" reproduce --source "$work/a" "$work/a/out" --cached-kernel >/dev/null 2>"$work/stderr" || status=$?
[ $status = 3 ] || broken "another source: exit $status"
one_error "is not tinycbor_"
echo '// more' >>"$work/a/common/bytes.hpp"
refuses 3 "first: tree agent-min common CMakeLists.txt: " "$work/a/out"
echo '# more' >>"$work/a/image/kernel.config"
refuses 3 "first: recipe image/kernel.config: " "$work/a/out"
sed -i '/tinycbor/s/^..../abcd/' "$work/a/toolchain/sources.lock"
refuses 3 "first: source tinycbor_" "$work/a/out"
echo "reproduce: names the byte, or what is not the recorded tree"

key=$("$CVMIN_SRC/image/kernel.sh" --key)
kernel=$CVMIN_CACHE/kernel-$key record=$CVMIN_SRC/image/kernel.sha256
same "$kernel/bzImage" "$work/a/out/bzImage"
if [ "$(grep -c "  kernel-$key/" "$record")" = 2 ]; then
    (cd "$CVMIN_CACHE" && sha256sum --check --strict --quiet <(grep -v '^#' "$record")) ||
        broken "the kernel built here is not the one that others built from the same inputs ($record)"
    echo "kernel: the bytes that are on record"
    exit 0
fi
CCACHE_DISABLE=1 "$CVMIN_SRC/image/kernel.sh" --out "$work/kernel" --work "$work/second" -j $(($(nproc) + 1)) >/dev/null
same "$kernel/bzImage" "$work/kernel/bzImage"
same "$kernel/config" "$work/kernel/config"
broken "the kernel is new, and was built twice with the same bytes; in $record its lines are to be:
$(cd "$CVMIN_CACHE" && sha256sum "kernel-$key/bzImage" "kernel-$key/config")"
