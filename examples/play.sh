# What the examples' run.sh share: parties that have a directory each and see nothing else, a host that records everything that
# passes, steps that are shown and must hold. Sourced, with `example` (a name) set by the caller.
# shellcheck shell=bash
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}" "${example:?}"
export CVMIN_QUIET=1

play_usage() {
    cat <<USAGE
Usage: ./dev example $example [--brief] [--image FILE] [--keep DIR]

Plays all parties of examples/$example against a CVM that is booted for it; see examples/README.md.

  --brief       one line for each step
  --image FILE  image.json of the image to boot (default: out/image.json, which ./dev example builds)
  --keep DIR    keep what each had in the end, in a new directory DIR

Exit codes: 0 every step held, 1 one did not, 2 usage, 130 interrupted; nothing is left running in any case.
USAGE
}

brief=no keep='' image=${CVMIN_IMAGE:-$CVMIN_SRC/out/image.json}
while [ $# -gt 0 ]; do
    case $1 in
    --brief) brief=yes ;;
    --image | --keep)
        [ $# -gt 1 ] || { echo "$example: $1 wants a value" >&2; exit 2; }
        if [ "$1" = --keep ]; then keep=$2; else image=$2; fi
        shift
        ;;
    -h | --help) play_usage; exit 0 ;;
    *) play_usage >&2; echo "$example: no option '$1'" >&2; exit 2 ;;
    esac
    shift
done
[ -s "$image" ] || { echo "$example: $image is not there: cvmin build makes it" >&2; exit 2; }
[ -z "$keep" ] || [ ! -e "$keep" ] || { echo "$example: --keep: $keep is there already" >&2; exit 2; }
image=$(realpath "$image")

vm=example-$$ tap_pid=
work=$(mktemp -d "${TMPDIR:-/tmp}/cvmin-example-XXXXXX")
mkdir "$work"/{parties,here,host,log}

