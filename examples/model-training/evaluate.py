#!/usr/bin/env python3
"""How often a model is right about rows that it has not seen. Usage: evaluate.py model.json FILE.csv; prints a share, as 0.8125."""
import csv
import json
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        model = json.load(file)
    right = rows = 0
    with open(sys.argv[2], newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            score = model["bias"] + sum(weight * float(row[name]) for name, weight in model["weights"].items())
            right += (score >= 0) == (row[model["label"]] == "1")
            rows += 1
    print("%.4f" % (right / rows))


main()
