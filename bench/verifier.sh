#!/usr/bin/env bash
# The verifier service under load, by wrk on the same machine: requests per second and their times, beside the floors: health
# checks (HTTP and nothing else), and appraisals in one process without HTTP. Then what load leaves behind in memory, what
# a thousand silent connections cost, and what two hundred slow clients do to the others.
set -euo pipefail
cd "$CVMIN_SRC"
CVMIN=${CVMIN:-$CVMIN_SRC/build/host/host-tools/cvmin}
work=$(mktemp -d)
broken() {
    echo "bench verifier: $*" >&2
    exit 1
}
# shellcheck source=tests/peer/service.sh
. tests/peer/service.sh
trap 'stop_services; rm -rf -- "$work"' EXIT
trap 'exit 130' INT TERM
make_values "$work/values"
serve one "$work/values" --log errors --page off --threads 2 --idle-timeout 3600
ulimit -n "$(ulimit -Hn)" # a thousand connections
python3 bench/peer/verifier.py "${service_url[one]}" "${service_pid[one]}" "$evidence" "$nonce" "$work/values" \
    "${CVMIN_BENCH_VERIFIER:-$CVMIN_SRC/build/host/bench/cvmin-bench-verifier}"
