#!/usr/bin/env bash
# The programs of examples/ outside of a CVM: their numbers against ones computed here by other code, their rules about what may be
# said, and what they say of wrong input. Needs CVMIN_SRC and CVMIN_BUILD.
set -euo pipefail
: "${CVMIN_SRC:?}" "${CVMIN_BUILD:?}"
work=$(mktemp -d /tmp/cvmin-programs-XXXXXX)
trap 'rm -rf -- "$work"' EXIT
cd "$work"
CVMIN_EXAMPLES=$CVMIN_BUILD/examples python3 -B "$CVMIN_SRC/tests/examples/programs.py" -v 2>&1 || { echo "programs.sh: failed" >&2; exit 1; }
