#!/usr/bin/env bash
# cvmin policy as its users run it: what init writes holds its schema and check, check names every problem with its path,
# explain shows what is skipped first; bad input and every exit code. Needs CVMIN (the command) and CVMIN_SRC.
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failed=0
complain() {
    echo "policy.sh: $*" >&2
    failed=$((failed + 1))
}
run() { # WANTED_CODE ARGS...
    local wanted=$1 code=0
    shift
    "$CVMIN" policy "$@" >out 2>err || code=$?
    [ "$code" = "$wanted" ] || complain "exit $code instead of $wanted: $* ($(cat err))"
}
refuses() { # WANTED_CODE TEXT ARGS...: an error with TEXT, nothing on standard output
    local wanted=$1 text=$2
    shift 2
    run "$wanted" "$@"
    [ ! -s out ] || complain "standard output is not empty: $*"
    grep -qF -- "$text" err || complain "no '$text' in '$(cat err)': $*"
}

# init: one product is the recommended policy, value by value; every combination passes check and the schema
for product in Milan Genoa Turin; do
    run 0 init --product $product
    cp out $product.json
    python3 - $product.json "$CVMIN_SRC/policies/${product,,}.json" <<'PY' || complain "init --product $product is not the recommended policy"
import json, sys
assert json.load(open(sys.argv[1])) == json.load(open(sys.argv[2]))
PY
done
run 0 init --out all.json
[ ! -s out ] || complain "init --out prints"
run 0 init --skip-all --out skip.json
run 0 init --skip-all --product Turin --product Milan --out two.json
for file in Milan Genoa Turin all skip two; do
    run 0 check $file.json
    [ "$(cat out)" = ok ] || complain "check says: $(cat out)"
    python3 - "$CVMIN_SRC/docs/policy.schema.json" $file.json <<'PY' || complain "$file.json does not follow the schema"
import json, sys, jsonschema
jsonschema.Draft202012Validator(json.load(open(sys.argv[1]))).validate(json.load(open(sys.argv[2])))
PY
    run 0 explain $file.json
    head -n1 out | grep -q '^not checked' || complain "explain does not begin with what is skipped"
    run 0 explain - --json <$file.json
    python3 - out $file.json <<'PY' || complain "explain --json of $file.json"
import json, sys
said, policy = json.load(open(sys.argv[1])), json.load(open(sys.argv[2]))
assert said["schema"] == 1 and all(l["meaning"] for l in said["skipped"] + said["checked"])
# every "skip" of the file is there, and nothing else
def skips(value, path):
    if value == "skip":
        yield path
    elif isinstance(value, dict):
        for name, member in value.items():
            if name != "comment":
                yield from skips(member, path + "." + name)
assert sorted(skips(policy, "$")) == sorted(l["path"] for l in said["skipped"])
PY
done
python3 - all.json skip.json two.json <<'PY' || complain "init: members of several products, or of --skip-all"
import json, sys
every, skip, two = (json.load(open(f)) for f in sys.argv[1:])
assert sorted(every["product"]) == ["Genoa", "Milan", "Turin"] == sorted(skip["product"])
assert every["require"] == ["AMD-SB-3015"] and every["guest_policy"]["debug"] is False
assert every["minimum_tcb"]["Milan"]["launch"]["snp"] == 24 and every["minimum_tcb"]["Turin"]["launch"]["snp"] == 2
assert sorted(two["product"]) == ["Milan", "Turin"]
# --skip-all: what is left are the members that have no skip
never = {"schema", "comment", "product", "report_versions", "signing_key", "allowed_unknown_bits"}
def values(value):
    for name, member in value.items():
        if isinstance(member, dict):
            yield from values(member)
        elif name not in never:
            yield member
assert set(values(skip)) == {"skip"} and set(values(two)) == {"skip"}
assert skip["signing_key"] == ["vcek", "vlek"] and skip["report_versions"] == [2, 3, 4, 5]
PY

# a file that is there is kept, unless it is said; never a directory or a device
refuses 3 "--force" init --out all.json
run 0 init --product Milan --out all.json --force
cmp -s all.json Milan.json || complain "--force did not replace"
refuses 3 "No such file" init --out no/such/policy.json
refuses 3 "--force" init --out .
refuses 2 "Rome" init --product Rome
refuses 2 "" frobnicate
refuses 2 ""

# check: all problems at once, each with its path
python3 - Milan.json <<'PY'
import json, sys
policy = json.load(open(sys.argv[1]))
policy["guest_policy"]["debug"] = "no"
policy["require"] = ["AMD-SB-3015", "AMD-SB-9999"]
policy["vmpl"] = 9
del policy["host_data"]
policy["hots_data"] = "skip"
json.dump(policy, open("wrong.json", "w"))
PY
for path in guest_policy.debug 'require[1]: no advisory' vmpl host_data hots_data; do
    refuses 3 "\$.$path" check wrong.json
done
[ "$(wc -l <err)" = 5 ] || complain "not five problems: $(cat err)"
run 3 check wrong.json --json
python3 - out <<'PY' || complain "check --json"
import json, sys
said = json.load(open(sys.argv[1]))
assert said["schema"] == 1 and said["ok"] is False and len(said["problems"]) == 5
assert said["problems"][0]["path"] == "$.guest_policy.debug"
PY
refuses 3 "see cvmin policy check" explain wrong.json
refuses 3 "" check /nonexistent
refuses 3 "" check /dev/zero
refuses 3 "" check .
: >empty.json
refuses 3 "" check empty.json
head -c 2000000 /dev/zero >large.json
refuses 3 "" check large.json
printf '{"schema":1,"\033[31m":1}' >colour.json
run 3 check colour.json
if grep -q $'\033' err; then complain "check colours the terminal"; fi
if [ -e /dev/full ]; then
    code=0
    "$CVMIN" policy check Milan.json >/dev/full 2>/dev/null || code=$?
    [ $code = 0 ] || [ $code = 4 ] || complain "full standard output: exit $code"
fi
exit $((failed > 0))
