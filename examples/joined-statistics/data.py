#!/usr/bin/env python3
"""Writes hospital.csv and clinic.csv, the same bytes each time. Usage: data.py hospital|clinic FILE

A hospital knows which treatment a patient had, a rehabilitation clinic how many days the patient then stayed. Keys are what
both know of a person. Made up: nobody's data."""
import random
import sys

TREATMENTS = [("physiotherapy", 0.40, 9.0), ("surgery", 0.30, 21.0), ("injection", 0.24, 14.0), ("trial-7", 0.04, 30.0), ("none", 0.02, 5.0)]


def people():
    """(key, treatment, days), of everybody in town."""
    source = random.Random(20261)  # random() is the same in every version of Python
    for number in range(600):
        key = "P%06d" % (100000 + number * 1493 % 899981)
        pick = source.random()
        for treatment, share, days in TREATMENTS:
            pick -= share
            if pick < 0:
                break
        stayed = days + sum(source.random() for _ in range(12)) * 1.5 - 9
        yield key, treatment, max(1, int(stayed)), source.random(), source.random()


def main():
    side, name = sys.argv[1:]
    rows = []
    for key, treatment, days, to_hospital, to_clinic in people():
        if side == "hospital" and to_hospital < 0.7:
            rows.append((key, str(1930 + int(to_hospital * 90)), treatment))
        if side == "clinic" and to_clinic < 0.6:
            rows.append((str(days), key))
    header = ("patient", "born", "treatment") if side == "hospital" else ("days", "patient")
    order = random.Random(side)
    rows.sort(key=lambda row: order.random())
    with open(name, "w", newline="") as out:
        for row in [header] + rows:
            out.write(",".join(row) + "\r\n")


main()
