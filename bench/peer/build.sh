#!/usr/bin/env bash
# build.sh PROGRAM: builds main.go with the Go and the go-sev-guest of CVMIN_PEER (a root that only `./dev bench verify` makes).
# Debian's package of go-sev-guest (0.13.0-1, and 0.15.0-1 of the next release) lacks AMD's roots, which its source
# embeds, and does not compile by itself: the ones of this repository, which are the same certificates, take their place.
set -euo pipefail
: "${CVMIN_SRC:?}"
[ -f "${CVMIN_PEER:-/nonexistent}/.complete" ] || {
    echo "bench/peer/build.sh: no root with go-sev-guest in CVMIN_PEER: run by ./dev bench verify" >&2
    exit 1
}
program=$1
[ ! "$program" -nt "$CVMIN_SRC/bench/peer/main.go" ] || [ ! "$program" -nt "$CVMIN_PEER/.complete" ] || exit 0
work=$(dirname "$program")
mkdir -p "$work"
package=/usr/share/gocode/src/github.com/google/go-sev-guest/verify/trust
replace=
for line in milan genoa turin; do
    for kind in ask asvk; do
        for name in "${kind}_$line" "ark_$line"; do
            openssl x509 -inform der -in "$CVMIN_SRC/host-tools/appraise/roots/$name.der"
        done >"$work/${kind}_$line.pem"
    done
    vcek=ask_ark_$line.pem
    [ $line != turin ] || vcek=ask_ark_turin_vcek.pem
    replace+="\"$package/$vcek\": \"$work/ask_$line.pem\", \"$package/ask_ark_${line}_vlek.pem\": \"$work/asvk_$line.pem\", "
done
printf '{"Replace": {%s}}\n' "${replace%, }" >"$work/overlay.json"
# no modules and no network: packages are those of the root
"$CVMIN_SRC/toolchain/enter.sh" "$CVMIN_PEER" env GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE="$work/cache" \
    GOTOOLCHAIN=local GOPROXY=off CGO_ENABLED=0 \
    go build -overlay "$work/overlay.json" -o "$program" "$CVMIN_SRC/bench/peer/main.go"
