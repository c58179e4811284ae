#!/usr/bin/env bash
# A new image after one file of the agent changed, and after nothing did, beside their floor: ninja alone, on the same change in the
# same build tree. Time by the clock and of the processors (which says more on a busy machine); median and least of the rounds.
# ./dev itself (entering the root, looking whether cvmin is up to date) is measured apart: a user's time is the sum. Budget: DECISIONS.md.
set -euo pipefail
cd "$CVMIN_SRC"
work=$(mktemp -d "${TMPDIR:-/tmp}/cvmin-bench-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/source"
cp -r agent-min common image toolchain CMakeLists.txt "$work/source/"
python3 - "$PWD/build/host/host-tools/cvmin" "$work" <<'PY'
import os, resource, statistics, subprocess, sys, time
cvmin, work = sys.argv[1:]
rounds = int(os.environ.get("CVMIN_BENCH_ROUNDS", "5"))
changed = work + "/source/agent-min/main.cpp"
original = open(changed).read()
budget = 15.0
number = 0

def change():
    global number
    number += 1
    # text that ccache has not seen, in a file that many builds will have to compile
    open(changed, "w").write(original + "extern const int cvmin_bench; const int cvmin_bench = %d;\n" % (number + os.getpid() * 1000))

def cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

def run(*argv):
    before, begin = cpu(), time.perf_counter()
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=dict(os.environ, CVMIN_QUIET="1"))
    if done.returncode != 0:
        sys.exit("%s: exit %d: %s" % (argv[0], done.returncode, done.stderr))
    return time.perf_counter() - begin, cpu() - before

build = (cvmin, "build", "--source", work + "/source", "--out", work + "/out", "--work", work + "/work")
ninja = ("ninja", "-C", work + "/work/agent", "cvmin-agent")
first = run(*build)
print("agent compiled as a whole (kernel from the cache): %.1f s, %.1f s of processors" % first)
names = ["ninja, one file changed", "cvmin build, one file changed", "ninja, nothing changed", "cvmin build, nothing changed",
         "./dev cvmin --version, nothing to compile"]
times = {name: [] for name in names}
for _ in range(rounds):
    change()
    times[names[0]].append(run(*ninja))
    change()
    times[names[1]].append(run(*build))
    times[names[2]].append(run(*ninja))
    times[names[3]].append(run(*build))
    times[names[4]].append(run("./dev", "cvmin", "--version"))
print("%-44s %9s %9s %11s %8s" % ("%d rounds" % rounds, "median", "least", "processors", "x floor"))
floor = {names[1]: names[0], names[3]: names[2]}
for name in names:
    wall, used = zip(*times[name])
    ratio = "%8.2f" % (min(used) / min(cpu for _, cpu in times[floor[name]])) if name in floor else ""
    print("%-44s %7.2f s %7.2f s %9.2f s %8s" % (name, statistics.median(wall), min(wall), min(used), ratio))
total = [min(t[0] for t in times[name]) for name in (names[1], names[4])]
print("a changed file to a new image, all of it: %.1f s of %g s (%.0f %%)" % (sum(total), budget, 100 * sum(total) / budget))
PY
