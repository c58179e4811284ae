#!/usr/bin/env bash
# What `cvmin build` compiles again: nothing when nothing changed, one file when one changed; and what dates do not tell it sees all
# the same: sources that changed under an older date, or that are dated in the future. The tree has the same place in every run, so
# that ccache knows it.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
: "${CVMIN_BUILD:?}"
here=$CVMIN_BUILD/rebuild
on_exit() { rm -rf -- "$work" "$here"; }
rm -rf -- "$here"
tree=$here/source
copy_source "$tree"
export CVMIN_QUIET=1
build() { expect 0 "$CVMIN" build --source "$tree" --out "$here/out" --work "$here/work" --json; }
objects() { (cd "$here/work/agent" && find . -name '*.o' -printf '%T@ %i %p\n' | sort -k3); }
agent() { sha256_of "$here/out/agent"; }
sha256_of() { sha256sum -- "$1" | cut -d' ' -f1; }
recompiled() { diff <(printf '%s\n' "$1") <(printf '%s\n' "$2") | sed -n 's|^> .*/||p' | sort | paste -sd' '; }

build
first=$(agent) before=$(objects)
[ "$(wc -l <<<"$before")" -ge 30 ] || broken "only these objects: $before"
kernel=$CVMIN_CACHE/kernel-$("$CVMIN_SRC/image/kernel.sh" --key)
kernel_date=$(stat -c %y "$kernel/bzImage")

# nothing changed
build
[ "$(objects)" = "$before" ] || broken "compiled without need: $(recompiled "$before" "$(objects)")"
[ "$(stat -c %y "$kernel/bzImage")" = "$kernel_date" ] || broken "the kernel was built again"
python3 -c 'import json, sys
slow = [s for s in json.load(sys.stdin)["steps"] if s["seconds"] > 5]
assert not slow, slow' <"$work/stdout" || broken "a step takes long though nothing changed"

# one file
echo 'extern const int cvmin_test_number; __attribute__((used, retain)) const int cvmin_test_number = 4711;' >>"$tree/agent-min/main.cpp"
build
[ "$(recompiled "$before" "$(objects)")" = main.cpp.o ] || broken "of one changed file: $(recompiled "$before" "$(objects)")"
second=$(agent)
[ "$second" != "$first" ] || broken "the agent is the old one"

# as it was, and with the date that it had: older than its object
cp -p -- "$CVMIN_SRC/agent-min/main.cpp" "$tree/agent-min/"
touch -d '1980-01-02 03:04' "$tree/agent-min/main.cpp"
build
[ "$(agent)" = "$first" ] || broken "a change under an older date is not seen"

# a clock that was ahead: everything is dated in the future, the description of the build, too
find "$tree" -type f -exec touch -d '2040-01-02' {} +
expect 0 timeout 300 "$CVMIN" build --source "$tree" --out "$here/out" --work "$here/work"
[ "$(agent)" = "$first" ] || broken "dates in the future make another agent"
echo 'extern const int cvmin_test_number; __attribute__((used, retain)) const int cvmin_test_number = 4712;' >>"$tree/agent-min/main.cpp"
touch -d '2039-01-02' "$tree/agent-min/main.cpp"
build
[ "$(agent)" != "$first" ] && [ "$(agent)" != "$second" ] || broken "a change under a date in the future is not seen"
cp -- "$CVMIN_SRC/agent-min/main.cpp" "$tree/agent-min/"

# another recipe for the same sources: cmake would keep the flags that it was first given
sed -i 's|-ftrivial-auto-var-init=zero|-ftrivial-auto-var-init=pattern|' "$tree/toolchain/guest.cmake"
build
grep -q 'auto-var-init=pattern' "$here/work/agent/compile_commands.json" || broken "the old flags are in use"
[ "$(agent)" != "$first" ] || broken "the agent is one of the old flags"
echo "compiled again: what changed, and nothing else"
