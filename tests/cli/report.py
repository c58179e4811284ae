#!/usr/bin/env python3
"""cvmin verify --report over every real report of tests/data/reports.json, by the command as its users run it: what the
index says must hold holds, and one bit of the signature, another chip's certificate or a foreign root is refused."""
import json
import os
import subprocess
import sys
import tempfile

cvmin, source = os.environ["CVMIN"], os.environ["CVMIN_SRC"]
data = os.path.join(source, "tests", "data")
roots = os.path.join(source, "host-tools", "appraise", "roots")
work = tempfile.mkdtemp()
problems, runs = [], 0


def skipped(value):
    """Every member that may be skipped is: only what can never be skipped is left."""
    return {name: entry if name == "comment" else "skip" for name, entry in value.items()}


def policy_for(entry):
    policy = json.load(open(os.path.join(source, "policies", entry["product_line"].lower() + ".json")))
    policy["report_versions"] = [entry["fields"]["version"]]
    policy["signing_key"] = [entry["vek_kind"]]
    policy["vmpl"] = entry["fields"]["vmpl"]
    policy["csp_id"] = [entry["vek_csp_id"]] if entry["vek_csp_id"] else "skip"
    policy["masked_chip_id"] = True
    policy["guest_policy"] = skipped(policy["guest_policy"])
    policy["platform_info"] = skipped(policy["platform_info"])
    policy["minimum_tcb"] = {entry["product_line"]: skipped(policy["minimum_tcb"][entry["product_line"]])}
    for member in ("require", "provisional_firmware", "report_id_ma"):
        if member in policy:
            policy[member] = "skip"
    if entry["name"] == "turin-v5-oc":
        policy["allowed_unknown_bits"] = ["platform_info.6"]
    path = os.path.join(work, "policy.json")
    json.dump(policy, open(path, "w"))
    return path


def verify(report, *arguments):
    global runs
    runs += 1
    done = subprocess.run([cvmin, "verify", "--report", report, "--json", *arguments], capture_output=True, text=True)
    if done.returncode not in (0, 1):
        problems.append(f"{report}: exit {done.returncode}: {done.stderr.strip()}")
        return done.returncode, {}, set()
    verdict = json.loads(done.stdout)
    checks = {check["check"]: check["outcome"] for check in verdict["checks"]}
    if verdict["subject"] != "report" or verdict["accepted"] != (done.returncode == 0):
        problems.append(f"{report}: the verdict and the exit code differ")
    return done.returncode, checks, {name for name, outcome in checks.items() if outcome in ("failed", "not_made")}


def expect(holds, text):
    if not holds:
        problems.append(text)


def flipped(path, at):
    raw = bytearray(open(path, "rb").read())
    raw[at] ^= 1
    out = os.path.join(work, "changed.bin")
    open(out, "wb").write(raw)
    return out


# what cvmin policy init --skip-all writes: any genuine report, with nothing else said
skip_all = os.path.join(work, "skip-all.json")
subprocess.run([cvmin, "policy", "init", "--skip-all", "--out", skip_all], check=True, capture_output=True)
ANY = ["--policy", skip_all, "--time", "2025-10-01T00:00:00Z"]

seen = 0
for entry in json.load(open(os.path.join(data, "reports.json")))["reports"]:
    name, folder = entry["name"], os.path.join(data, entry["dir"])
    report = os.path.join(folder, entry["report"])
    raw = open(report, "rb").read()
    wanted = ["--measurement", raw[0x90:0xC0].hex(), "--report-data", raw[0x50:0x90].hex()]
    time = ["--time", "2025-10-01T00:00:00Z"]
    if entry["vek"] is None:
        code, checks, bad = verify(report, *wanted, *time, "--policy", os.path.join(source, "policies", "milan.json"))
        expect(code == 1 and checks.get("snp.chain") == "failed", f"{name}: accepted without a certificate")
        code, checks, _ = verify(report, *ANY)
        expect(code == 1 and checks.get("snp.chain") == "failed", f"{name}: --skip-all: accepted without a certificate")
        continue
    seen += 1
    vek, policy = os.path.join(folder, entry["vek"]), policy_for(entry)
    base = ["--vek", vek, "--policy", policy, *time]
    code, checks, bad = verify(report, *base, *wanted)
    for check, holds in (
        ("snp.signature", entry["signature_valid"]),
        ("snp.chain", entry["chain_valid"]),
        ("snp.tcb.certificate", entry["tcb_matches_cert"]),
    ):
        expect((checks.get(check) == "passed") == holds, f"{name}: {check} is {checks.get(check)}")
    expect(code == 0, f"{name}: refused: {sorted(bad)}")

    genuine = entry["signature_valid"] and entry["chain_valid"] and entry["tcb_matches_cert"]
    code, checks, bad = verify(report, "--vek", vek, *ANY)
    expect((code == 0) == genuine, f"{name}: --skip-all: exit {code}: {sorted(bad)}")
    for check in ("snp.measurement", "binding.report_data", "snp.vmpl", "snp.csp_id", "snp.policy.debug"):
        expect(checks.get(check) == "skipped", f"{name}: --skip-all: {check} is {checks.get(check)}")
    code, _, bad = verify(report, "--vek", vek, *ANY, *wanted)
    expect(code == 0, f"{name}: --skip-all, with the right values: {sorted(bad)}")
    code, _, bad = verify(report, "--vek", vek, *ANY, "--measurement", "00" * 48, "--report-data", "00" * 63 + "ff")
    expect(code == 1 and bad == {"snp.measurement", "binding.report_data"}, f"{name}: --skip-all, other values: {sorted(bad)}")
    for at in range(0, 0x318, 61):  # the signature covers all of it, and is canonical
        code, _, bad = verify(flipped(report, at), "--vek", vek, *ANY)
        expect(code == 1, f"{name}: --skip-all: byte {at} changed, accepted")

    code, _, bad = verify(flipped(report, 0x2A0), *base, *wanted)
    expect(code == 1 and bad == {"snp.signature"}, f"{name}: a changed signature: {sorted(bad)}")
    code, _, bad = verify(report, *base, *wanted[:2])
    expect(code == 1 and bad == {"binding.report_data"}, f"{name}: REPORT_DATA not spoken of: {sorted(bad)}")
    code, _, bad = verify(report, *base, *wanted[:2], "--report-data", "00" * 63 + "ff")
    expect(code == 1 and bad == {"binding.report_data"}, f"{name}: another REPORT_DATA: {sorted(bad)}")
    code, checks, _ = verify(report, *base, *wanted[:2], "--report-data", "skip")
    expect(code == 0 and checks["binding.report_data"] == "skipped", f"{name}: REPORT_DATA skipped by name")

    line = entry["product_line"].lower()
    kind = "asvk" if entry["vek_kind"] == "vlek" else "ask"
    given = ["--ask", os.path.join(roots, f"{kind}_{line}.der"), "--ark", os.path.join(roots, f"ark_{line}.der")]
    code, _, bad = verify(report, *base, *wanted, *given)
    expect(code == 0, f"{name}: with the chain given: {sorted(bad)}")
    forged = os.path.join(data, "negative", "forged-chain-Milan-B1", "ark.der")
    code, checks, _ = verify(report, *base, *wanted, "--ark", forged)
    expect(code == 1 and checks["snp.chain"] == "failed", f"{name}: a foreign root was taken")
    other = os.path.join(data, "oak", "turin-v5-oc" if line != "turin" else "genoa-v5-oc-mitvector", "vcek.der")
    code, checks, _ = verify(report, *wanted, *time, "--policy", policy, "--vek", other)
    expect(code == 1 and checks["snp.signature"] == "failed", f"{name}: another chip's certificate was taken")
