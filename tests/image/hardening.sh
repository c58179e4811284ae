#!/usr/bin/env bash
# Recommended kernel settings: `cvmin image hardening` says of the built image (CVMIN_IMAGE, default out/) what another reading of
# image/hardening.list, the resolved configuration and the command line says; and no image is built whose deviation has no reason.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
out=${CVMIN_IMAGE:-$CVMIN_SRC/out}
[ -f "$out/audit.json" ] || broken "no image with an audit.json in $out: run cvmin build first"
list=$CVMIN_SRC/image/hardening.list
kernel=$CVMIN_CACHE/kernel-$("$CVMIN_SRC/image/kernel.sh" --key)

expect 0 "$CVMIN" image hardening --json "$out/image.json"
python3 - "$work/stdout" "$list" "$kernel/config" "$out/image.json" <<'PY'
import hashlib, json, re, sys
shown, text, config, image = (open(path).read() for path in sys.argv[1:])
shown, image = json.loads(shown), json.loads(image)
digest = lambda data: hashlib.sha256(data.encode()).hexdigest()
recorded = {i["name"]: i["sha256"] for i in image["inputs"]}
assert shown["schema"] == 1 and len(shown["hardening"]) > 200
if (recorded["image/hardening.list"], recorded["resolved kernel configuration"]) != (digest(text), digest(config)):
    sys.exit(print("note: the image is of another tree than this; its settings were not compared"))
options = dict(re.findall(r"^CONFIG_(\w+)=(.*)$", config, re.M))
line = dict((word.split("=", 1) + ["set"])[:2] for word in image["command_line"].split(" "))
wanted, reason = [], None
for entry in text.splitlines():
    words, _, why = entry.partition("#")
    if not words.strip(): continue
    kind, name, value, by, *ours = words.split()
    ours = ours[0] if ours else options.get(name, "n") if kind == "config" else line.get(name, "absent")
    reason = reason if why.strip() == "the same" else why.strip()
    wanted.append(dict(kind=kind, name=name, wanted=value, by=by, ours=ours, reason=reason))
    follows = ours != "off" if value == "not-off" else ours == value
    assert kind == "sysctl" or follows == (reason == ""), wanted[-1]
assert shown["hardening"] == wanted
PY
expect 0 "$CVMIN" image hardening "$out"
grep -qE '^  config  CONFIG_KFENCE  +n  +wanted y \(kspp\): .' "$work/stdout" || broken "KFENCE is not shown with its reason"
[ "$(head -n 1 "$work/stdout")" = "$(grep -cE '^  (config|cmdline|sysctl) ' "$work/stdout") recommendations, $(sed '/^followed:/,$d' \
    "$work/stdout" | grep -c '^  ') not followed:" ] || broken "the first line counts otherwise"

# lists that do not hold
export CVMIN_QUIET=1
copy_source "$work/source"
refuses() { # TEXT SED-SCRIPT
    sed -E "$2" "$list" >"$work/source/image/hardening.list"
    ! cmp -s "$list" "$work/source/image/hardening.list" || broken "nothing was changed: $2"
    expect 3 "$CVMIN" build --source "$work/source" --out "$work/x"
    one_error "$1"
    [ ! -e "$work/x" ] || broken "an image was built: $1"
}
refuses 'config DEBUG_NOTIFIERS is n, and no reason says why not y (kspp)' '/DEBUG_NOTIFIERS +y/s/ *#.*//'
refuses 'config BUG is y as recommended, but a reason says why not' '/ BUG +y/s/$/ # old/'
refuses 'cmdline page_alloc.shuffle is 1, and no reason says why not 0' '/page_alloc/s/ 1 / 0 /'
refuses 'CFI_KLANG' 's/CFI_CLANG +y/CFI_KLANG n/'
refuses 'hardening.list' '/ BUG +y/s/ y / /'
echo "settings agree with the list; a deviation without a reason, a reason without a deviation and an unknown option are refused"
