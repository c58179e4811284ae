#!/usr/bin/env bash
# Evidence round trips on an open connection, of a CVM without and of one with a vTPM, side by side: without a quote, with one
# (budget: 150 ms at the median under TCG), and the activation of a credential.
set -euo pipefail
cd "$CVMIN_SRC"
readonly CVMIN=build/host/host-tools/cvmin rounds=${CVMIN_ROUNDS:-40}
work=$(mktemp -d)
vm=bench-attest-$$
trap '"$CVMIN" stop $vm >/dev/null 2>&1 || true; rm -rf -- "$work"' EXIT
for kind in "without vTPM" "with vTPM"; do
    options=()
    [ "$kind" = "without vTPM" ] || options=(--vtpm)
    "$CVMIN" boot --image out/image.json --name $vm "${options[@]}" --json >/dev/null 2>&1
    "$CVMIN" describe $vm --json >"$work/vm.json"
    python3 -c 'import json, sys
vm = json.load(open(sys.argv[1]))
print("CVM %s, under %s" % (sys.argv[2], vm["accelerator"]))
print(vm["vsock_socket"], file=open(sys.argv[3], "w"))' "$work/vm.json" "$kind" "$work/socket"
    build/host/bench/cvmin-bench-attest "$(cat "$work/socket")" "$rounds" | sed 's/^/  /'
    "$CVMIN" stop $vm >/dev/null
done
