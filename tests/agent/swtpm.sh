#!/usr/bin/env bash
# The agent's TPM code against swtpm, with a real endorsement key and certificate; tpm2-tools are the judge: they check the
# quotes, know the certificate's key and make the credential. Needs CVMIN_BUILD. Runs inside the toolchain root.
set -euo pipefail
: "${CVMIN_BUILD:?}"
client=$CVMIN_BUILD/tests/cvmin-test-tpm
work=$(mktemp -d /tmp/cvmin-swtpm-XXXXXX)
export XDG_CONFIG_HOME=$work/config TPM2TOOLS_TCTI=none TSS2_LOG=all+none
swtpm='' failed=0
cleanup() {
    [ -z "$swtpm" ] || kill "$swtpm" 2>/dev/null || true
    rm -rf -- "$work"
}
trap cleanup EXIT
complain() {
    echo "swtpm.sh: $*" >&2
    failed=$((failed + 1))
}

# start_tpm NAME SETUP_ARGS...: a fresh TPM of that name, listening on $work/NAME.sock
start_tpm() {
    local name=$1
    shift
    mkdir -p "$work/$name" "$work/ca" "$XDG_CONFIG_HOME"
    printf 'statedir = %s\nsigningkey = %s/key.pem\nissuercert = %s/issuer.pem\ncertserial = %s/serial\n' \
        "$work/ca" "$work/ca" "$work/ca" "$work/ca" >"$work/ca.conf"
    printf -- '--platform-manufacturer cvmin\n--platform-version 1\n--platform-model test\n' >"$work/ca.options"
    printf 'create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = %s\ncreate_certs_tool_options = %s\n' \
        "$work/ca.conf" "$work/ca.options" >"$work/setup.conf"
    swtpm_setup --tpm2 --tpmstate "$work/$name" --config "$work/setup.conf" "$@" >"$work/$name.log" 2>&1 || {
        cat "$work/$name.log" >&2
        exit 1
    }
    serve_tpm "$name"
}
# serve_tpm NAME: as after a reset
serve_tpm() {
    swtpm socket --tpm2 --tpmstate "dir=$work/$1" --server "type=unixio,path=$work/$1.sock" \
        --ctrl "type=unixio,path=$work/$1.sock.ctrl" --flags not-need-init,startup-clear --seccomp action=none 2>/dev/null &
    swtpm=$!
    for _ in $(seq 600); do
        [ -S "$work/$1.sock" ] && return
        sleep 0.05
    done
    complain "swtpm does not listen"
}
stop_tpm() {
    kill "$swtpm" 2>/dev/null || true
    wait "$swtpm" 2>/dev/null || true
    swtpm=''
}
# ask LINE: to the client; the answer in $answer
ask() {
    echo "$1" >&"${agent[1]}"
    answer=
    read -r -t 10 answer <&"${agent[0]}" || complain "no answer to: $1"
}
start_agent() {
    coproc agent { "$client" "$work/$1.sock" "${@:2}" 2>>"$work/times"; }
    # shellcheck disable=SC2154 # agent_PID is coproc's
    agent_pid=$agent_PID
    answer=
    read -r -t 10 answer <&"${agent[0]}" || true
}
stop_agent() {
    [ -z "${agent[1]:-}" ] || eval "exec ${agent[1]}>&-" # end of input
    wait "$agent_pid" 2>/dev/null || true
}
hex_of() { od -An -v -tx1 "$1" | tr -d ' \n'; }
tpm2b() { # a TPMT_PUBLIC with its size in front
    python3 -c 'import sys; b = open(sys.argv[1], "rb").read(); open(sys.argv[2], "wb").write(len(b).to_bytes(2, "big") + b)' "$1" "$2"
}
name_of() { # of a TPMT_PUBLIC with nameAlg SHA-256
    echo "000b$(sha256sum "$1" | cut -d' ' -f1)"
}
# check_quote PREFIX QUALIFYING BANK MASK: by tpm2_checkquote. Values go to it in the form that tpm2_quote writes, C structures
# of 16 selections and lists of 8 digests: its form for bare values cannot take more than 7.
check_quote() {
    tpm2b "$work/$1.ak" "$work/$1.ak.tpm2b"
    python3 - "$work/$1.pcrs" "$3" "$4" "$work/$1.serialized" <<'PY'
import struct, sys
bank, mask = int(sys.argv[2], 16), int(sys.argv[3], 16)
size = {11: 32, 12: 48}[bank]
values = open(sys.argv[1], "rb").read()
digests = [values[i:i + size] for i in range(0, len(values), size)]
assert len(digests) == bin(mask).count("1")
out = struct.pack("<I", 1) + struct.pack("<HB4sx", bank, 3, mask.to_bytes(4, "little")) + bytes(15 * 8)
lists = [digests[i:i + 8] for i in range(0, len(digests), 8)]
out += struct.pack("<I", len(lists))
for some in lists:
    out += struct.pack("<I", len(some)) + b"".join(struct.pack("<H64s", size, d) for d in some) + bytes(66 * (8 - len(some)))
open(sys.argv[4], "wb").write(out)
PY
    tpm2_checkquote -u "$work/$1.ak.tpm2b" -m "$work/$1.attest" -s "$work/$1.sig" -f "$work/$1.serialized" -q "$2" -g sha256 >"$work/$1.checked" 2>&1 || complain "tpm2_checkquote $1: $(cat "$work/$1.checked")"
}
# make_credential PREFIX NAME: by tpm2_makecredential, for this EK and a key of that name
make_credential() {
    tpm2b "$work/$1.ek" "$work/$1.ek.tpm2b"
    head -c 32 /dev/urandom >"$work/secret"
    tpm2_makecredential -T none -u "$work/$1.ek.tpm2b" -s "$work/secret" -n "$2" -o "$work/credential" >"$work/mc.log" 2>&1 ||
        complain "tpm2_makecredential: $(cat "$work/mc.log")"
    python3 - "$work/credential" "$work/id_object" "$work/encrypted" <<'PY'
import sys
blob = open(sys.argv[1], "rb").read()
assert blob[:8] == bytes.fromhex("badcc0de00000001")
size = int.from_bytes(blob[8:10], "big")
open(sys.argv[2], "wb").write(blob[10:10 + size])
rest = blob[10 + size:]
assert int.from_bytes(rest[:2], "big") == len(rest) - 2
open(sys.argv[3], "wb").write(rest[2:])
PY
}
# certified PREFIX: the key of the certificate is the one of the TPM
certified() {
    openssl x509 -inform der -in "$work/$1.cert" -noout -pubkey >"$work/cert.pem" || complain "$1: no certificate"
    tpm2_print -t TPMT_PUBLIC -f pem "$work/$1.ek" >"$work/ek.pem" 2>/dev/null || complain "$1: no EK"
    cmp -s "$work/cert.pem" "$work/ek.pem" || complain "$1: the certificate is for another key"
}
# tool COMMAND ARGS...: of tpm2-tools, on the TPM that runs
tool() { TPM2TOOLS_TCTI="swtpm:path=$work/$name.sock" "tpm2_$1" "${@:2}" >"$work/tool.log" 2>&1 || complain "tpm2_$*: $(cat "$work/tool.log")"; }
qualifying=$(printf 'c5%.0s' $(seq 32))

