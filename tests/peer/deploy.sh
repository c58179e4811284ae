#!/usr/bin/env bash
# What is in deploy/, as those read it whom it is for: Kubernetes' own types, systemd, nginx, Prometheus. Each must also
# refuse a misspelt name, else it would have looked at nothing. Needs CVMIN_PEER (a root with them; `./dev test` makes it).
set -euo pipefail
[ -n "${CVMIN_OWN_NETWORK:-}" ] || CVMIN_OWN_NETWORK=1 exec unshare --net bash "$0"
ip link set lo up
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
: "${CVMIN_BUILD:?}"
[ -f "${CVMIN_PEER:-/nonexistent}/.complete" ] || broken "no root with the peers in CVMIN_PEER: run by ./dev test"
deploy=$CVMIN_SRC/deploy
# shellcheck source=tests/peer/service.sh
. "$CVMIN_SRC/tests/peer/service.sh"
# misspelt SED FILE: a copy of FILE that SED has changed, in $work/wrong
misspelt() { sed "$1" "$2" >"$work/wrong" && ! cmp -s "$2" "$work/wrong" || broken "nothing is wrong in $1"; }

# ---- Kubernetes -----------------------------------------------------------------------------------------------------
manifest=$deploy/kubernetes/cvmin-verifier.yaml
manifests=$CVMIN_BUILD/peer-go/manifests
if [ ! "$manifests" -nt "$CVMIN_SRC/tests/peer/manifests.go" ] || [ ! "$manifests" -nt "$CVMIN_PEER/.complete" ]; then
    # no modules and no network: packages are those of the root
    peer env GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE="$CVMIN_BUILD/peer-go/cache" GOTOOLCHAIN=local GOPROXY=off \
        CGO_ENABLED=0 go build -o "$manifests" "$CVMIN_SRC/tests/peer/manifests.go"
fi
expect 0 "$manifests" "$manifest"
cp "$work/stdout" "$work/pod.json"
while IFS='|' read -r text change; do
    misspelt "$change" "$manifest"
    expect 1 "$manifests" "$work/wrong"
    grep -qF -- "$text" "$work/stderr" || broken "$change: not '$text' but $(cat "$work/stderr")"
