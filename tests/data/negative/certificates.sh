#!/usr/bin/env bash
# Makes the certificates, the VEKs' key and the CRLs of the negative corpus anew, with OpenSSL: an independent writer of what
# a verifier reads. The files are committed; this is run by hand when a case is added, and make.py after it, because every
# key is a new one. Every key here is public or thrown away, and vouches for nothing.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p certificates
cd certificates
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pss=(-sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 -sigopt rsa_mgf1_md:sha384)
from=20250101000000Z
to=20450101000000Z
hwid=$(printf '%02x' {1..64})
other_hwid=$(printf '%02x' {101..164})
authority='basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign'

rsa_key() { openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -out "$work/$1.key"; }
names() { printf '/OU=Engineering/C=US/L=Santa Clara/ST=CA/O=%s/CN=%s' "$1" "$2"; }
request() { openssl req -new -utf8 -key "$work/$3.key" -subj "$2" -out "$work/$1.csr"; } # name subject key

root() { # name subject key
    request "$1" "$2" "$3"
    openssl x509 -req -in "$work/$1.csr" -key "$work/$3.key" -set_serial 0x7e0000 -not_before "$from" -not_after "$to" \
        "${pss[@]}" -extfile <(printf '%s\n' "$authority") -outform DER -out "$1.der" 2>/dev/null
    openssl x509 -inform DER -in "$1.der" -out "$work/$1.pem"
}

