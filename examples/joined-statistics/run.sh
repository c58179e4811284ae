#!/usr/bin/env bash
# Joined statistics of a hospital and a clinic in one CVM, every party played here, each in its own directory and with its own key.
# `./dev example joined-statistics` runs it; needs CVMIN and CVMIN_SRC.
example="joined-statistics"
# shellcheck source=examples/play.sh
. "${CVMIN_SRC:?}/examples/play.sh"
arguments=()
for option in --key patient --left hospital.csv --group treatment --right clinic.csv --value days --range 0:365 --minimum 10; do
    arguments+=("--argument=$option")
done

step "each has its own"
party hospital clinic author eve
for side in hospital clinic; do
    as $side python3 "$CVMIN_SRC/examples/$example/data.py" $side $side.csv
    say $side "has $side.csv, $(wc -l <"$work/parties/$side/$side.csv") lines, and its key; begins:"
    head -n 3 "$work/parties/$side/$side.csv" >"$out"
    show "$out"
done
builds author join.cpp join
say author "has the program, built from join.cpp: sha256 $(sha256_of author/join | cut -c1-16)..., and no data"
say eve "has a key, and wants to know"
say all "judge the CVM by their own copies; \$JUDGE is ${JUDGE[*]}"
held "two with a CSV file, one with a program, a stranger"

step "the agreement"
for side in hospital clinic; do tells $side author $side.csv; done
cvmin 0 author manifest new --id days-by-treatment --algorithm join@author "${items[@]}" "${arguments[@]}" --party hospital=hospital.pem.pub.pem \
    --party clinic=clinic.pem.pub.pem --party author=author.pem.pub.pem --consumer hospital --consumer clinic --memory 16M --output-limit 1M --out manifest.json
gives manifest.json author hospital clinic eve
builds hospital join.cpp join # who does not trust the author's file
agrees hospital join
cvmin 0 clinic manifest digest manifest.json --json
digest=$(field "$out" sha256)
held "manifest ${digest:0:16}...; the hospital built the same program"

step "the host boots a CVM for it"
host_boots 128 "$digest"
held "told the manifest's digest, 32 bytes, and no more"

step "who brings what"
uploads hospital --dataset hospital.csv=hospital.csv
say hospital "the CVM runs the image that it knows, for this manifest and nothing else: accepted, then sent"
asks clinic
says "data/hospital.csv  $(stat -c %s "$work/parties/hospital/hospital.csv") bytes, complete"
uploads author --algorithm join
held "verified first, then sent, each its own"

step "a stranger, and a swapped manifest"
stranger eve clinic
held "refused: no party's key; not the manifest of this CVM"

step "the run, and who gets what"
runs statistics.csv author hospital clinic
! grep -qE 'P[0-9]{6}' "$came" || broken "a key came out"
say clinic "no key and no row is in it; \"other\" is of groups too small to be named"
held "$(grep -c '^group' "$came") groups of at least 10 out of $(awk -F, '$1 == "all" { print $3 }' "$came") joined rows; no row"

ends author hospital 's/^all,,[0-9]*/all,,999/' "$work"/parties/{hospital/hospital.csv,clinic/clinic.csv,author/join}
