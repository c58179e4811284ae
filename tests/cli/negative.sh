#!/usr/bin/env bash
# The negative corpus is what its generator makes, and cvmin verify refuses it by the command line, too: see negative.py.
set -euo pipefail
python3 "$CVMIN_SRC/tests/data/negative/make.py" --check
exec python3 "$(dirname "$0")/negative.py"
