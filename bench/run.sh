#!/usr/bin/env bash
# run.sh [NAME]: every measurement, or the one named. Each prints figures beside a floor, a peer or a budget, in the same run.
set -euo pipefail
cd "$CVMIN_SRC/bench"
if [ $# -gt 0 ]; then
    [ -f "$1.sh" ] && [ "$1" != run ] || {
        echo "cvmin: error: no benchmark '$1'; there are: $(for f in *.sh; do [ "$f" = run.sh ] || basename "$f" .sh; done | paste -sd' ')" >&2
        exit 2
    }
    exec bash "./$1.sh"
fi
for bench in *.sh; do
    [ "$bench" = run.sh ] && continue
    printf '== %s\n' "$(basename "$bench" .sh)"
    bash "./$bench"
done
