#!/usr/bin/env bash
# What `cvmin build` refuses and what it leaves behind: full disk, a directory that is not ours, wrong firmware, lost options,
# interrupts, two builds at once. tests/image/bad_inputs.sh has what concerns intermediate files and killed builds.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
export CVMIN_QUIET=1
mnt=$work/mnt
on_exit() {
    tmpfs off 2>/dev/null || true
    rm -rf -- "$work"
}

# a first image; the cache makes the next ones quick
expect 0 "$CVMIN" build --out "$work/out"
[ "$(cat "$work/stdout")" = "$work/out/image.json" ] || broken "stdout is not the path of image.json"
first=$(sha256sum <"$work/out/image.json")

# full disk: one line, nothing half-written, and the image that was there is still whole
mkdir "$mnt"
tmpfs 2m
expect 4 "$CVMIN" build --out "$mnt/out"
one_error "No space left on device"
[ -z "$(ls -A "$mnt")" ] || broken "a full disk left $(ls -A "$mnt")"
tmpfs 10m
expect 0 "$CVMIN" build --out "$mnt/out"
expect 4 "$CVMIN" build --debug --out "$mnt/out"
one_error "No space left on device"
[ "$(ls -A "$mnt")" = out ] || broken "a full disk left $(ls -A "$mnt")"
[ "$(sha256sum <"$mnt/out/image.json")" = "$first" ] || broken "the image was changed"
(cd "$mnt/out" && sha256sum --quiet -c) < <(python3 -c 'import json, sys
for f in json.load(open(sys.argv[1]))["files"].values(): print(f["sha256"] + "  " + f["path"])' "$mnt/out/image.json")

# the debug image replaces it, is another one and says so
expect 0 "$CVMIN" build --debug --out "$work/out"
python3 - "$work/out" "$mnt/out" <<'PY'
import json, sys
debug, release = (json.load(open(d + "/image.json")) for d in sys.argv[1:])
assert debug["debug"] is True and release["debug"] is False
assert "console=ttyS0" in debug["command_line"] and "ttynull" in release["command_line"]
for name in ("kernel", "initrd", "firmware", "agent"):
    assert debug["files"][name] == release["files"][name], name
assert debug["hashes"]["cmdline"] != release["hashes"]["cmdline"]
PY
! diff -q "$work/out/reference-values.json" "$mnt/out/reference-values.json" >/dev/null || broken "same launch digests"

# not ours: a file, a directory with something else in it
mkdir "$work/home" && echo precious >"$work/home/letter"
expect 2 "$CVMIN" build --out "$work/home"
one_error "letter is not part of an image"
[ "$(cat "$work/home/letter")" = precious ] || broken "a stranger's file is gone"
expect 2 "$CVMIN" build --out "$work/home/letter"
expect 2 "$CVMIN" build --source "$work/home" --out "$work/x"
expect 2 "$CVMIN" build -j 0 --out "$work/x"
CVMIN_SYSROOT=/nonexistent expect 4 "$CVMIN" build --out "$work/x"
one_error "./dev"

mkdir "$work/a b" && copy_source "$work/a b/source"
expect 2 "$CVMIN" build --source "$work/a b/source" --out "$work/x"
one_error "path maps"

# a firmware that is not the pinned one; a command line and a compiler that fail
copy_source "$work/source"
sed -i 's/^3e4f/3e4e/' "$work/source/image/firmware.pin"
expect 3 "$CVMIN" build --source "$work/source" --out "$work/x"
one_error "the pin wants 3e4e"
cp "$CVMIN_SRC/image/firmware.pin" "$work/source/image/"
echo '# none' >"$work/source/image/cmdline"
expect 3 "$CVMIN" build --source "$work/source" --out "$work/x"
one_error "cmdline"
cp "$CVMIN_SRC/image/cmdline" "$work/source/image/"
echo '#error broken on purpose' >>"$work/source/agent-min/main.cpp"
expect 4 "$CVMIN" build --source "$work/source" --out "$work/x"
grep -q 'broken on purpose' "$work/stderr" || broken "the compiler's message is not shown"
cp "$CVMIN_SRC/agent-min/main.cpp" "$work/source/agent-min/"
[ ! -e "$work/x" ] || broken "a failed build left something"

# kernel options: one that vanished, one that crept in, one that does not exist
kernel=$CVMIN_CACHE/kernel-$("$CVMIN_SRC/image/kernel.sh" --key)
check() { expect "$1" env CVMIN_QUIET= CVMIN_SRC="$work/source" "$CVMIN_SRC/image/kernel.sh" --check-config "$kernel/config"; }
check 0
for line in 'CONFIG_IP_PNP=y' 'CONFIG_FUTEX=n' 'CONFIG_NR_CPUS=4' 'FUTEX=y'; do
    cp "$CVMIN_SRC/image/kernel.config" "$work/source/image/kernel.config"
    echo "$line   # for the test" >>"$work/source/image/kernel.config"
    check 3
    grep -qF "${line%=*}" "$work/stderr" || broken "the error does not name ${line%=*}"
done
cp "$CVMIN_SRC/image/kernel.config" "$work/source/image/kernel.config"

# an interrupt while the agent is compiled: the signal is passed on, nothing is left
for signal in INT TERM; do
    # a shell starts its background jobs with SIGINT ignored, which cvmin would respect
    env --default-signal=INT "$CVMIN" build --out "$work/y/out" --work "$work/y/work" -j 1 >/dev/null 2>"$work/stderr" &
    pid=$!
    for _ in $(seq 600); do [ -f "$work/y/work/agent/build.ninja" ] && break; sleep 0.05; done
    sleep 1
    kill -$signal $pid
    status=0
    wait $pid || status=$?
    [ $status = $((128 + $(kill -l $signal))) ] || broken "exit $status after $signal"
    one_error "interrupted"
    [ "$(ls -A "$work/y")" = work ] || broken "$signal left $(ls -A "$work/y")"
    rm -rf "$work/y" || broken "something still writes after $signal"
done

# what a killed build left is removed by the next; what another one is writing is not
mkdir "$work/out.new-dead00"
echo half >"$work/out.new-dead00/bzImage"
"$CVMIN" build --out "$work/out" >/dev/null &
one=$!
expect 0 "$CVMIN" build --debug --out "$work/out"
wait $one || broken "two builds at once: exit $?"
[ "$(cd "$work" && echo out*)" = out ] || broken "left over: $(cd "$work" && echo out*)"
(cd "$work/out" && sha256sum --quiet -c) < <(python3 -c 'import json, sys
for f in json.load(open(sys.argv[1]))["files"].values(): print(f["sha256"] + "  " + f["path"])' "$work/out/image.json")
echo "refusals, full disk, interrupts, two at once: as documented"
