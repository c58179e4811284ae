#!/usr/bin/env bash
# Makes the endorsement key of the negative corpus' software TPM, and certificates for it, anew, with OpenSSL. As
# certificates.sh: committed, run by hand, and make.py after it. Every key here is thrown away and vouches for nothing.
set -euo pipefail
cd "$(dirname "$0")/certificates"
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
from=20250101000000Z
to=20450101000000Z

key() { openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/$1.key"; }
root() { # name key
    openssl req -new -key "$work/$2.key" -subj '/O=cvmin negative corpus/CN=EK root' -out "$work/$1.csr"
    openssl x509 -req -in "$work/$1.csr" -key "$work/$2.key" -set_serial 1 -not_before "$from" -not_after "$to" -sha256 \
        -extfile <(printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n') -out "$work/$1.pem" 2>/dev/null
}
extensions() { # extended key usage
    printf '%s\n' 'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,keyEncipherment' "extendedKeyUsage=$1" \
        'subjectAltName=dirName:tpm' '[tpm]' '0.2.23.133.2.1=id:43564D4E' '0.2.23.133.2.2=software' '0.2.23.133.2.3=id:00010000'
}
certificate() { # name key root root-key to usage
    openssl req -new -key "$work/$2.key" -subj "/CN=EK of the negative corpus" -out "$work/$1.csr"
    openssl x509 -req -in "$work/$1.csr" -CA "$work/$3.pem" -CAkey "$work/$4.key" -set_serial 2 -sha256 -not_before "$from" \
        -not_after "$5" -extfile <(extensions "$6") -outform DER -out "$1.der" 2>/dev/null
}
usage=2.23.133.8.1
for name in root other ek stranger; do key $name; done
root ek-root root
root ek-root-same-name other
for name in ek-root ek-root-same-name; do openssl x509 -in "$work/$name.pem" -outform DER -out $name.der; done
openssl pkey -in "$work/ek.key" -pubout -outform DER -out ek-public.der
certificate ek-certificate ek ek-root root "$to" $usage
certificate ek-certificate-forged ek ek-root-same-name other "$to" $usage
certificate ek-certificate-expired ek ek-root root 20260101000000Z $usage
certificate ek-certificate-other-key stranger ek-root root "$to" $usage
certificate ek-certificate-usage ek ek-root root "$to" serverAuth
