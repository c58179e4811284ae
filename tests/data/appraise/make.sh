#!/usr/bin/env bash
# Makes the certificates, keys and CRLs of this folder anew, with OpenSSL: an independent writer of what cvmin reads.
# The files are committed; this is run by hand when a case is added. Every key here is public and vouches for nothing.
set -euo pipefail
cd "$(dirname "$0")"
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pss=(-sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 -sigopt rsa_mgf1_md:sha384)
from=20250101000000Z
to=20450101000000Z
hwid=$(printf '%02x' {1..64})

ca_extensions='basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign'

rsa_key() { # name bits
    openssl genpkey -quiet -algorithm RSA -pkeyopt "rsa_keygen_bits:$2" -out "$work/$1.key"
}

# a subject in the order and with the string types of AMD's certificates: organisation, common name
names() { printf '/OU=Engineering/C=US/L=Santa Clara/ST=CA/O=%s/CN=%s' "$1" "$2"; }

request() { # name subject key
    openssl req -new -utf8 -key "$work/$3.key" -subj "$2" -out "$work/$1.csr"
}

root() { # name subject key: self-signed
    request "$1" "$2" "$3"
    openssl x509 -req -in "$work/$1.csr" -key "$work/$3.key" -set_serial 0x7e0000 -not_before "$from" -not_after "$to" \
        "${pss[@]}" -extfile <(printf '%s\n' "$ca_extensions") -outform DER -out "$1.der"
    openssl x509 -inform DER -in "$1.der" -out "$work/$1.pem"
}

