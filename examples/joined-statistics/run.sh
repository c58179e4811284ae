#!/usr/bin/env bash
# Joined statistics of a hospital and a clinic in one CVM, every party played here, each in its own directory and with its own key.
# `./dev example joined-statistics` runs it; needs CVMIN and CVMIN_SRC.
example=joined-statistics
# shellcheck source=examples/play.sh
. "${CVMIN_SRC:?}/examples/play.sh"
here=$CVMIN_SRC/examples/$example
options=(--key patient --left hospital.csv --group treatment --right clinic.csv --value days --range 0:365 --minimum 10)

step "each has its own"
party hospital clinic author eve
for side in hospital clinic; do
    as $side python3 "$here/data.py" $side $side.csv
    say $side "has $side.csv, $(wc -l <"$work/parties/$side/$side.csv") lines, and its key; begins:"
    head -n 3 "$work/parties/$side/$side.csv" >"$out"
    show $side "$out"
done
build() { as "$1" g++ -std=c++23 -O2 -static -s "$here/join.cpp" -o join || broken "$1: the program does not compile"; }
build author
say author "has the program, built from join.cpp: sha256 $(sha256sum "$work/parties/author/join" | cut -c1-16)..., and no data"
say eve "has a key, and wants to know"
say all "judge the CVM by their own copies; \$JUDGE is ${JUDGE[*]}"
held "two with a CSV file, one with a program, a stranger"

step "the agreement"
items=()
for side in hospital clinic; do
    item=sha256:$(sha256sum "$work/parties/$side/$side.csv" | cut -d' ' -f1):$(stat -c %s "$work/parties/$side/$side.csv")
    say $side "tells the author of its file: ${item:0:23}..., ${item##*:} bytes"
    items+=(--dataset "$side.csv=$item@$side")
    gives $side.pem.pub.pem $side author
done
arguments=()
for option in "${options[@]}"; do arguments+=("--argument=$option"); done
cvmin 0 author manifest new --id days-by-treatment --algorithm join@author "${items[@]}" "${arguments[@]}" --party hospital=hospital.pem.pub.pem \
    --party clinic=clinic.pem.pub.pem --party author=author.pem.pub.pem --consumer hospital --consumer clinic --memory 16M --output-limit 1M --out manifest.json
gives manifest.json author hospital clinic eve
build hospital # who does not trust the author's file builds it
program=$(sha256sum "$work/parties/hospital/join" | cut -d' ' -f1)
cvmin 0 hospital manifest check manifest.json
says "$program"
say hospital "built the program itself: the manifest names the same sha256"
grep -E '^(data|program) ' "$out" >"$work/log/check"
show hospital "$work/log/check"
cvmin 0 clinic manifest digest manifest.json --json
digest=$(field "$out" sha256)
held "manifest ${digest:0:16}...; the hospital built the same program"

step "the host boots a CVM for it"
host_boots 128 "$digest"
held "told the manifest's digest, 32 bytes, and no more"

step "who brings what"
cvmin 0 hospital upload --connect "$address" --manifest manifest.json --party-key hospital.pem --dataset hospital.csv=hospital.csv "${JUDGE[@]}"
say hospital "the CVM runs the image that it knows, for this manifest and nothing else: accepted, then sent"
cvmin 0 clinic status --connect "$address" --manifest manifest.json --party-key clinic.pem "${JUDGE[@]}"
says "data/hospital.csv"
grep -E '^(state|input)' "$out" >"$work/log/status"
show clinic "$work/log/status"
cvmin 0 author upload --connect "$address" --manifest manifest.json --party-key author.pem --algorithm join "${JUDGE[@]}"
held "verified first, then sent, each its own"

step "a stranger, and a swapped manifest"
cvmin 3 eve status --connect "$address" --manifest manifest.json --party-key eve.pem "${JUDGE[@]}"
refused eve "is the key of no party"
as eve python3 -c 'import base64, json
manifest = json.load(open("manifest.json"))
key = "".join(line for line in open("eve.pem.pub.pem").read().split("\n") if not line.startswith("-----"))
for party in manifest["parties"]:
    if party["name"] == "clinic": party["key"] = key
json.dump(manifest, open("mine.json", "w"))'
cvmin 1 eve result --connect "$address" --manifest mine.json --party-key eve.pem --out stolen "${JUDGE[@]}"
refused eve "snp.host_data"
held "refused: no party's key; not the manifest of this CVM"

step "the run, and who gets what"
cvmin 0 clinic upload --connect "$address" --manifest manifest.json --party-key clinic.pem --dataset clinic.csv=clinic.csv "${JUDGE[@]}"
say clinic "was the last one: the run begins by itself"
cvmin 2 author result --connect "$address" --manifest manifest.json --party-key author.pem --out result "${JUDGE[@]}"
refused author "is no consumer"
for side in hospital clinic; do
    cvmin 0 $side result --connect "$address" --manifest manifest.json --party-key $side.pem --out result --wait "${JUDGE[@]}"
done
show clinic "$work/parties/clinic/result/output/statistics.csv"
cmp -s "$work"/parties/{hospital,clinic}/result/output/statistics.csv || broken "they got different results"
! grep -qE 'P[0-9]{6}' "$work/parties/clinic/result/output/statistics.csv" || broken "a key came out"
say clinic "no key and no row is in it; \"other\" is of groups too small to be named"
held "$(grep -c '^group' "$work/parties/clinic/result/output/statistics.csv") groups of at least 10 out of $(awk -F, '$1 == "all" { print $3 }' "$work/parties/clinic/result/output/statistics.csv") joined rows; no row"

step "what the host has seen"
host_saw "$work"/parties/{hospital/hospital.csv,clinic/clinic.csv,author/join,clinic/result/output/statistics.csv}
cvmin 0 author status --connect "$address" --manifest manifest.json --party-key author.pem "${JUDGE[@]}"
says "state  done"
say author "state done: both have the result, everything else is wiped"
held "$seen bytes of ciphertext"

step "the receipt, when the CVM is gone"
no_cvm_any_more
cvmin 0 hospital receipt verify result/receipt.cbor --manifest manifest.json --output result/output "${JUDGE[@]}"
say hospital "accepted: this program made this result of these inputs, in such a CVM"
as clinic sed 's/^all,,[0-9]*/all,,999/' result/output/statistics.csv >"$work/log/changed"
mkdir "$work/parties/clinic/changed"
cp "$work/log/changed" "$work/parties/clinic/changed/statistics.csv"
cvmin 1 clinic receipt verify result/receipt.cbor --manifest manifest.json --output changed "${JUDGE[@]}"
refused clinic "is not what the receipt is about"
held "verified offline; not for a changed result"
the_end
