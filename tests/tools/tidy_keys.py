"""Which sources clang-tidy has to look at: prints "path<TAB>key" for each source below the directories given. The key covers all that
its findings follow from: the source, every header of this tree that ninja saw it include, how it is compiled, the .clang-tidy that
hold for it, and the toolchain's lock. Where ninja knows no headers, or old ones, all of the tree's count.

    python3 tidy_keys.py BUILD DATABASE DIRECTORY...     run from the root of the tree, after BUILD was built

DATABASE/compile_commands.json, which it writes, has one command for each of these sources, the first that BUILD has: clang-tidy
looks at a file once for each command.
"""
import hashlib
import json
import os
import subprocess
import sys

build, database, directories = sys.argv[1], sys.argv[2], tuple(d + "/" for d in sys.argv[3:])
tree = os.getcwd()
digests = {}


def digest(path):
    if path not in digests:
        with open(path, "rb") as file:
            digests[path] = hashlib.sha256(file.read()).hexdigest()
    return digests[path]


def inside(path):
    """The path from the tree's root, or None for what is not of this tree (pinned by the lock)."""
    path = os.path.relpath(os.path.realpath(os.path.join(build, path)), tree)
    return None if path.startswith("..") or path.startswith("build/") else path


tracked = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout.split("\n")
all_headers = sorted(p for p in tracked if p.endswith((".hpp", ".h")) and os.path.exists(p))
common = [digest("toolchain/debs.lock"), digest(__file__)]


def configurations(path):
    """The .clang-tidy of the directories above, from the root down."""
    parents = [os.path.join(*path.split("/")[:depth], ".clang-tidy") if depth else ".clang-tidy" for depth in range(path.count("/") + 1)]
    return [p for p in parents if os.path.exists(p)]


headers = {}
output = None
for line in subprocess.run(["ninja", "-C", build, "-t", "deps"], check=True, capture_output=True, text=True).stdout.split("\n"):
    if line and not line.startswith(" "):
        output = line.split(": #deps")[0] if line.endswith("(VALID)") else None
        if output:
            headers[output] = set()
            compiled = int(line.split("deps mtime ")[1].split()[0])  # nanoseconds
    elif line and output:
        path = inside(line.strip())
        if path and os.path.exists(path) and os.stat(path).st_mtime_ns <= compiled:
            headers[output].add(path)
        elif path:  # changed since, and may include others
            del headers[output]
            output = None

entries = {}
with open(os.path.join(build, "compile_commands.json")) as file:
    for entry in json.load(file):
        path = os.path.relpath(os.path.realpath(entry["file"]), tree)
        if path.startswith(directories) and path in tracked:
            entries.setdefault(path, entry)
os.makedirs(database, exist_ok=True)
with open(os.path.join(database, "compile_commands.json"), "w") as file:
    json.dump(list(entries.values()), file)

for path, entry in sorted(entries.items()):
    included = headers.get(entry.get("output"))
    if included is None or path not in included:
        included = set(all_headers)
    parts = common + [entry["command"].replace(tree, "")]
    parts += [p + " " + digest(p) for p in configurations(path) + sorted(included | {path})]
    print(path + "\t" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32])
