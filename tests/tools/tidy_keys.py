"""Which sources clang-tidy has to look at: prints "path<TAB>key" for each source below the directories given. The key covers all that
its findings follow from: the source, every header of this tree that ninja saw it include, how it is compiled, .clang-tidy, and the
toolchain's lock. Where ninja knows no headers, or old ones, all of the tree's count.

    python3 tidy_keys.py BUILD DIRECTORY...     run from the root of the tree, after BUILD was built
"""
import hashlib
import json
import os
import subprocess
import sys

build, directories = sys.argv[1], tuple(d + "/" for d in sys.argv[2:])
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
common = [digest(".clang-tidy"), digest("toolchain/debs.lock"), digest(__file__)]

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

sources = {}
with open(os.path.join(build, "compile_commands.json")) as file:
    for entry in json.load(file):
        path = os.path.relpath(os.path.realpath(entry["file"]), tree)
        if path.startswith(directories) and path in tracked:
            sources.setdefault(path, []).append(entry)

for path, entries in sorted(sources.items()):
    parts = list(common)
    included = set()
    for entry in entries:
        parts.append(entry["command"].replace(tree, ""))
        known = headers.get(entry.get("output"))
        included |= set(all_headers) if known is None or path not in known else known
    parts += [p + " " + digest(p) for p in sorted(included | {path})]
    print(path + "\t" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32])
