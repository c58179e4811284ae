#!/usr/bin/env bash
# A program in Go as a computation's: its runtime starts threads, reads clocks and takes memory its own way, all of it under the sandbox's
# list of system calls. Needs CVMIN_PEER (a root with Go; `./dev test` makes it), and an image (CVMIN_IMAGE, else out/image.json).
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
[ -f "${CVMIN_PEER:-/nonexistent}/.complete" ] || { echo "sandbox.sh: no root with Go in CVMIN_PEER: run by ./dev test" >&2; exit 1; }
# shellcheck source=tests/vm/parties.sh
. "$CVMIN_SRC/tests/vm/parties.sh"

program=$CVMIN_BUILD/peer-go/sandbox
if [ ! "$program" -nt "$CVMIN_SRC/tests/peer/sandbox.go" ] || [ ! "$program" -nt "$CVMIN_PEER/.complete" ]; then
    mkdir -p "$CVMIN_BUILD/peer-go"
    # no modules and no network: packages are those of the root
    "$CVMIN_SRC/toolchain/enter.sh" "$CVMIN_PEER" env HOME="$work" GO111MODULE=off GOCACHE="$CVMIN_BUILD/peer-go/cache" GOTOOLCHAIN=local \
        GOPROXY=off CGO_ENABLED=0 go build -o "$program" "$CVMIN_SRC/tests/peer/sandbox.go"
fi

cd "$work"
make_parties alice
seq 1000 | sed 's/^/a /' >a
seq 2000 | sed 's/^/b /' >b
"$CVMIN" manifest new --id go --algorithm "$program@alice" --dataset a=a@alice --dataset b=b@alice --party alice=alice.pem.pub.pem \
    --consumer alice --memory 64M --output-limit 1M --out m.json >/dev/null
"$CVMIN" boot --image "$image" --name guest --manifest m.json --memory 192 --vcpus 2 --json >guest.json || exit 1
trusted=(--image "$image" --policy "$CVMIN_SRC/policies/emulated.json" --trust-emulated "$(field guest.json emulated_ark)")
as alice upload --algorithm "$program" --dataset a=a --dataset b=b
wants 0 "$last"
as alice result --out result --wait
wants 0 "$last"
[ "$(cat result/output/sum)" = $((1000 * 1001 / 2 + 2000 * 2001 / 2)) ] || complain "the sum: $(cat result/output/sum)"
[ "$(cat result/log)" = "2 files, 2 processors" ] || complain "the log: $(cat result/log)"

all_held