sign() { # name issuer issuer-key extensions [options of openssl x509 instead of the usual ones]
    local name=$1 issuer=$2 key=$3 extensions=$4
    shift 4
    local options=("$@")
    [[ ${#options[@]} -gt 0 ]] || options=("${pss[@]}" -not_before "$from" -not_after "$to")
    openssl x509 -req -in "$work/$name.csr" -CA "$work/$issuer.pem" -CAkey "$work/$key.key" -set_serial 0x7e0001 \
        -extfile <(printf '%s\n' "$extensions") "${options[@]}" -outform DER -out "$name.der" 2>/dev/null
    openssl x509 -inform DER -in "$name.der" -out "$work/$name.pem"
}

# AMD's extensions (57230): structure version, product name, boot loader, TEE, SNP, microcode
oid=1.3.6.1.4.1.3704.1
integer() { printf '%s.%s=ASN1:INTEGER:%s\n' "$oid" "$1" "$2"; }
text() { printf '%s.%s=ASN1:IA5STRING:%s\n' "$oid" "$1" "$2"; }
levels() { integer 3.1 "$1"; integer 3.2 "$2"; integer 3.3 "$3"; integer 3.8 "$4"; }
amd() { integer 1 "$1"; text 2 "$2"; levels "${@:3}"; }
hwid() { printf '%s.4=DER:%s%s\n' "$oid" "$1" "$2"; } # header of an OCTET STRING or nothing, bytes
vek() { # name extensions [issuer issuer-key options...]
    request "$1" "$(names 'cvmin tests' 'SEV-VCEK')" vek
    sign "$1" "${3:-ask}" "${4:-ask}" "$2" "${@:5}"
}

rsa_key ark
rsa_key ask
rsa_key other-ark
rsa_key other-ask
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out "$work/vek.key"
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out "$work/other-vek.key"
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/p256.key"
openssl ec -in "$work/vek.key" -outform DER -out vek-key.der 2>/dev/null
root ark "$(names 'cvmin tests' 'ARK-Negative EMULATED')" ark
root ark-same-name "$(names 'cvmin tests' 'ARK-Negative EMULATED')" other-ark
root ark-other-name "$(names 'cvmin tests' 'ARK-Other EMULATED')" other-ark
for name in ask ask-expired ask-not-authority; do
    request $name "$(names 'cvmin tests' 'SEV-Negative EMULATED')" ask
done
sign ask ark ark "$authority"
sign ask-expired ark ark "$authority" "${pss[@]}" -not_before "$from" -not_after 20250201000000Z
sign ask-not-authority ark ark 'basicConstraints=critical,CA:FALSE'
request ask-by-other-root "$(names 'cvmin tests' 'SEV-Negative EMULATED')" ask
sign ask-by-other-root ark-same-name other-ark "$authority"
request ask-same-name "$(names 'cvmin tests' 'SEV-Negative EMULATED')" other-ask
sign ask-same-name ark ark "$authority"

genoa=$(amd 1 Genoa-B1 10 3 25 84; hwid 0440 "$hwid")
milan=$(amd 0 Milan-B0 4 2 24 219; hwid '' "$hwid")
turin_levels() { amd 1 Turin-B0 1 2 4 71; integer 3.9 3; }
turin=$(turin_levels; hwid 0408 "${hwid:0:16}")
provider=$(text 5 'CN=cloud.example')
vek vcek-genoa "$genoa"
vek vcek-milan "$milan"
vek vcek-turin "$turin"
vek vlek-milan "$(amd 0 Milan 4 2 24 219; echo "$provider")"

# a VCEK in which one thing is wrong
vek vcek-other-chip "$(amd 1 Genoa-B1 10 3 25 84; hwid 0440 "$other_hwid")"
request vcek-other-key "$(names 'cvmin tests' 'SEV-VCEK')" other-vek
sign vcek-other-key ask ask "$genoa"
request vcek-p256 "$(names 'cvmin tests' 'SEV-VCEK')" p256
sign vcek-p256 ask ask "$genoa"
vek vcek-expired "$genoa" ask ask "${pss[@]}" -not_before "$from" -not_after 20250201000000Z
vek vcek-not-yet-valid "$genoa" ask ask "${pss[@]}" -not_before 20400101000000Z -not_after "$to"
vek vcek-by-other-ask "$genoa" ask-same-name other-ask
vek vcek-pkcs1 "$genoa" ask ask -sha384 -not_before "$from" -not_after "$to"
vek vcek-salt-32 "$genoa" ask ask -sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 \
    -sigopt rsa_mgf1_md:sha384 -not_before "$from" -not_after "$to"
vek vcek-sha256 "$genoa" ask ask -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 \
    -sigopt rsa_mgf1_md:sha256 -not_before "$from" -not_after "$to"
vek vcek-authority "$genoa
basicConstraints=critical,CA:TRUE"
vek vcek-and-vlek "$genoa
$provider"
vek vcek-unknown-product "$(amd 1 Venice-A0 10 3 25 84; hwid 0440 "$hwid")"
vek vcek-product-in-another-case "$(amd 1 genoa 10 3 25 84; hwid 0440 "$hwid")"
vek vcek-structure-2 "$(amd 2 Genoa-B1 10 3 25 84; hwid 0440 "$hwid")"
vek vcek-no-snp-level "$(integer 1 1; text 2 Genoa-B1; integer 3.1 10; integer 3.2 3; integer 3.8 84; hwid 0440 "$hwid")"
vek vcek-no-product "$(integer 1 1; levels 10 3 25 84; hwid 0440 "$hwid")"
vek vcek-no-chip "$(amd 1 Genoa-B1 10 3 25 84)"
vek vcek-level-281 "$(amd 1 Genoa-B1 10 3 281 84; hwid 0440 "$hwid")" # 281 & 0xff is the report's 25
vek vcek-level-negative "$(amd 1 Genoa-B1 10 3 -231 84; hwid 0440 "$hwid")"
vek vcek-no-extensions 'basicConstraints=CA:FALSE'
vek vcek-genoa-short-chip "$(amd 1 Genoa-B1 10 3 25 84; hwid 0408 "${hwid:0:16}")"
vek vcek-turin-long-chip "$(turin_levels; hwid 0440 "$hwid")"
vek vcek-turin-no-fmc "$(amd 1 Turin-B0 1 2 4 71; hwid 0408 "${hwid:0:16}")"

# a whole chain under AMD's own names
root forged-ark-milan "$(names 'Advanced Micro Devices' 'ARK-Milan')" other-ark
request forged-ask-milan "$(names 'Advanced Micro Devices' 'SEV-Milan')" ask
sign forged-ask-milan forged-ark-milan other-ark "$authority"
request forged-asvk-milan "$(names 'Advanced Micro Devices' 'SEV-VLEK-Milan')" ask
sign forged-asvk-milan forged-ark-milan other-ark "$authority"
for name in forged-vcek-milan forged-vcek-under-asvk; do
    request $name "$(names 'Advanced Micro Devices' 'SEV-VCEK')" vek
done
for name in forged-vlek-milan forged-vlek-under-ask; do
    request $name "$(names 'Advanced Micro Devices' 'SEV-VLEK')" vek
done
vlek=$(amd 0 Milan 4 2 24 219; echo "$provider")
sign forged-vcek-milan forged-ask-milan ask "$milan"
sign forged-vcek-under-asvk forged-asvk-milan ask "$milan"
sign forged-vlek-milan forged-asvk-milan ask "$vlek"
sign forged-vlek-under-ask forged-ask-milan ask "$vlek"

crl() { # name ca-certificate ca-key from to [serial to revoke]
    local dir=$work/crl-$1
    mkdir "$dir"
    : >"$dir/index.txt"
    [[ -z ${6:-} ]] || printf 'R\t450101000000Z\t250601000000Z\t%s\tunknown\t/CN=revoked\n' "$6" >"$dir/index.txt"
    printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index.txt\ndefault_md=sha384\n' "$dir" >"$dir/ca.cnf"
    openssl ca -config "$dir/ca.cnf" -gencrl -cert "$work/$2.pem" -keyfile "$work/$3.key" -md sha384 \
        -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 -sigopt rsa_mgf1_md:sha384 \
        -crl_lastupdate "$4" -crl_nextupdate "$5" -out "$dir/crl.pem" 2>/dev/null
    openssl crl -in "$dir/crl.pem" -outform DER -out "crl-$1.der"
}
crl good ark ark $from $to 7E00FF
crl revokes-ask ark ark $from $to 7E0001
crl revokes-ark ark ark $from $to 7E0000
crl outdated ark ark $from 20250201000000Z
crl not-yet-valid ark ark 20400101000000Z $to
crl other-key ark-same-name other-ark $from $to
crl other-issuer ark-other-name other-ark $from $to
