#!/usr/bin/env bash
# A TPM opens the credentials that make_credential() makes, for each kind of EK, and opens nothing else. swtpm and
# tpm2-tools judge. Needs CVMIN_BUILD and CVMIN_SRC; runs inside the toolchain root.
set -euo pipefail
: "${CVMIN_SRC:?}" "${CVMIN_BUILD:?}"
tool=$CVMIN_BUILD/tests/cvmin-test-credential
work=$(mktemp -d /tmp/cvmin-credential-XXXXXX)
swtpm_pid=
failed=0
cleanup() {
    [ -z "$swtpm_pid" ] || kill "$swtpm_pid" 2>/dev/null || true
    rm -rf -- "$work"
}
trap cleanup EXIT
complain() {
    echo "credential.sh: $*" >&2
    failed=$((failed + 1))
}

mkdir "$work/state"
mkfifo "$work/never"
swtpm socket --tpm2 --tpmstate dir="$work/state" --server type=unixio,path="$work/tpm" \
    --ctrl type=unixio,path="$work/tpm.ctrl" --flags not-need-init,startup-clear 2>"$work/swtpm.log" &
swtpm_pid=$!
for _ in $(seq 600); do
    [ -S "$work/tpm" ] && break
    sleep 0.05
done
export TPM2TOOLS_TCTI=swtpm:path=$work/tpm
cd "$work"
# what a command loads stays loaded, and a TPM has room for three objects
tpm() {
    local status=0
    "tpm2_$1" -Q "${@:2}" >>"$work/tpm.log" 2>&1 || status=$?
    tpm2_flushcontext -Q -t >>"$work/tpm.log" 2>&1 || true
    return $status
}

# open_with BLOB OUT KEY: by ek.ctx, for the key. The older templates want a policy, the newer one an empty password.
open_with() {
    if [ "$kind" = ecc384 ]; then
        tpm activatecredential -c "$3.ctx" -C ek.ctx -i "$1" -o "$2"
        return
    fi
    tpm startauthsession --policy-session -S session.ctx &&
        tpm policysecret -S session.ctx -c e &&
        tpm activatecredential -c "$3.ctx" -C ek.ctx -i "$1" -o "$2" -P "session:session.ctx"
    local opened=$?
    tpm flushcontext session.ctx || true
    return $opened
}
head -c 32 /dev/urandom >secret
for kind in rsa ecc ecc384; do
    tpm createek -c ek.ctx -G "$kind" -u ek.pub
    tpm readpublic -c ek.ctx -f tpmt -o ek.tpmt
    for key in ak other; do
        tpm createak -C ek.ctx -c $key.ctx -G ecc -g sha256 -s ecdsa -u $key.pub -n $key.name
        tpm readpublic -c $key.ctx -f tpmt -o $key.tpmt
    done
    # the judge itself works, and can be told apart
    tpm makecredential -T none -u ek.pub -s secret -n "$(od -An -v -tx1 ak.name | tr -d ' \n')" -o theirs.blob ||
        complain "$kind: tpm2_makecredential failed"
    open_with theirs.blob theirs.out ak && cmp -s secret theirs.out || complain "$kind: the judge does not work"

    for size in 1 16 32; do
        head -c $size secret >part
        # whoever read this configuration would wait for ever
        OPENSSL_CONF=$work/never timeout 20 "$tool" ek.tpmt ak.tpmt part ours.blob || complain "$kind: exit $?"
        rm -f ours.out
        open_with ours.blob ours.out ak && cmp -s part ours.out || complain "$kind: $size bytes were not opened"
    done
    rm -f ours.out
    if open_with ours.blob ours.out other; then complain "$kind: opened for another key"; fi
    for at in 12 50 100; do # of the HMAC, the identity, the seed
        cp ours.blob changed.blob
        printf '\377' | dd of=changed.blob bs=1 seek=$at conv=notrunc status=none
        if open_with changed.blob changed.out ak; then complain "$kind: opened with byte $at changed"; fi
    done
done
[ $failed = 0 ] || { tail -n 20 "$work/tpm.log" >&2; echo "credential.sh: $failed complaints" >&2; exit 1; }
echo "credential.sh: all held"
