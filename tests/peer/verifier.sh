#!/usr/bin/env bash
# Two replicas of the verifier with one session key behind nginx as deploy/nginx has it: `kill -9` of one under load, then of the
# other, loses no result, and every result is valid; slow clients block nobody; promtool reads the metrics. In a network that
# has a loopback and nothing else. Needs CVMIN_PEER (a root with nginx and promtool; `./dev test` makes it).
set -euo pipefail
[ -n "${CVMIN_OWN_NETWORK:-}" ] || CVMIN_OWN_NETWORK=1 exec unshare --net bash "$0"
ip link set lo up
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
[ -f "${CVMIN_PEER:-/nonexistent}/.complete" ] || broken "no root with the peers in CVMIN_PEER: run by ./dev test"
# shellcheck source=tests/peer/service.sh
. "$CVMIN_SRC/tests/peer/service.sh"
on_exit() { # a proxy that outlived the test would hold its streams
    [ ! -s "$work/nginx/pid" ] || kill "$(<"$work/nginx/pid")" 2>/dev/null || true
    stop_services
    rm -rf -- "$work"
}

make_values "$work/values"
replica() { serve "$1" "$work/values" --listen "127.0.0.1:$2" --threads 2 --log errors; }
replica one 8081
replica two 8082

# the example as it is, but for the certificate and for how many requests one client may make
sed "s,rate=50r/s,rate=100000r/s," "$CVMIN_SRC/deploy/nginx/cvmin-verifier.conf" >"$work/faster.conf"
nginx_with "$work/faster.conf"
peer nginx -c "$work/nginx.conf" >"$work/nginx/stderr" 2>&1 &
client() { python3 "$CVMIN_SRC/tests/peer/sessions.py" "$@"; }
tries=0
until client ready "$work/site.pem" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || broken "nginx does not answer: $(cat "$work/nginx/stderr")"
    sleep 0.1
done

# ---- a replica dies -------------------------------------------------------------------------------------------------
# load PID...: sessions until a hundred have their result; then that process is killed, and a hundred more begin and end
load() { client load "$work/site.pem" "$evidence" "$nonce" "$work/values/public.pem" "$1" || broken "results were lost: see above"; }
load "${service_pid[one]}"
wait "${service_pid[one]}" || [ $? = 137 ] || broken "replica one was not killed"
replica one 8081
sleep 4 # nginx counts whole seconds, and asks it again when more than two have passed
load "${service_pid[two]}"
wait "${service_pid[two]}" || [ $? = 137 ] || broken "replica two was not killed"
unset 'service_pid[two]'

# ---- slow clients ---------------------------------------------------------------------------------------------------
client slow "$work/site.pem" "$evidence" "$nonce" "$work/values/public.pem" 127.0.0.1:8081 || broken "slow clients: see above"

# ---- metrics --------------------------------------------------------------------------------------------------------
python3 "$CVMIN_SRC/tests/peer/ask.py" "${service_url[one]}" GET /metrics >"$work/reply" 3>"$work/metrics"
peer promtool check metrics <"$work/metrics" >"$work/stdout" 2>&1 || broken "promtool: $(cat "$work/stdout")"
[ ! -s "$work/stdout" ] || broken "promtool: $(cat "$work/stdout")"
sed 's/^# TYPE cvmin_requests_total counter/# TYPE cvmin_requests_total gauge/' "$work/metrics" >"$work/wrong"
if peer promtool check metrics <"$work/wrong" >"$work/stdout" 2>&1; then broken "promtool has nothing against a gauge with _total"; fi
# what the alerts are about is there
while read -r name; do
    grep -q "^${name}[ {]" "$work/metrics" || broken "an alert is about $name, which is not measured"
done < <(grep -oE 'cvmin_[a-z_]+' "$CVMIN_SRC/deploy/prometheus/cvmin-verifier.rules.yml" | sort -u)
