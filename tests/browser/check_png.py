#!/usr/bin/env python3
"""check_png.py FILE WIDTH light|dark: an 8-bit PNG of that width, not blank, with a background of that kind."""
import struct
import sys
import zlib
from collections import Counter

data = open(sys.argv[1], "rb").read()
width_wanted, mode = int(sys.argv[2]), sys.argv[3]
if data[:8] != b"\x89PNG\r\n\x1a\n":
    sys.exit("check_png.py: not a PNG")
at, pixels, header = 8, b"", None
while at < len(data):
    size, kind = struct.unpack(">I4s", data[at : at + 8])
    body = data[at + 8 : at + 8 + size]
    if kind == b"IHDR":
        header = struct.unpack(">IIBBBBB", body)
    elif kind == b"IDAT":
        pixels += body
    at += 12 + size
width, height, depth, colour = header[:4]
channels = {2: 3, 6: 4}[colour]
if depth != 8 or width != width_wanted:
    sys.exit(f"check_png.py: {width} wide with {depth} bits, wanted {width_wanted} with 8")
raw, stride = zlib.decompress(pixels), width * channels
rows, before = [], bytes(stride)
for y in range(min(height, 900)):  # the top of the page is enough
    kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
    for i in range(stride):
        left = line[i - channels] if i >= channels else 0
        up, corner = before[i], before[i - channels] if i >= channels else 0
        if kind == 1:
            line[i] = (line[i] + left) & 255
        elif kind == 2:
            line[i] = (line[i] + up) & 255
        elif kind == 3:
            line[i] = (line[i] + (left + up) // 2) & 255
        elif kind == 4:
            guess = left + up - corner
            nearest = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]
            line[i] = (line[i] + nearest) & 255
    before = bytes(line)
    rows.append(before)
colours = Counter()
for row in rows[::3]:
    for x in range(0, stride, channels * 3):
        colours[row[x : x + 3]] += 1
most, count = colours.most_common(1)[0]
if len(colours) < 20 or count > 0.97 * sum(colours.values()):
    sys.exit(f"check_png.py: blank: {len(colours)} colours")
brightness = sum(most) / 3
if (brightness < 100) != (mode == "dark"):
    sys.exit(f"check_png.py: the background is {most.hex()}, not {mode}")
