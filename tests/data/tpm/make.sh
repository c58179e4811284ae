#!/usr/bin/env bash
# Makes what is in this folder, inside the toolchain root: endorsement keys and certificates of a manufactured swtpm,
# certificates of the same key in which one thing is wrong (OpenSSL), and credentials by tpm2_makecredential, whose
# private keys are known here. Nothing of cvmin takes part. Needs no TPM; every run makes other keys.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
swtpm_pid=
cleanup() {
    [ -z "$swtpm_pid" ] || kill "$swtpm_pid" 2>/dev/null || true
    rm -rf -- "$work"
}
trap cleanup EXIT

# ---- a TPM, manufactured with certificates ---------------------------------------------------------------------------
mkdir "$work/state" "$work/ca"
cat >"$work/ca/localca.conf" <<X
statedir = $work/ca
signingkey = $work/ca/signkey.pem
issuercert = $work/ca/issuercert.pem
certserial = $work/ca/certserial
X
printf '%s\n' '--platform-manufacturer cvmin' '--platform-version 1' '--platform-model test' >"$work/ca/options"
cat >"$work/ca/setup.conf" <<X
create_certs_tool = /usr/bin/swtpm_localca
create_certs_tool_config = $work/ca/localca.conf
create_certs_tool_options = $work/ca/options
active_pcr_banks = sha256
X
swtpm_setup --tpm2 --tpmstate "$work/state" --config "$work/ca/setup.conf" --create-ek-cert --overwrite \
    --write-ek-cert-files "$work" --logfile "$work/log" >/dev/null
swtpm socket --tpm2 --tpmstate dir="$work/state" --server type=unixio,path="$work/tpm" \
    --ctrl type=unixio,path="$work/tpm.ctrl" --flags not-need-init,startup-clear 2>/dev/null &
swtpm_pid=$!
for _ in $(seq 100); do
    [ -S "$work/tpm" ] && break
    sleep 0.05
done
export TPM2TOOLS_TCTI=swtpm:path=$work/tpm
tpm2_createek -Q -c "$work/rsa.ctx" -G rsa -u "$work/rsa.pub"
tpm2_readpublic -Q -c "$work/rsa.ctx" -f tpmt -o swtpm_rsa.tpmt
tpm2_flushcontext -Q -t
tpm2_createek -Q -c "$work/ecc.ctx" -G ecc384 -u "$work/ecc.pub"
tpm2_readpublic -Q -c "$work/ecc.ctx" -f tpmt -o swtpm_ecc.tpmt
tpm2_flushcontext -Q -t
tpm2_createek -Q -c "$work/ecc256.ctx" -G ecc -u "$work/ecc256.pub"
tpm2_readpublic -Q -c "$work/ecc256.ctx" -f tpmt -o swtpm_ecc256.tpmt
tpm2_readpublic -Q -c "$work/rsa.ctx" -f pem -o "$work/rsa.pem" 2>/dev/null ||
    openssl x509 -inform DER -in "$work/ek-rsa2048.crt" -noout -pubkey >"$work/rsa.pem"
cp "$work/ek-rsa2048.crt" swtpm_rsa.crt
cp "$work/ek-secp384r1.crt" swtpm_ecc.crt
openssl x509 -inform DER -in swtpm_ecc.crt -noout -pubkey >"$work/ecc.pem"
cp "$work/ca/swtpm-localca-rootca-cert.pem" swtpm_root.pem
cp "$work/ca/issuercert.pem" swtpm_intermediate.pem

# ---- certificates in which one thing is wrong ------------------------------------------------------------------------
from=20250101000000Z
to=20450101000000Z
authority() { # NAME ISSUER CONFIG [OPTIONS]: key and certificate; a NAME that is its own ISSUER is a root
    local name=$1 issuer=$2 config=$3
    shift 3
    [ -f "$work/$name.key" ] || openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out "$work/$name.key"
    printf '[x]\n%s\n' "$config" >"$work/x.cnf"
    local sign=(-signkey "$work/$name.key")
    [ "$name" = "$issuer" ] || sign=(-CA "$issuer.pem" -CAkey "$work/$issuer.key" -force_pubkey "$work/$name.pub")
    openssl pkey -in "$work/$name.key" -pubout -out "$work/$name.pub"
    openssl x509 -new -subj "/CN=cvmin test $name" "${sign[@]}" -not_before $from -not_after $to -sha384 \
        -extfile "$work/x.cnf" -extensions x "$@" -out "$name.pem"
}
ca='basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign'
authority root root "$ca"
authority other_root other_root "$ca"
authority intermediate root "$ca"
authority not_ca root 'basicConstraints=critical,CA:FALSE
keyUsage=critical,keyCertSign'
authority no_cert_sign root 'basicConstraints=critical,CA:TRUE
keyUsage=critical,cRLSign'
authority old_intermediate root "$ca" -not_before 20200101000000Z -not_after 20210101000000Z
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out "$work/weak_intermediate.key"
authority weak_intermediate root "$ca"