done <<'END'
unknown field "readinesProbe"|s/readinessProbe:/readinesProbe:/
unknown field "runAsNonRot"|s/runAsNonRoot:/runAsNonRot:/
unknown field "podSelektor"|s/podSelector:/podSelektor:/
already set in map|s/^      serviceAccountName: .*/&\n&/
"autoscaling/v3 HorizontalPodAutoscaler" is not expected|s,autoscaling/v2,autoscaling/v3,
the autoscaler scales Deployment cvmin-verifyer|s/kind: Deployment, name: cvmin-verifier/kind: Deployment, name: cvmin-verifyer/
security context|s/drop: \[ALL\]/drop: [KILL]/
security context|s/readOnlyRootFilesystem: true/readOnlyRootFilesystem: false/
mode of the keys|s/defaultMode: 0400/defaultMode: 0444/
no volume "key"|s/{name: keys, mountPath/{name: key, mountPath/
the Service: no port "htp"|s/targetPort: http/targetPort: htp/
a node cannot be drained|s/minAvailable: 1/minAvailable: 2/
the network policy lets everybody in|/namespaceSelector/d; /matchLabels: {kubernetes.io/d
END

# ---- systemd --------------------------------------------------------------------------------------------------------
unit=cvmin-verifier.service
tree=$work/tree # a system that it would be installed on
mkdir -p "$tree"/{etc/systemd/system,usr/bin,usr/lib/systemd}
cp -r "$CVMIN_PEER/usr/lib/systemd/system" "$tree/usr/lib/systemd/"
printf '#!/bin/sh\n' >"$tree/usr/bin/cvmin"
chmod +x "$tree/usr/bin/cvmin"
# analyze UNIT_FILE COMMAND...: systemd-analyze of it, in that system
analyze() {
    install -m 0644 "$1" "$tree/etc/systemd/system/$unit"
    peer systemd-analyze "${@:2}" --root="$tree" "$unit" >"$work/said" 2>&1
}
analyze "$deploy/systemd/$unit" verify --man=no || broken "systemd-analyze verify: $(cat "$work/said")"
[ ! -s "$work/said" ] || broken "systemd-analyze verify: $(cat "$work/said")"
# the key encrypted for a TPM, as docs/verifier-deploy.md has it
misspelt 's,^LoadCredential=signing-key.pem:.*,LoadCredentialEncrypted=signing-key.pem:/etc/cvmin/verifier/signing-key.cred,' "$deploy/systemd/$unit"
analyze "$work/wrong" verify --man=no && [ ! -s "$work/said" ] || broken "systemd-analyze verify: an encrypted key: $(cat "$work/said")"
for change in s/^ProtectSystem=/ProtecSystem=/ s/^ProtectProc=invisible/ProtectProc=hidden/ 's,/usr/bin/cvmin,/usr/bin/cvmni,'; do
    misspelt "$change" "$deploy/systemd/$unit"
    analyze "$work/wrong" verify --man=no || true
    [ -s "$work/said" ] || broken "systemd-analyze has nothing against $change"
done
# exposure times ten, of 0 to 100; what is left are the sockets, which are what a server is for
analyze "$deploy/systemd/$unit" security --offline=true --threshold=9 --no-pager || broken "$(tail -n 1 "$work/said")"
misspelt '/^SystemCallFilter=/d' "$deploy/systemd/$unit"
if analyze "$work/wrong" security --offline=true --threshold=9 --no-pager; then broken "exposure without a filter of system calls is no greater"; fi

# ---- nginx ----------------------------------------------------------------------------------------------------------
site=$deploy/nginx/cvmin-verifier.conf
# nginx_reads FILE: the site; it opens the ports
nginx_reads() {
    nginx_with "$1"
    peer nginx -t -c "$work/nginx.conf" >"$work/said" 2>&1
}
nginx_reads "$site" || broken "nginx -t: $(cat "$work/said")"
if grep -qE '\[(warn|error|emerg)\]' "$work/said"; then broken "nginx -t: $(cat "$work/said")"; fi
for change in s/proxy_next_upstream_tries/proxy_next_upstream_trys/ s/non_idempotent/nonidempotent/ \
    's,proxy_pass http://cvmin_verifier,proxy_pass http://cvmin_verifyer,'; do
    misspelt "$change" "$site"
    if nginx_reads "$work/wrong"; then broken "nginx -t has nothing against $change"; fi
done

# ---- Prometheus -----------------------------------------------------------------------------------------------------
rules=$deploy/prometheus/cvmin-verifier.rules.yml
expect 0 peer promtool check rules --lint-fatal "$rules"
grep -q '5 rules found' "$work/stdout" || broken "promtool: $(cat "$work/stdout")"
misspelt 's/expr: cvmin_ready == 0/expr: cvmin_ready = 0/' "$rules"
expect 1 peer promtool check rules --lint-fatal "$work/wrong"
misspelt 's/for: 1m/fro: 1m/' "$rules"
expect 1 peer promtool check rules --lint-fatal "$work/wrong"

# ---- the service as the manifest and the unit start it, in the container's file system -------------------------------------
root=$work/root
expect 0 bash "$deploy/container/stage.sh" "$CVMIN" "$root"
[ -z "$(find "$root" -perm /6000)" ] || broken "a set-user-id file in the container"
user=0 group=0 # an ordinary user has one id in here
[ "${CVMIN_UID:-0}" != 0 ] || { user=65532 group=65532; }
image=${CVMIN_IMAGE:-$CVMIN_SRC/out}
values=$root/etc/cvmin/verifier
openssl ecparam -name secp384r1 -genkey -noout -out "$work/signer.pem"
openssl ec -in "$work/signer.pem" -pubout -out "$values/reference-key.pem" 2>"$work/stderr"
expect 0 "$CVMIN" corim create --image "$image/image.json" --key "$work/signer.pem" --out "$values/reference.corim"
cp "$CVMIN_SRC/policies/genoa.json" "$values/policy.json"
chmod 0644 "$values"/*
for keys in "$root/run/cvmin/keys" "$root/run/credentials"; do # as a Secret and as credentials are mounted
    mkdir -p "$keys"
    openssl ecparam -name secp384r1 -genkey -noout -out "$keys/signing-key.pem"
    head -c 32 /dev/urandom >"$keys/session-key"
    chown -R "0:$group" "$keys"
    chmod 0440 "$keys"/*
done
chmod 0644 "$root/run/cvmin/keys/session-key" # what everybody can read
expect 1 python3 "$CVMIN_SRC/tests/peer/run_deployed.py" pod "$root" "$work/pod.json" "$user" "$group"
grep -q 'session-key: mode 0644' "$work/stderr" || broken "keys that all can read: $(cat "$work/stderr")"
chmod 0440 "$root/run/cvmin/keys/session-key"
expect 0 python3 "$CVMIN_SRC/tests/peer/run_deployed.py" pod "$root" "$work/pod.json" "$user" "$group"
expect 0 python3 "$CVMIN_SRC/tests/peer/run_deployed.py" unit "$root" "$deploy/systemd/$unit" "$user" "$group"