cleanup() {
    trap '' INT TERM # once is enough
    [ -z "$tap_pid" ] || kill "$tap_pid" 2>/dev/null || true
    "$CVMIN" stop "$vm" >/dev/null 2>&1 || true
    rm -rf -- "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ---- what is shown ---------------------------------------------------------------------------------------------------

steps=0 step_name='' step_start=0
# step TITLE: the next one. held SUMMARY: it did.
step() {
    step_name=$1 step_start=$EPOCHREALTIME
    steps=$((steps + 1))
    [ $brief = yes ] || printf '\n%d. %s\n' $steps "$1"
}
held() {
    [ $brief = no ] || printf '%-34s %6s s  %s\n' "$step_name" "$(awk -v a="$step_start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')" "$1"
}
say() { # WHO TEXT...
    local who=$1
    shift
    [ $brief = yes ] || printf '   %-9s %s\n' "$who" "$*"
}
show() { # FILE: its text, indented
    [ $brief = yes ] || sed "s/^/             /" "$1"
}
broken() {
    printf '%s: FAILED: %s: %s\n' "$example" "$step_name" "$*" >&2
    exit 1
}

# ---- parties ---------------------------------------------------------------------------------------------------------

# party NAME...: a directory each, a key, and what everybody has who wants to judge a CVM: reference values, policy, and here, where
# the launch is emulated, the emulated AMD-SP's root (its keys are made when they are missing).
party() {
    local name
    for name in "$@"; do
        mkdir "$work/parties/$name"
        as "$name" "$CVMIN" keygen --out "$name.pem" >/dev/null 2>&1 || broken "$name has no key"
        install -m 644 "$(dirname "$image")/reference-values.corim" "$CVMIN_SRC/policies/emulated.json" "$work/parties/$name/"
    done
}
seen=0
readonly JUDGE=(--reference reference-values.corim --vcpus 1 --vcpu-type EPYC-v4 --policy emulated.json --trust-emulated ark.der)

# as PARTY COMMAND...: in its directory, in a mount namespace in which there is no other party's, nor the host's.
as() {
    local who=$1
    shift
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --mount --propagation private bash -euc '
        work=$1 who=$2
        shift 2
        mount --bind "$work/parties/$who" "$work/here"
        for hidden in parties host log; do mount -t tmpfs -o ro,size=4k,mode=0555 none "$work/$hidden"; done
        cd "$work/here"
        exec "$@"' as "$work" "$who" "$@"
}

# gives FILE FROM TO...: one party gives a file to others, in the open
gives() {
    local file=$1 from=$2 to
    shift 2
    for to in "$@"; do install -m 644 "$work/parties/$from/$file" "$work/parties/$to/"; done
}

# cvmin CODE PARTY ARGS... : the party's command, which must end with CODE; its output is then in $out and $err. JUDGE is shown as such.
out=$work/log/out err=$work/log/err
cvmin() {
    local wanted=$1 who=$2 code=0 shown
    shift 2
    shown=$*
    shown=${shown//"${JUDGE[*]}"/\$JUDGE}
    say "$who" "\$ cvmin $shown"
    as "$who" "$CVMIN" "$@" >"$out" 2>"$err" || code=$?
    [ $code = "$wanted" ] || broken "$who: exit $code instead of $wanted: $(tail -n 3 "$err")"
}
# says TEXT: the last command said so, on either stream
says() { grep -qF -- "$1" "$out" "$err" || broken "no \"$1\" in: $(cat "$out" "$err")"; }
# refused PARTY TEXT: and for this reason
refused() {
    says "$2"
    say "$1" "refused: $(grep -hF -m1 -- "$2" "$out" "$err" | sed 's/^cvmin [a-z]*: error: //' | cut -c1-150)"
}

# ---- what every play has -------------------------------------------------------------------------------------------------

# builds PARTY SOURCE PROGRAM: in its directory, by the command of README.md
builds() {
    as "$1" g++ -std=c++23 -O2 -static -s "$CVMIN_SRC/examples/$example/$2" -o "$3" || broken "$1: the program does not compile"
}
sha256_of() { sha256sum "$work/parties/$1" | cut -d' ' -f1; } # PARTY/FILE

# tells PARTY AUTHOR FILE: digest and size of its file, and its public key, to who writes the manifest; that is then in $items
items=()
tells() {
    local item
    item=sha256:$(sha256_of "$1/$3"):$(stat -c %s "$work/parties/$1/$3")
    say "$1" "tells the $2 of its file: ${item:0:23}..., ${item##*:} bytes"
    items+=(--dataset "$3=$item@$1")
    gives "$1.pem.pub.pem" "$1" "$2"
}

# agrees PARTY PROGRAM: it has built the program itself, and the manifest is about that
agrees() {
    local program
    program=$(sha256_of "$1/$2")
    cvmin 0 "$1" manifest check manifest.json
    says "$program"
    say "$1" "built the program itself: the manifest names the same sha256"
    grep -E '^(data|program) ' "$out" >"$work/log/check"
    show "$work/log/check"
}

# uploads PARTY ARGS...; result CODE PARTY [ARGS...]; asks PARTY: for the state
uploads() {
    local who=$1
    shift
    cvmin 0 "$who" upload --connect "$address" --manifest manifest.json --party-key "$who.pem" "$@" "${JUDGE[@]}"
}
result() {
    local wanted=$1 who=$2
    shift 2
    cvmin "$wanted" "$who" result --connect "$address" --manifest manifest.json --party-key "$who.pem" --out result "$@" "${JUDGE[@]}"
}
asks() {
    cvmin 0 "$1" status --connect "$address" --manifest manifest.json --party-key "$1.pem" "${JUDGE[@]}"
    grep -E '^(state|input)' "$out" >"$work/log/status"
    show "$work/log/status"
}

# stranger EVE PARTY: has the manifest and a key of its own, and tries it with that, and with a manifest in which its key is PARTY's
stranger() {
    cvmin 3 "$1" status --connect "$address" --manifest manifest.json --party-key "$1.pem" "${JUDGE[@]}"
    refused "$1" "is the key of no party"
    as "$1" python3 -c 'import json, sys
manifest = json.load(open("manifest.json"))
pem = open(sys.argv[1] + ".pem.pub.pem").read().split("\n")
for party in manifest["parties"]:
    if party["name"] == sys.argv[2]: party["key"] = "".join(line for line in pem if not line.startswith("-----"))
json.dump(manifest, open("mine.json", "w"))' "$1" "$2"
    cvmin 1 "$1" result --connect "$address" --manifest mine.json --party-key "$1.pem" --out stolen "${JUDGE[@]}"
    refused "$1" "snp.host_data"
}

# receipt PARTY FILE SED: of its result; and not of one in which SED has changed FILE
receipt() {
    cvmin 0 "$1" receipt verify result/receipt.cbor --manifest manifest.json --output result/output "${JUDGE[@]}"
    say "$1" "accepted: this program made this result of these inputs, in such a CVM"
    # shellcheck disable=SC2016 # expanded by the inner shell
    as "$1" bash -euc 'mkdir changed; sed "$2" "result/output/$1" >"changed/$1"' changed "$2" "$3"
    ! cmp -s "$work/parties/$1/"{result/output,changed}/"$2" || broken "nothing was changed"
    cvmin 1 "$1" receipt verify result/receipt.cbor --manifest manifest.json --output changed "${JUDGE[@]}"
    refused "$1" "is not what the receipt is about"
}

# runs FILE AUTHOR PARTY...: the last PARTY brings its data, with which the run begins. FILE of the result is then each PARTY's, the same to all
# and in $came, and not the AUTHOR's
runs() {
    local file=$1 author=$2 who
    shift 2
    uploads "${!#}" --dataset "${!#}.csv=${!#}.csv"
    say "${!#}" "was the last one: the run begins by itself"
    result 2 "$author"
    refused "$author" "is no consumer"
    for who in "$@"; do result 0 "$who" --wait; done
    came=$work/parties/$1/result/output/$file
    show "$came"
    for who in "$@"; do cmp -s "$came" "$work/parties/$who/result/output/$file" || broken "they got different results"; done
}

# ---- host ------------------------------------------------------------------------------------------------------------

# host_boots MIB DIGEST: a CVM for the manifest of this digest, which is all that the host is told of it; and a recorder between it
# and the parties. They reach it at $address.
host_boots() {
    local listens
    say host "\$ cvmin boot --image image.json --host-data ${2:0:16}... --memory $1 --listen 127.0.0.1:0"
    "$CVMIN" boot --image "$image" --name "$vm" --host-data "$2" --memory "$1" --listen 127.0.0.1:0 --json >"$work/host/vm.json" 2>"$err" ||
        broken "the CVM did not come up: $(tail -n 3 "$err")"
    listens=$(field "$work/host/vm.json" listens_on)
    local name
    for name in "$work"/parties/*; do install -m 644 "$(field "$work/host/vm.json" emulated_ark)" "$name/ark.der"; done
    python3 "$CVMIN_SRC/examples/tap.py" "$listens" "$work/host/seen" >"$work/host/address" 2>"$work/host/tap.log" &
    tap_pid=$!
    for _ in $(seq 200); do [ -s "$work/host/address" ] && break; sleep 0.05; done
    address=$(cat "$work/host/address")
    [ -n "$address" ] || broken "the recorder did not start: $(cat "$work/host/tap.log")"
    say host "launch: $(field "$work/host/vm.json" platform | tr '[:lower:]' '[:upper:]'), $(field "$work/host/vm.json" accelerator); parties connect to $address"
}
field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }

# host_saw FILE...: in $seen bytes what the host has recorded, and its own files of the CVM, hold nothing of these files, though they did pass.
host_saw() {
    local where report
    where=$(dirname "$(field "$work/host/vm.json" vsock_socket)")
    report=$(python3 "$CVMIN_SRC/examples/search.py" "$work/host/seen" "$where"/*.log -- "$@" 2>"$err") || broken "$(cat "$err")"
    say host "$report"
    seen=$(stat -c %s "$work/host/seen")
}

# no_cvm_any_more: the CVM is stopped, and nothing of it runs
no_cvm_any_more() {
    say host "\$ cvmin stop $vm"
    "$CVMIN" stop "$vm" >/dev/null
    kill "$tap_pid"
    wait "$tap_pid" 2>/dev/null || true
    tap_pid=
}

# ends AUTHOR PARTY SED FILE...: the last steps. The host has seen nothing of the FILEs nor of $came; PARTY's receipt is about $came, and not about what SED makes of it
ends() {
    local author=$1 who=$2 change=$3
    shift 3
    step "what the host has seen"
    host_saw "$@" "$came"
    asks "$author"
    says "state  done"
    say "$author" "all have the result, and everything else is wiped"
    held "$seen bytes of ciphertext"

    step "the receipt, when the CVM is gone"
    no_cvm_any_more
    receipt "$who" "${came##*/}" "$change"
    held "verified offline; not for a changed result"
    the_end
}
the_end() {
    [ $brief = yes ] || printf '\nWhat each has in the end:\n'
    local name
    for name in "$work"/parties/*; do
        name=${name##*/}
        say "$name" "$(as "$name" find . -type f ! -name '*.corim' ! -name emulated.json ! -name ark.der -printf '%P\n' | LC_ALL=C sort | tr '\n' ' ')"
    done
    say host "the manifest's digest, and $seen bytes of ciphertext"
    [ -z "$keep" ] || { cp -r "$work/parties" "$keep" && cp "$work/host/seen" "$keep/seen-by-the-host"; }
    [ $brief = yes ] || printf '\n%s: every step held\n' "$example"
}
