# Verifier services for tests and measurements; sourced, with CVMIN, CVMIN_SRC, work (a directory) and broken() set by the caller, who
# calls stop_services before it ends.
# shellcheck shell=bash disable=SC2154,SC2034 # work is the caller's, and nonce and service_url are for it
appraise_data=$CVMIN_SRC/tests/data/appraise
evidence=$appraise_data/evidence.cbor # of an emulated machine, accepted for the nonce that it answers until 2045
nonce=$(python3 -c 'import base64, json, sys
print(base64.urlsafe_b64encode(bytes.fromhex(json.load(open(sys.argv[1]))["nonce"])).decode().rstrip("="))' "$evidence.session.json")
declare -A service_pid=() service_url=()

# peer COMMAND...: inside the root with other people's programs
peer() { "$CVMIN_SRC/toolchain/enter.sh" "$CVMIN_PEER" env HOME="$work" "$@"; }

# nginx_with SITE: $work/nginx.conf, which has this file of deploy/nginx, or one like it, with a certificate of its own: $work/site.pem.
nginx_with() {
    [ -s "$work/site.pem" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/site.key" -out "$work/site.pem" \
        -days 2 -subj /CN=verifier.example -addext subjectAltName=DNS:verifier.example 2>/dev/null
    sed "s,/etc/nginx/verifier\.example,$work/site," "$1" >"$work/site.conf"
    [ -e /proc/net/if_inet6 ] || sed -i '/listen \[::\]/d' "$work/site.conf"
    mkdir -p "$work/nginx"
    cat >"$work/nginx.conf" <<END
daemon off;
user root;
worker_processes 1;
pid $work/nginx/pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path $work/nginx/body;
    proxy_temp_path $work/nginx/proxy;
    fastcgi_temp_path $work/nginx/fastcgi;
    uwsgi_temp_path $work/nginx/uwsgi;
    scgi_temp_path $work/nginx/scgi;
    include $work/site.conf;
}
END
}

# make_values DIRECTORY: policy.json and ark.der, under which the evidence is accepted; signing-key.pem and its public half; session-key.
make_values() {
    mkdir -p "$1"
    python3 - "$CVMIN_SRC/policies/emulated.json" >"$1/policy.json" <<'PY'
import json, sys
print(json.dumps(json.load(open(sys.argv[1])) | {"measurement": ["aa" * 48]}))
PY
    cp "$appraise_data/ark.der" "$1/ark.der"
    (
        umask 077
        openssl ecparam -name secp384r1 -genkey -noout -out "$1/signing-key.pem"
        head -c 32 /dev/urandom >"$1/session-key"
    )
    openssl ec -in "$1/signing-key.pem" -pubout -out "$1/public.pem" 2>/dev/null
}

# serve NAME VALUES ARGS...: a service by the values of that directory, on a port of its own choice unless ARGS say otherwise.
# service_url[NAME] is where, $work/NAME.log its log.
serve() {
    local name=$1 values=$2 tries=0 where=(--listen 127.0.0.1:0)
    shift 2
    case " $* " in *" --listen "*) where=() ;; esac
    "$CVMIN" verifier serve --policy "$values/policy.json" --trust-emulated "$values/ark.der" --signing-key "$values/signing-key.pem" \
        --session-key "$values/session-key" "${where[@]}" "$@" 2>"$work/$name.log" &
    service_pid[$name]=$!
    until grep -q '"event":"listening"' "$work/$name.log"; do
        kill -0 "${service_pid[$name]}" 2>/dev/null || broken "$name: $(cat "$work/$name.log")"
        tries=$((tries + 1))
        [ $tries -lt 200 ] || broken "$name does not listen after 10 seconds"
        sleep 0.05
    done
    service_url[$name]=http://$(sed -n '/"event":"listening"/s/.*"address":"\([^"]*\)".*/\1/p' "$work/$name.log")
}
# stop_services: what is left of them; asks first
stop_services() {
    [ ${#service_pid[@]} = 0 ] || kill "${service_pid[@]}" 2>/dev/null || true
    wait "${service_pid[@]}" 2>/dev/null || true
    service_pid=()
}