usual_usage='extendedKeyUsage=2.23.133.8.1
basicConstraints=critical,CA:FALSE'
names='[tpm]
tcg-at-tpmManufacturer=id:474F4F47
tcg-at-tpmModel=test model
tcg-at-tpmVersion=id:20260101'
ek() { # NAME ISSUER EXTENSIONS [OPTIONS]: about the swtpm's RSA key, unless the options say another one
    local name=$1 issuer=$2 digest=${EK_DIGEST:-sha256}
    printf '[x]\n%s\n' "$3" >"$work/x.cnf"
    shift 3
    openssl x509 -new -subj "/CN=EK" -force_pubkey "$work/rsa.pem" -CA "$issuer.pem" -CAkey "$work/$issuer.key" \
        -not_before $from -not_after $to "-$digest" -extfile "$work/x.cnf" -extensions x "$@" -outform DER \
        -out "ek_$name.crt"
}
san="subjectAltName=critical,dirName:tpm"
rsa_use='keyUsage=critical,keyEncipherment'
ek good intermediate "$usual_usage
$rsa_use
$san
$names"
ek by_root root "$usual_usage
$rsa_use
$san
$names"
ek no_subject intermediate "$usual_usage
$rsa_use
$san
$names" -subj /
ek no_subject_not_critical intermediate "$usual_usage
$rsa_use
subjectAltName=dirName:tpm
$names" -subj /
ek no_extended_usage intermediate "basicConstraints=critical,CA:FALSE
$rsa_use
$san
$names"
ek other_extended_usage intermediate "extendedKeyUsage=2.23.133.8.3,serverAuth
basicConstraints=critical,CA:FALSE
$rsa_use
$san
$names"
ek no_key_usage intermediate "$usual_usage
$san
$names"
ek signing intermediate "$usual_usage
keyUsage=critical,digitalSignature
$san
$names"
ek authority intermediate "extendedKeyUsage=2.23.133.8.1
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyEncipherment,keyCertSign
$san
$names"
ek no_names intermediate "$usual_usage
$rsa_use"
ek dns_name intermediate "$usual_usage
$rsa_use
subjectAltName=DNS:tpm.example"
for missing in Manufacturer Model Version; do
    ek "no_${missing,,}" intermediate "$usual_usage
$rsa_use
$san
$(printf '%s\n' "$names" | grep -v "tpm$missing=")"
done
ek expired intermediate "$usual_usage
$rsa_use
$san
$names" -not_after 20250601000000Z
ek early intermediate "$usual_usage
$rsa_use
$san
$names" -not_before 20440101000000Z
ek critical_unknown intermediate "$usual_usage
$rsa_use
$san
1.3.6.1.4.1.99999.1=critical,ASN1:NULL
$names"
EK_DIGEST=sha1 ek sha1 intermediate "$usual_usage
$rsa_use
$san
$names"
for issuer in not_ca no_cert_sign old_intermediate weak_intermediate; do
    ek by_$issuer $issuer "$usual_usage
$rsa_use
$san
$names"
done
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/other.key"
openssl pkey -in "$work/other.key" -pubout -out "$work/other.pem"
ek other_key intermediate "$usual_usage
$rsa_use
$san
$names" -force_pubkey "$work/other.pem"
ek ecc intermediate "$usual_usage
keyUsage=critical,keyAgreement
$san
$names" -force_pubkey "$work/ecc.pem"
ek ecc_encipherment intermediate "$usual_usage
$rsa_use
$san
$names" -force_pubkey "$work/ecc.pem"

# ---- credentials by tpm2_makecredential -------------------------------------------------------------------------------
printf 'thirty-two bytes of a credential' >credential.secret
printf '000b%s' "$(printf 'a key of a TPM' | sha256sum | cut -d' ' -f1)" >credential.name
credential() { # NAME ALGORITHM OPENSSL...
    local name=$1 algorithm=$2
    shift 2
    openssl genpkey -quiet "$@" -out "credential_$name.key"
    openssl pkey -in "credential_$name.key" -pubout -out "$work/$name.pem"
    tpm2_makecredential -Q -T none -u "$work/$name.pem" -G "$algorithm" -s credential.secret \
        -n "$(cat credential.name)" -o "credential_$name.blob"
}
credential rsa rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048
credential ecc ecc -algorithm EC -pkeyopt ec_paramgen_curve:P-256

# ---- the keys of Google's certificates, in the swtpm's templates -------------------------------------------------------
google=../go-tpm-tools/certificates
for kind in enc sign; do
    {
        head -c 58 swtpm_rsa.tpmt
        openssl x509 -in $google/uca_tpm_rsa_${kind}_cert.pem -noout -modulus | cut -d= -f2 | basenc --base16 -d
    } >google_rsa_$kind.tpmt
    openssl x509 -in $google/uca_tpm_ecc_${kind}_cert.pem -noout -pubkey | openssl pkey -pubin -outform DER |
        tail -c 64 >"$work/point"
    {
        head -c 54 swtpm_ecc256.tpmt
        printf '\0\x20'
        head -c 32 "$work/point"
        printf '\0\x20'
        tail -c 32 "$work/point"
    } >google_ecc_$kind.tpmt
done
head -c 58 swtpm_rsa.tpmt >google_pca_rsa.tpmt
openssl x509 -in $google/pca_tpm_rsa_enc_cert.pem -noout -modulus | cut -d= -f2 | basenc --base16 -d >>google_pca_rsa.tpmt
chmod 644 ./*
chmod 755 make.sh
