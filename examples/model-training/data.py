#!/usr/bin/env python3
"""Writes loans of two banks, and new ones to try a model on; the same bytes each time. Usage: data.py north|south|new FILE

Whether a loan is paid back depends on all four columns, in the same way at both banks (TRUTH). North lends to people with little debt, south
to people with much whom it knows for long, so that neither can learn alone what debt and years do. Made up: nobody's data."""
import math
import random
import sys

FEATURES = ("income", "debt", "years", "late")
LABEL = "default"
TRUTH = {"bias": -1.4, "income": -0.045, "debt": 0.09, "years": -0.12, "late": 0.55}  # units as in the file
ROWS = {"north": 260, "south": 150, "new": 2000}
DEBT = {"north": (0, 25), "south": (35, 60), "new": (0, 60)}  # thousands
YEARS = {"north": (0, 20), "south": (15, 20), "new": (0, 20)}  # a customer


def probability(row, weights):
    return 1 / (1 + math.exp(-weights["bias"] - sum(weights[name] * value for name, value in zip(FEATURES, row))))


def rows(side):
    """(income, debt, years, late, default)"""
    source = random.Random("loans of " + side)  # random() is the same in every version of Python
    for _ in range(ROWS[side]):
        (low, high), (first, last) = DEBT[side], YEARS[side]
        row = (
            round(20 + 60 * source.random(), 1),
            round(low + (high - low) * source.random(), 1),
            first + int((last - first) * source.random()),
            int(6 * source.random() ** 2),
        )
        yield row + (int(source.random() < probability(row, TRUTH)),)


def main():
    side, name = sys.argv[1:]
    with open(name, "w", newline="") as out:
        for row in [FEATURES + (LABEL,), *rows(side)]:
            out.write(",".join(map(str, row)) + "\n")


if __name__ == "__main__":
    main()