# record FILE: makes tests/data/swtpm/FILE; scripted_tpm.hpp plays the same steps
record() {
    start_agent recorded "$CVMIN_RECORD/$1"
    ask "extend $(printf '01%.0s' $(seq 32)) $(printf '02%.0s' $(seq 48))"
    ask "quote b ffffff $qualifying $work/all"
    ask "quote c 8011 $qualifying $work/few"
    make_credential all "$(name_of "$work/all.ak")"
    ask "activate $work/id_object $work/encrypted $work/opened"
    cmp "$work/opened" "$work/secret"
    stop_agent
    stop_tpm
}
if [ -n "${CVMIN_RECORD:-}" ]; then
    start_tpm recorded --create-ek-cert --pcr-banks sha256,sha384
    record rsa.bin
    serve_tpm recorded
    name=recorded
    tool nvundefine -C p 0x01c00002
    stop_tpm
    serve_tpm recorded
    record p384.bin
    exit 0
fi

echo "--- RSA endorsement key with certificate"
start_tpm rsa --create-ek-cert --pcr-banks sha256,sha384
start_agent rsa
[ "$answer" = ok ] || complain "open: $answer"
ask "quote b ffffff $qualifying $work/all"
[ "$answer" = ok ] || complain "quote: $answer"
check_quote all "$qualifying" b ffffff
ask "quote c 8011 $qualifying $work/few"
[ "$answer" = ok ] || complain "quote of the SHA-384 bank: $answer"
check_quote few "$qualifying" c 8011
ask ak
[ "$answer" = "$(sha256sum "$work/few.ak" | cut -d' ' -f1)" ] || complain "ak: $answer"
first_ak=$answer
certified all
openssl verify -partial_chain -CAfile "$work/ca/issuer.pem" <(openssl x509 -inform der -in "$work/all.cert") >"$work/verify.log" 2>&1 ||
    grep -q 'unhandled critical extension' "$work/verify.log" || complain "certificate: $(cat "$work/verify.log")"

