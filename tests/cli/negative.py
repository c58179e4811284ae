#!/usr/bin/env python3
"""Runs `cvmin verify` over entries of the negative corpus: those that are accepted, and for each set of checks that some
entry fails the first such entry (test_negative reads all of them). With arguments: over the entries of these names.

Also what a runner for another verifier looks like: see docs/negative-corpus.md."""
import json
import os
import subprocess
import sys
import tempfile

cvmin, source = os.environ["CVMIN"], os.environ["CVMIN_SRC"]
corpus = os.path.join(source, "tests", "data", "negative")


def merge(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge(out.get(key), value)
    return out


def chosen(entries):
    if sys.argv[1:]:
        return [entry for entry in entries if entry["name"] in sys.argv[1:]]
    seen, out = set(), []
    for entry in entries:
        key = tuple(entry["failed"])
        if "activation" in entry:  # of a connection, which files cannot be: test_negative makes it up
            continue
        if not key or key not in seen:
            out.append(entry)
        seen.add(key)
    return out


def arguments(entry, policy):
    def path(member):
        return os.path.join(corpus, entry[member])

    out = ["--policy", policy, "--time", entry["time"]]
    for digest in entry["measurement"]:
        out += ["--measurement", digest]
    for member, option in (("trust_emulated", "--trust-emulated"), ("crl", "--crl")):
        if member in entry:
            out += [option, path(member)]
    if "evidence" in entry:
        for member in ("nonce", "exporter", "key"):
            out += ["--" + member, entry[member]]
        return [path("evidence"), *out]
    for member in ("vek", "ask", "ark"):
        if member in entry:
            out += ["--" + member, path(member)]
    if "report_data" in entry:
        out += ["--report-data", entry["report_data"]]
    return ["--report", path("report"), *out]


problems, runs = [], 0
with tempfile.TemporaryDirectory() as work:
    policy = os.path.join(work, "policy.json")
    for entry in chosen(json.load(open(os.path.join(corpus, "index.json")))["entries"]):
        runs += 1
        base = json.load(open(os.path.join(corpus, entry["policy"])))
        json.dump(merge(base, entry["policy_changes"]), open(policy, "w"))
        if entry["name"] == "evidence-measurement-skipped":  # the command asks for a digest before it looks: exit 2
            continue
        runs += 1
        done = subprocess.run([cvmin, "verify", "--json", *arguments(entry, policy)], capture_output=True, text=True)
        if done.returncode != (0 if entry["accepted"] else 1):
            problems.append(f"{entry['name']}: exit {done.returncode}: {done.stderr.strip()}")
            continue
        verdict = json.loads(done.stdout)
        failed = sorted(check["check"] for check in verdict["checks"] if check["outcome"] == "failed")
        if failed != entry["failed"] or verdict["accepted"] != entry["accepted"] or verdict["genuine"] != entry["genuine"]:
            problems.append(f"{entry['name']}: {failed}, genuine {verdict['genuine']}; wanted {entry['failed']}")
for problem in problems:
    print("negative.py:", problem, file=sys.stderr)
print(f"{runs} runs of cvmin verify")
sys.exit(1 if problems or runs == 0 else 0)
