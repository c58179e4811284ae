#!/usr/bin/env bash
# cvmin verify --report over every real report: see report.py.
exec python3 "$(dirname "$0")/report.py"
