#!/usr/bin/env bash
# Replay of firmware event logs: real ones, and one of several MiB made of a real one's events again and again. Beside it
# the floor (the hashes that a replay cannot do without, in the same process and in turns) and a peer, tpm2_eventlog of
# tpm2-tools, which parses, replays all banks and prints YAML: whole processes, so cvmin show is measured beside it.
# MB/s of log on one core; CPU time of the thread, the best of many rounds. Budget: 200 MB/s for what a verifier does,
# which is one bank (SHA-256).
set -euo pipefail
cd "$CVMIN_SRC"
bench=${CVMIN_BENCH_EVENTLOG:-build/host/bench/cvmin-bench-eventlog}
cvmin=${CVMIN:-build/host/host-tools/cvmin}
python3 - "$bench" "$cvmin" <<'PY'
import os, struct, subprocess, sys, tempfile, time
bench, cvmin = sys.argv[1:]
rounds = os.environ.get("CVMIN_BENCH_ROUNDS", "31")
work = tempfile.TemporaryDirectory()

def repeated(path, size): # the header once, the events after it until the log has `size` bytes
    log = open(path, "rb").read()
    first = 32 + struct.unpack_from("<I", log, 28)[0]
    events = log[first:]
    out = os.path.join(work.name, os.path.basename(path))
    open(out, "wb").write(log[:first] + events * (1 + size // len(events)))
    return out

def best(command):
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - begin)
    return min(times)

real = "tests/data/go-tpm-tools/eventlogs/"
ours = "tests/data/measured/boot-ng/eventlog.bin"
logs = [("OVMF and our kernel", ours), ("Ubuntu, GRUB, 3 banks", real + "ubuntu-2104-no-dbx.bin"),
        ("a PC's, 2 banks", real + "arch-linux-workstation.bin"),
        ("GRUB's, again and again", repeated(real + "ubuntu-1804-amd-sev.bin", 8 << 20)),
        ("ours, again and again", repeated(ours, 8 << 20))]
for name, path in logs:
    size = os.path.getsize(path)
    lines = subprocess.run([bench, path, rounds], check=True, capture_output=True, text=True).stdout.splitlines()
    print("%-52s %9s %9s" % ("%s (%d bytes)" % (name, size), "best", "median"))
    for line in lines:
        what, least, median = line.split("\t")
        print("  %-50s %4.0f MB/s %4.0f MB/s" % (what, float(least), float(median)))
    if size < 1 << 20: # both print; neither is meant for logs of many MiB
        for what, command in (("whole process: cvmin show eventlog --json", [cvmin, "show", "eventlog", path, "--json"]),
                              ("whole process: cvmin show eventlog", [cvmin, "show", "eventlog", path]),
                              ("whole process: tpm2_eventlog", ["tpm2_eventlog", path])):
            print("  %-50s %6.1f ms" % (what, best(command) * 1e3))
    else:
        print("  %-50s %4.0f MB/s" % ("whole process: tpm2_eventlog (prints YAML)", size / 1e6 / best(["tpm2_eventlog", path])))
    print()
PY
