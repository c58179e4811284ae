#!/usr/bin/env bash
# cvmin verifier serve as its users run it: see verifier.py. In a network that has a loopback and nothing else, with two
# subscribers' addresses of IPv6.
set -euo pipefail
[ -n "${CVMIN_OWN_NETWORK:-}" ] || CVMIN_OWN_NETWORK=1 exec unshare --net bash "$0"
ip link set lo up
if [ -e /proc/net/if_inet6 ]; then
    for address in 2001:db8:1::1 2001:db8:1::2 2001:db8:2::1; do ip -6 address add "$address/64" dev lo nodad; done
fi
exec python3 "$(dirname "$0")/verifier.py"