sign() { # name issuer issuer-key extensions [options of openssl x509 instead of the usual ones]
    local name=$1 issuer=$2 key=$3 extensions=$4
    shift 4
    local options=("$@")
    [[ ${#options[@]} -gt 0 ]] || options=("${pss[@]}" -not_before "$from" -not_after "$to")
    openssl x509 -req -in "$work/$name.csr" -CA "$work/$issuer.pem" -CAkey "$work/$key.key" -set_serial 0x7e0001 \
        -extfile <(printf '%s\n' "$extensions") "${options[@]}" -outform DER -out "$name.der"
    openssl x509 -inform DER -in "$name.der" -out "$work/$name.pem"
}

amd() { # AMD extensions: structure version, product name, boot loader, TEE, SNP, microcode
    printf '1.3.6.1.4.1.3704.1.1=ASN1:INTEGER:%s\n' "$1"
    printf '1.3.6.1.4.1.3704.1.2=ASN1:IA5STRING:%s\n' "$2"
    printf '1.3.6.1.4.1.3704.1.3.1=ASN1:INTEGER:%s\n' "$3"
    printf '1.3.6.1.4.1.3704.1.3.2=ASN1:INTEGER:%s\n' "$4"
    printf '1.3.6.1.4.1.3704.1.3.3=ASN1:INTEGER:%s\n' "$5"
    printf '1.3.6.1.4.1.3704.1.3.8=ASN1:INTEGER:%s\n' "$6"
}
raw_hwid() { printf '1.3.6.1.4.1.3704.1.4=DER:%s\n' "$hwid"; }
wrapped_hwid() { printf '1.3.6.1.4.1.3704.1.4=DER:0440%s\n' "$hwid"; }
short_hwid() { printf '1.3.6.1.4.1.3704.1.4=DER:0408%s\n' "${hwid:0:16}"; }
fmc() { printf '1.3.6.1.4.1.3704.1.3.9=ASN1:INTEGER:%s\n' "$1"; }
csp() { printf '1.3.6.1.4.1.3704.1.5=ASN1:IA5STRING:%s\n' "$1"; }

# the chain of a good emulated platform
rsa_key ark 4096
rsa_key ask 4096
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out "$work/vek.key"
openssl ec -in "$work/vek.key" -outform DER -out vek-key.der 2>/dev/null
root ark "$(names 'cvmin tests' 'ARK-Test EMULATED')" ark
request ask "$(names 'cvmin tests' 'SEV-Test EMULATED')" ask
sign ask ark ark "$ca_extensions"

vek=$(names 'cvmin tests' 'SEV-VCEK')
for name in vcek-genoa vcek-milan vcek-turin vlek-milan vcek-ca vcek-pkcs1 vcek-salt32 vcek-expired vcek-other-issuer vcek-both; do
    request $name "$vek" vek
done
genoa=$(amd 1 Genoa 10 0 25 84; wrapped_hwid)
sign vcek-genoa ask ask "$genoa"
sign vcek-milan ask ask "$(amd 0 Milan-B0 4 0 24 219; raw_hwid)"
sign vcek-turin ask ask "$(amd 1 Turin 1 0 2 71; fmc 3; short_hwid)"
sign vlek-milan ask ask "$(amd 0 Milan 4 0 24 219; csp 'CN=cloud.example')"
sign vcek-both ask ask "$genoa
$(csp 'CN=cloud.example')"
sign vcek-ca ask ask "$genoa
basicConstraints=critical,CA:TRUE"
sign vcek-pkcs1 ask ask "$genoa" -sha384 -not_before "$from" -not_after "$to"
sign vcek-salt32 ask ask "$genoa" -sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 \
    -sigopt rsa_mgf1_md:sha384 -not_before "$from" -not_after "$to"
sign vcek-expired ask ask "$genoa" "${pss[@]}" -not_before "$from" -not_after 20250201000000Z
openssl x509 -inform DER -in vcek-genoa.der -out vcek-genoa.pem

# intermediates in which one thing is wrong; name and key are the good one's
for name in ask-not-ca ask-no-cert-sign ask-expired; do
    request $name "$(names 'cvmin tests' 'SEV-Test EMULATED')" ask
done
sign ask-not-ca ark ark 'basicConstraints=critical,CA:FALSE'
sign ask-no-cert-sign ark ark 'basicConstraints=critical,CA:TRUE
keyUsage=critical,cRLSign'
sign ask-expired ark ark "$ca_extensions" "${pss[@]}" -not_before "$from" -not_after 20250201000000Z
request ask-other-name "$(names 'cvmin tests' 'SEV-Other EMULATED')" ask
sign ask-other-name ark ark "$ca_extensions"
sign vcek-other-issuer ask-other-name ask "$genoa"
# a smaller key of the same name, with the VCEK that it signed
rsa_key ask-2048 2048
request ask-2048 "$(names 'cvmin tests' 'SEV-Test EMULATED')" ask-2048
sign ask-2048 ark ark "$ca_extensions"
request vcek-by-2048 "$vek" vek
sign vcek-by-2048 ask-2048 ask-2048 "$genoa"

# somebody else's root under the same name, and a whole chain under AMD's own names
rsa_key other-ark 4096
root ark-same-name "$(names 'cvmin tests' 'ARK-Test EMULATED')" other-ark
root forged-ark-milan "$(names 'Advanced Micro Devices' 'ARK-Milan')" other-ark
request forged-ask-milan "$(names 'Advanced Micro Devices' 'SEV-Milan')" ask
sign forged-ask-milan forged-ark-milan other-ark "$ca_extensions"
request forged-vcek-milan "$(names 'Advanced Micro Devices' 'SEV-VCEK')" vek
sign forged-vcek-milan forged-ask-milan ask "$(amd 0 Milan-B0 4 0 24 219; raw_hwid)"

# revocation lists of the root
crl() { # name ca-certificate ca-key from to [serial to revoke]
    local dir=$work/crl-$1
    mkdir "$dir"
    : >"$dir/index.txt"
    [[ -z ${6:-} ]] || printf 'R\t450101000000Z\t250601000000Z\t%s\tunknown\t/CN=revoked\n' "$6" >"$dir/index.txt"
    printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index.txt\ndefault_md=sha384\n' "$dir" >"$dir/ca.cnf"
    openssl ca -config "$dir/ca.cnf" -gencrl -cert "$work/$2.pem" -keyfile "$work/$3.key" -md sha384 \
        -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 -sigopt rsa_mgf1_md:sha384 \
        -crl_lastupdate "$4" -crl_nextupdate "$5" -out "$dir/crl.pem" 2>/dev/null
    openssl crl -in "$dir/crl.pem" -outform DER -out "$1.der"
}
crl crl-empty ark ark $from $to
crl crl-other-serial ark ark $from $to 7E00FF
crl crl-revokes-ask ark ark $from $to 7E0001
crl crl-revokes-ark ark ark $from $to 7E0000
crl crl-old ark ark $from 20250201000000Z
crl crl-other-key ark-same-name other-ark $from $to

# a chain of its own in which an authority has no keyUsage at all
rsa_key usage-ark 4096
rsa_key usage-ask 4096
root usage-ark "$(names 'cvmin tests' 'ARK-Usage EMULATED')" usage-ark
crl usage-crl usage-ark usage-ark $from $to
for name in usage-ask usage-ask-without; do
    request $name "$(names 'cvmin tests' 'SEV-Usage EMULATED')" usage-ask
done
sign usage-ask usage-ark usage-ark "$ca_extensions"
sign usage-ask-without usage-ark usage-ark 'basicConstraints=critical,CA:TRUE'
request usage-vcek "$vek" vek
sign usage-vcek usage-ask usage-ask "$genoa"
ca_extensions='basicConstraints=critical,CA:TRUE' # for this one root
root usage-ark-without "$(names 'cvmin tests' 'ARK-Usage EMULATED')" usage-ark
