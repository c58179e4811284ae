#!/usr/bin/env bash
# Sizes against their budgets, and where the time of a boot goes (median of 3 boots): QEMU start, measuring, firmware and kernel,
# agent. All under the accelerator that boot picks; the floor beside it is the same QEMU with a kernel that is refused at once.
set -euo pipefail
cd "$CVMIN_SRC"
readonly CVMIN=build/host/host-tools/cvmin
work=$(mktemp -d)
vm=bench-$$
trap '"$CVMIN" stop $vm >/dev/null 2>&1 || true; rm -rf -- "$work"' EXIT

size() { printf '%-34s %9d bytes   budget %9d   %3d %%\n' "$1" "$2" "$3" $(($2 * 100 / $3)); }
agent=$(stat -c %s out/agent)
size "agent, stripped static-pie" "$agent" $((400 * 1024))
size "kernel + initramfs" $(($(stat -c %s out/bzImage) + $(stat -c %s out/initrd.zst))) $((3584 * 1024))

for i in 1 2 3; do
    "$CVMIN" boot --image out/image.json --name $vm --json >/dev/null 2>&1
    "$CVMIN" describe $vm --json >"$work/$i.json"
    "$CVMIN" stop $vm >/dev/null
done
python3 - "$work"/*.json <<'EOF'
import json, statistics, sys
runs = [json.load(open(p)) for p in sys.argv[1:]]
print("boot under", runs[0]["accelerator"])
for key in runs[0]["times"]:
    values = [r["times"][key] for r in runs if isinstance(r["times"].get(key), (int, float))]
    if values:
        print("  %-32s %8.1f ms   (%.1f .. %.1f)" % (key, statistics.median(values), min(values), max(values)))
EOF
