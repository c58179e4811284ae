#!/usr/bin/env bash
# What cvmin verifier serve judges by, from every option that there is: see verifier_inputs.py. In a network that has a loopback and
# nothing else. The image is that of CVMIN_IMAGE, else out/ (`./dev test` makes it).
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
[ -n "${CVMIN_OWN_NETWORK:-}" ] || CVMIN_OWN_NETWORK=1 exec unshare --net bash "$0"
ip link set lo up
exec python3 "$(dirname "$0")/verifier_inputs.py"