# a file that was given is never taken for none
empty = os.path.join(work, "empty")
open(empty, "w").close()
genoa = os.path.join(data, "oak", "genoa-v5-oc-mitvector")
vek = os.path.join(genoa, "vcek.der")
for given in (["--vek", empty], ["--vek", vek, "--ask", empty], ["--vek", vek, "--ark", empty]):
    done = subprocess.run([cvmin, "verify", "--report", os.path.join(genoa, "report.bin"), *given, *ANY], capture_output=True, text=True)
    expect(done.returncode == 3 and "certificate ends too early" in done.stderr, f"an empty {given[-2]}: exit {done.returncode} {done.stderr}")
# as openssl writes it for people; and several in one file, as KDS's cert_chain is
text = os.path.join(work, "text.pem")
subprocess.run(["openssl", "x509", "-inform", "DER", "-in", vek, "-text", "-out", text], check=True)
code, _, bad = verify(os.path.join(genoa, "report.bin"), "--vek", text, *ANY)
expect(code == 0, f"a certificate below its text: {sorted(bad)}")
chain = os.path.join(work, "chain.pem")
with open(chain, "w") as file:
    for part in ("ask", "ark"):
        subprocess.run(["openssl", "x509", "-inform", "DER", "-in", os.path.join(roots, f"{part}_genoa.der")], check=True, stdout=file)
done = subprocess.run([cvmin, "verify", "--report", os.path.join(genoa, "report.bin"), "--vek", vek, "--ask", chain, *ANY],
                      capture_output=True, text=True)
expect(done.returncode == 3 and "more than one certificate" in done.stderr, f"two certificates: exit {done.returncode} {done.stderr}")
# a revocation list for a chain of a VLEK
negative = os.path.join(data, "negative")
entries = {entry["name"]: entry for entry in json.load(open(os.path.join(negative, "index.json")))["entries"]}
entry = entries["good-vlek"]
there = lambda path: os.path.join(negative, path)
for crl, wanted in (("good-crl", set()), ("crl-revokes-ask", {"snp.revocation"}), ("crl-other-issuer", {"snp.revocation"})):
    code, checks, bad = verify(
        there(entry["report"]), "--vek", there(entry["vek"]), "--ask", there(entry["ask"]), "--policy", skip_all, "--time", entry["time"],
        "--trust-emulated", there(entry["trust_emulated"]), "--crl", there(entries[crl]["crl"]))
    expect(bad == wanted and code == bool(wanted), f"a VLEK with the list of {crl}: exit {code}: {sorted(bad)}")
    expect(checks.get("snp.revocation") == ("failed" if wanted else "passed"), f"a VLEK with the list of {crl}: not looked at")
expect(seen == 11, f"{seen} reports with certificates instead of 11")
for folder in ("forged-chain-Milan-B1", "forged-chain-Turin-B0"):
    there = os.path.join(data, "negative", folder)
    chain = [f"--{part}={os.path.join(there, file)}" for part, file in
             (("vek", "vcek.der"), ("ask", "ask.der"), ("ark", "ark.der"))]
    code, checks, _ = verify(os.path.join(there, "report.bin"), *chain, "--report-data", "skip", "--policy",
                             os.path.join(source, "policies", "turin.json" if "Turin" in folder else "milan.json"))
    expect(code == 1 and checks["snp.chain"] == "failed", f"{folder}: accepted")
for problem in problems:
    print("report.py:", problem, file=sys.stderr)
print(f"{runs} runs of cvmin verify --report")
sys.exit(1 if problems else 0)