echo "--- activation"
make_credential all "$(name_of "$work/all.ak")"
ask "activate $work/id_object $work/encrypted $work/opened"
[ "$answer" = ok ] && cmp -s "$work/opened" "$work/secret" || complain "activate: $answer"
make_credential all "$(name_of "$work/all.ek")" # for a key that is not the AK
ask "activate $work/id_object $work/encrypted $work/never"
grep -q 'was refused' <<<"$answer" || complain "a credential for another key: $answer"
head -c 256 /dev/urandom >"$work/noise"
ask "activate $work/noise $work/noise $work/never"
grep -q 'was refused' <<<"$answer" || complain "noise: $answer"
ask "activate $work/id_object $work/noise $work/never"
grep -q 'was refused' <<<"$answer" || complain "noise as secret: $answer"
[ ! -e "$work/never" ] || complain "a credential was opened that must not be"
for _ in 1 2 3 4 5; do # no sessions are left behind
    make_credential all "$(name_of "$work/all.ak")"
    ask "activate $work/id_object $work/encrypted $work/opened"
    [ "$answer" = ok ] && cmp -s "$work/opened" "$work/secret" || complain "activate again: $answer"
done

echo "--- PCR 15 follows the log"
a=$(printf a | sha256sum | cut -d' ' -f1) b=$(printf a | sha384sum | cut -d' ' -f1)
ask "extend $a $b"
[ "$answer" = ok ] || complain "extend: $answer"
ask "quote c 8000 $qualifying $work/log"
check_quote log "$qualifying" c 8000
[ "$(hex_of "$work/log.pcrs")" = "$(python3 -c 'import hashlib, sys
print(hashlib.sha384(bytes(48) + bytes.fromhex(sys.argv[1])).hexdigest())' "$b")" ] || complain "PCR 15 of SHA-384"
ask "quote b 8000 $qualifying $work/log"
[ "$(hex_of "$work/log.pcrs")" = "$(python3 -c 'import hashlib, sys
print(hashlib.sha256(bytes(32) + bytes.fromhex(sys.argv[1])).hexdigest())' "$a")" ] || complain "PCR 15 of SHA-256"

echo "--- a bank that is not there, and then one that is"
ask "quote 4 1 $qualifying $work/none"
grep -q 'tpm.bank is not a valid argument' <<<"$answer" || complain "SHA-1: $answer"
ask "quote b 1 $qualifying $work/again"
[ "$answer" = ok ] || complain "after that: $answer"

echo "--- the next boot has another key, and finds room for it"
stop_agent
stop_tpm
for _ in 1 2 3 4; do # the state is kept: what was not flushed would be
    serve_tpm rsa
    start_agent rsa
    [ "$answer" = ok ] || complain "open again: $answer"
    ask ak
    [ "$answer" != "$first_ak" ] || complain "the same attestation key"
    stop_agent
    stop_tpm
done

echo "--- a TPM that goes away"
serve_tpm rsa
start_agent rsa
ask "quote b 1 $qualifying $work/again"
stop_tpm
ask "quote b 1 $qualifying $work/gone"
[ "$answer" != ok ] || complain "a quote of no TPM"
ask ak
[ "$answer" = none ] || complain "ak of no TPM: $answer"
stop_agent

echo "--- without a certificate, without a persistent key: made from the template"
start_tpm bare --pcr-banks sha256
start_agent bare
[ "$answer" = ok ] || complain "open: $answer"
ask "quote b ff $qualifying $work/bare"
[ "$answer" = ok ] && [ ! -s "$work/bare.cert" ] && [ -s "$work/bare.ek" ] || complain "bare: $answer"
check_quote bare "$qualifying" b ff
make_credential bare "$(name_of "$work/bare.ak")"
ask "activate $work/id_object $work/encrypted $work/opened"
[ "$answer" = ok ] && cmp -s "$work/opened" "$work/secret" || complain "activate: $answer"
ask "quote c 1 $qualifying $work/none"
grep -q 'tpm.bank' <<<"$answer" || complain "SHA-384: $answer"
stop_agent
stop_tpm

echo "--- keys that only the certificate tells: made from the RSA and the P-384 template"
start_tpm keys --create-ek-cert --pcr-banks sha256
name=keys
tool evictcontrol -C p -c 0x81010001
stop_tpm
serve_tpm keys
start_agent keys
ask "quote b 1 $qualifying $work/made"
[ "$answer" = ok ] || complain "made: $answer"
certified made
stop_agent
stop_tpm
for kept in yes no; do
    serve_tpm keys
    if [ $kept = yes ]; then tool nvundefine -C p 0x01c00002; else tool evictcontrol -C p -c 0x81010016; fi
    stop_tpm
    serve_tpm keys
    start_agent keys
    ask "quote b 1 $qualifying $work/ecc"
    [ "$answer" = ok ] || complain "ecc: $answer"
    certified ecc
    make_credential ecc "$(name_of "$work/ecc.ak")"
    ask "activate $work/id_object $work/encrypted $work/opened"
    [ "$answer" = ok ] && cmp -s "$work/opened" "$work/secret" || complain "activate: $answer"
    stop_agent
    stop_tpm
done

echo "--- lockout: the attestation key is barred like any other"
serve_tpm keys
tool dictionarylockout -s -n 1 -t 1000 -l 1000
tool nvdefine -C o -s 8 -p right -a 'authread|authwrite' 0x01800001
TPM2TOOLS_TCTI="swtpm:path=$work/keys.sock" tpm2_nvread -P wrong 0x01800001 >/dev/null 2>&1 || true
TPM2TOOLS_TCTI="swtpm:path=$work/keys.sock" tpm2_nvread -P wrong 0x01800001 >/dev/null 2>&1 || true
stop_tpm
serve_tpm keys
start_agent keys
ask "quote b 1 $qualifying $work/locked"
grep -q 'failed in the TPM (2337)' <<<"$answer" || complain "lockout: $answer"
[ ! -e "$work/locked.attest" ] || complain "a quote in lockout"
ask ak
[ "$answer" = none ] || complain "ak in lockout: $answer"
stop_agent
stop_tpm

sort "$work/times" | awk '{ t[$1] = t[$1] " " $2 } END { for (n in t) print "times in us, " n t[n] }'
[ $failed = 0 ] || { echo "swtpm.sh: $failed complaints" >&2; exit 1; }
echo "swtpm.sh: all held"
