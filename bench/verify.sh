#!/usr/bin/env bash
# Verifications per second on one core, of real reports under their product's policy, beside the floor: one P-384
# verification by the fastest library on the machine, in the same process and in turns. CPU time of the thread; the least
# of many rounds is what the code needs, whatever else runs. Then the whole command; and, of a report that it knows, another
# verifier on the same report in the same run: go-sev-guest, in a root that only this needs (peer/build.sh).
set -euo pipefail
cd "$CVMIN_SRC"
bench=${CVMIN_BENCH_VERIFY:-build/host/bench/cvmin-bench-verify}
cvmin=${CVMIN:-build/host/host-tools/cvmin}
peer=$CVMIN_SRC/build/peer/bench-peer
bench/peer/build.sh "$peer"
python3 - "$bench" "$cvmin" "$peer" <<'PY'
import json, os, statistics, subprocess, sys, tempfile, time
bench, cvmin, peer = sys.argv[1:]
rounds = os.environ.get("CVMIN_BENCH_ROUNDS", "31")
work = tempfile.mkdtemp()
at = "2025-10-01T00:00:00Z"

# Lines of a program that measures, by name: (least, median). In turns with others, so that each meets the same machine.
def measure(*commands):
    seen, turns = {}, 3
    for _ in range(turns):
        for command in commands:
            environment = dict(os.environ, GOMAXPROCS="1")
            lines = subprocess.run([*command, str(max(1, int(rounds) // turns))], check=True, capture_output=True, text=True,
                                   env=environment).stdout.splitlines()
            for name, least, median in (line.split("\t") for line in lines):
                seen.setdefault(name, []).append((float(least), float(median)))
    return {name: (min(least for least, _ in times), statistics.median(median for _, median in times))
            for name, times in seen.items()}

def skipped(value):
    return {name: entry if name == "comment" else "skip" for name, entry in value.items()}

def policy_for(entry): # what no site shares with these reports is skipped; all that is always checked stays
    policy = json.load(open("policies/%s.json" % entry["product_line"].lower()))
    policy.update(report_versions=[entry["fields"]["version"]], signing_key=[entry["vek_kind"]], vmpl=entry["fields"]["vmpl"],
                  guest_policy=skipped(policy["guest_policy"]), platform_info=skipped(policy["platform_info"]),
                  minimum_tcb={entry["product_line"]: skipped(policy["minimum_tcb"][entry["product_line"]])},
                  masked_chip_id=True)
    for member in ("require", "provisional_firmware", "report_id_ma"):
        if member in policy:
            policy[member] = "skip"
    path = os.path.join(work, entry["name"] + ".json")
    json.dump(policy, open(path, "w"))
    return path

for entry in json.load(open("tests/data/reports.json"))["reports"]:
    if entry["name"] not in ("milan-v3-oc-release", "genoa-v5-oc-mitvector"):
        continue
    folder = os.path.join("tests/data", entry["dir"])
    report, vek, policy = os.path.join(folder, entry["report"]), os.path.join(folder, entry["vek"]), policy_for(entry)
    ours = [bench, report, vek, policy, at]
    theirs = [peer, report, vek, *("host-tools/appraise/roots/%s_%s.der" % (kind, entry["product_line"].lower()) for kind in ("ask", "ark")), at]
    known = entry["fields"]["version"] <= 4 # what go-sev-guest 0.13 reads
    of = measure(ours, theirs) if known else measure(ours)
    floor = of["floor: one P-384 verification (EVP, key ready)"][0]
    print("%-58s %10s %10s %9s %8s" % (entry["name"], "least", "median", "per s", "x floor"))
    for name, (least, median) in of.items():
        print("%-58s %7.0f us %7.0f us %9.0f %8.2f" % (name, least, median, 1e6 / least, least / floor))
    whole, chain = of["appraised, chain checked every time"], of["chain: VEK, ASK and ARK"]
    left = whole[0] - chain[0] # nothing is cached (DECISIONS.md): what a cache of chains could leave at best
    print("%-58s %7.0f us %7.0f us %9.0f %8.2f" % ("  less the chain: were it cached per chip", left, whole[1] - chain[1], 1e6 / left, left / floor))
    raw = open(report, "rb").read()
    if known: # both say yes above; the peer says no, too
        changed = os.path.join(work, "changed")
        open(changed, "wb").write(bytes([raw[0x90] ^ 1 if i == 0x90 else b for i, b in enumerate(raw)]))
        if subprocess.run([peer, changed, *theirs[2:], "1"], capture_output=True).returncode != 1:
            sys.exit("bench verify: the peer accepts a changed report")
        for name, (least, median) in of.items():
            if name.startswith("go-sev-guest"):
                print("%-58s %7.2f    %7.2f" % ("  %s / ours, chain checked" % name, least / whole[0], median / whole[1]))
    command = [cvmin, "verify", "--report", report, "--vek", vek, "--policy", policy, "--time", at, "--json",
               "--measurement", raw[0x90:0xc0].hex(), "--report-data", raw[0x50:0x90].hex()]
    times = []
    for _ in range(int(rounds)):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append((time.perf_counter() - begin) * 1e3)
    print("whole process, cvmin verify --report: least %.1f ms, median %.1f ms\n" % (min(times), statistics.median(times)))
speed = subprocess.run(["openssl", "speed", "-seconds", "1", "ecdsap384"], capture_output=True, text=True).stdout.split()
print("openssl speed ecdsap384: %s verifications per second" % speed[-1])
PY
