#!/usr/bin/env bash
# Makes quotes/: keys and quotes by swtpm 0.7 through tpm2-tools 5.7, one folder per kind of key. Run inside the toolchain
# root; what it makes differs every time, so the folder is kept and not made by the tests.
set -euo pipefail
cd "$(dirname "$0")"
rm -rf quotes
work=$(mktemp -d)
swtpm socket --tpm2 --tpmstate dir="$work" --server type=unixio,path="$work/tpm" --ctrl type=unixio,path="$work/tpm.ctrl" \
    --flags not-need-init,startup-clear </dev/null >/dev/null 2>&1 &
tpm=$!
trap 'kill $tpm; rm -rf "$work"' EXIT
for _ in $(seq 50); do [ -S "$work/tpm.ctrl" ] && break; sleep 0.1; done
export TPM2TOOLS_TCTI="swtpm:path=$work/tpm"
tpm2_pcrextend "15:sha256=$(printf fifteen | sha256sum | cut -c1-64),sha384=$(printf fifteen | sha384sum | cut -c1-96)"
quote() { # FOLDER KEY-ALGORITHM SCHEME HASH SELECTION
    local to=quotes/$1
    mkdir -p "$to"
    tpm2_createprimary -Q -C e -G "$2:$3-$4:null" -g sha256 -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign' -c "$work/ak"
    tpm2_readpublic -Q -c "$work/ak" -f tss -o "$work/public" -n "$to/name" -q "$to/qualified-name"
    tail -c +3 "$work/public" >"$to/public.tpmt" # without the size of a TPM2B_PUBLIC
    tpm2_quote -Q -c "$work/ak" -l "$5" -g "$4" --scheme "$3" -q "$(printf "claims of %s" "$1" | sha256sum | cut -c1-64)" \
        -m "$to/quote.attest" -s "$to/quote.signature" -o "$work/pcrs" -F values
    cp "$work/pcrs" "$to/pcrs.bin" # the values one after the other, in the order of the selection
    tpm2_flushcontext -t
    tpm2_print -t TPMS_ATTEST "$to/quote.attest" >"$to/quote.yaml"
}
quote ecc-p256 ecc256 ecdsa sha256 sha256:0,4,9,15
quote ecc-p384 ecc384 ecdsa sha384 sha384:0,4,9,15
quote rsassa rsa2048 rsassa sha256 sha256:0,15+sha384:15,1
quote rsapss rsa3072 rsapss sha256 sha256:all
quote rsassa-sha384 rsa2048 rsassa sha384 sha1:15,0
