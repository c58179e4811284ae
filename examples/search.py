#!/usr/bin/env python3
"""Says whether anything of some files can be found in what a host has recorded. Usage: search.py RECORDED... -- FILE...

Looked for: of a CSV file each field of 6 bytes or more; of any other file 32 bytes of each 4 KiB. Exit 1: something was found, or
the search itself is void: fewer bytes were recorded than the files have, or it does not find a file in itself."""
import sys

SHORTEST = 6  # bytes: shorter ones turn up in random bytes by themselves


def needles(name, data):
    if name.endswith(".csv"):
        return {field for line in data.splitlines() for field in line.split(b",") if len(field) >= SHORTEST}
    pieces = (data[at : at + 32] for at in range(0, len(data), 4096))
    return {piece for piece in pieces if len(set(piece)) >= 8}  # no padding


def main():
    cut = sys.argv.index("--")
    recorded = [open(name, "rb").read() for name in sys.argv[1:cut]]
    size = looked_for = 0
    for name in sys.argv[cut + 1 :]:
        data = open(name, "rb").read()
        size += len(data)
        wanted = needles(name, data)
        if not wanted or not all(needle in data for needle in wanted):
            sys.exit("search.py: %s: there is nothing to look for" % name)
        looked_for += len(wanted)
        for needle in wanted:
            if any(needle in record for record in recorded):
                sys.exit("search.py: the host can read of %s: %r" % (name, needle))
    if len(recorded[0]) < size:
        sys.exit("search.py: the host has recorded %d bytes, and the files have %d" % (len(recorded[0]), size))
    print("has recorded %d bytes; none of %d pieces of the parties' files is in them: ciphertext" % (len(recorded[0]), looked_for))


main()
