#!/usr/bin/env bash
# Whole-process time of cvmin measure against two floors measured in the same run, in turns: `openssl dgst -sha384` over
# the same firmware (what a tool that hashes every page once cannot go below with that library), and starting cvmin at all.
# Median of 21 rounds; the budget of one configuration is 25 ms. A kernel of 2.5 MiB is made for it.
set -euo pipefail
cd "$CVMIN_SRC"
cvmin=${CVMIN:-build/host/host-tools/cvmin}
firmware=/usr/share/ovmf/OVMF.amdsev.fd
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 - "$cvmin" "$firmware" "$work" <<'EOF'
import hashlib, os, statistics, subprocess, sys, time
cvmin, firmware, work = sys.argv[1:]
rounds, budget = 21, 25.0
kernel = os.path.join(work, "kernel")
with open(kernel, "wb") as out: # the same bytes in each run
    for i in range(2621440 // 32):
        out.write(hashlib.sha256(i.to_bytes(8, "little")).digest())
measure = [cvmin, "measure", "--vcpu-type", "EPYC-v4", "--ovmf", firmware, "--vcpus"]
floor = "openssl dgst -sha384 of the firmware"
start = "cvmin --version"
runs = {
    floor: ["openssl", "dgst", "-sha384", firmware],
    start: [cvmin, "--version"],
    "openssl dgst -sha256 of the kernel": ["openssl", "dgst", "-sha256", kernel],
    "measure, 1 vCPU": measure + ["1"],
    "measure, 16 vCPUs": measure + ["16"],
    "measure, 255 vCPUs": measure + ["255"],
    "measure, 1 vCPU, kernel of 2.5 MiB": measure + ["1", "--kernel", kernel],
    "measure, 255 vCPUs, kernel of 2.5 MiB": measure + ["255", "--kernel", kernel],
}
times = {name: [] for name in runs}
for i in range(rounds + 1): # the first round only warms the caches
    for name, argv in runs.items():
        begin = time.perf_counter()
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
        if i > 0:
            times[name].append((time.perf_counter() - begin) * 1e3)
median = {name: statistics.median(values) for name, values in times.items()}
print("%-40s %9s %9s %9s %12s" % ("whole process, %d rounds" % rounds, "median", "least", "x floor", "of 25 ms"))
for name, value in median.items():
    share = "%10.0f %%" % (100 * value / budget) if name.startswith("measure") else ""
    print("%-40s %6.1f ms %6.1f ms %9.2f %12s" % (name, value, min(times[name]), value / median[floor], share))
EOF
