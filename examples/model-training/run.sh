#!/usr/bin/env bash
# Two banks train one model in one CVM, every party played here, each in its own directory and with its own key.
# `./dev example model-training` runs it; needs CVMIN and CVMIN_SRC.
example="model-training"
# shellcheck source=examples/play.sh
. "${CVMIN_SRC:?}/examples/play.sh"
here=$CVMIN_SRC/examples/$example
options=(--label default --feature income --feature debt --feature years --feature late)
arguments=()
for option in "${options[@]}" --data north.csv --data south.csv; do arguments+=("--argument=$option"); done

step "each has its own"
party north south author eve
builds author train.cpp train
gives train author north south
for bank in north south; do
    as $bank python3 "$here/data.py" $bank $bank.csv
    as $bank python3 "$here/data.py" new new.csv
    say $bank "has $bank.csv, loans that were paid back or not: $(($(wc -l <"$work/parties/$bank/$bank.csv") - 1)); begins:"
    head -n 3 "$work/parties/$bank/$bank.csv" >"$out"
    show "$out"
    # the same program at home, with one file only
    as $bank mkdir alone
    as $bank chmod +x train
    as $bank ./train --in . --out alone "${options[@]}" --data $bank.csv >/dev/null || broken "$bank cannot train alone"
    alone=$(as $bank python3 "$here/evaluate.py" alone/model.json new.csv)
    say $bank "trains a model alone: right about new customers in a share of $alone"
    echo "$alone" >>"$work/log/alone"
done
say author "has the program, built from train.cpp, and no data"
say all "judge the CVM by their own copies; \$JUDGE is ${JUDGE[*]}"
held "two banks, right about new customers in $(paste -sd' ' "$work/log/alone" | sed 's/ / and /'); an author; a stranger"

step "the agreement"
for bank in north south; do tells $bank author $bank.csv; done
cvmin 0 author manifest new --id credit-model --algorithm train@author "${items[@]}" "${arguments[@]}" --party north=north.pem.pub.pem \
    --party south=south.pem.pub.pem --party author=author.pem.pub.pem --consumer north --consumer south --memory 16M --output-limit 1M --out manifest.json
gives manifest.json author north south eve
builds south train.cpp built
agrees south built
cvmin 0 north manifest digest manifest.json --json
digest=$(field "$out" sha256)
held "manifest ${digest:0:16}...; south built the same program"

step "the host boots a CVM for it"
host_boots 128 "$digest"
held "told the manifest's digest, 32 bytes, and no more"

step "who brings what"
as north cp new.csv other.csv
cvmin 3 north upload --connect "$address" --manifest manifest.json --party-key north.pem --dataset north.csv=other.csv "${JUDGE[@]}"
refused north "other.csv"
uploads north --dataset north.csv=north.csv
uploads author --algorithm train
held "verified first, then sent, each its own; another file refused"

step "a stranger, and a swapped manifest"
stranger eve south
held "refused: no party's key; not the manifest of this CVM"

step "the run, and who gets what"
runs model.json author north south
together=$(as north python3 "$here/evaluate.py" result/output/model.json new.csv)
say north "the common model is right about new customers in a share of $together"
sort -r "$work/log/alone" | head -n 1 | awk -v t="$together" '{ exit !(t > $1) }' || broken "it is no better than what a bank has alone"
held "right about new customers in $together; no row came out"

ends author south 's/"bias": -/"bias": /' "$work"/parties/{north/north.csv,south/south.csv,author/train}
