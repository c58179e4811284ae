#!/usr/bin/env bash
# The agent in a real VM: evidence, a secret, what must be refused, hostile peers, and the end of the machine.
# Needs CVMIN, CVMIN_SRC, CVMIN_BUILD, and an image (CVMIN_IMAGE, else out/image.json). Runs inside the toolchain root.
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
policy=$CVMIN_SRC/policies/emulated.json
# fails NAME CHECK: the JSON verdict in NAME.out refuses, by CHECK
fails() {
    python3 -c 'import json, sys
verdict = json.load(open(sys.argv[1]))
failed = [c.get("check", c.get("name")) for c in verdict["checks"] if c["outcome"] == "failed"]
sys.exit(0 if not verdict["accepted"] and sys.argv[2] in failed else "failed: %s" % failed)' "$work/$1.out" "$2" ||
        complain "$1: not refused by $2"
}

section "boot"
"$CVMIN" boot --image "$image" --name guest --json >"$work/boot.json" || exit 1
"$CVMIN" describe guest --json >"$work/guest.json"
socket=$(field "$work/guest.json" vsock_socket)
ark=$(field "$work/guest.json" emulated_ark)
trusted=(--image "$image" --policy "$policy" --trust-emulated "$ark")

section "evidence, stored, is accepted for its own session and no other"
run one attest guest --out "$work/one.cbor" --json
wants 0 one
run two attest guest --out "$work/two.cbor" --nonce "$(printf 'a5%.0s' $(seq 64))"
wants 0 two
[ "$(field "$work/two.cbor.session.json" nonce)" = "$(printf 'a5%.0s' $(seq 64))" ] || complain "the nonce is not ours"
run verify verify "$work/one.cbor" --session "$work/one.cbor.session.json" "${trusted[@]}" --json
wants 0 verify
run replay verify "$work/one.cbor" --session "$work/two.cbor.session.json" "${trusted[@]}" --json
wants 1 replay
fails replay binding.nonce
run short attest guest --out "$work/short.cbor" --nonce abcd
wants 2 short "32 to 64 bytes"
[ ! -e "$work/short.cbor" ] || complain "evidence was written after a usage error"
run full attest guest --out /dev/full/evidence.cbor
[ "$code" = 3 ] || [ "$code" = 4 ] || complain "attest to an impossible file: exit $code"

section "a secret is sent and confirmed, again when it is the same, and not replaced"
head -c 65536 /dev/urandom >"$work/secret"
run send send guest --secret-name big.key --file "$work/secret" "${trusted[@]}" --json
wants 0 send
[ "$(field "$work/send.out" sha256)" = "$(sha256sum "$work/secret" | cut -d' ' -f1)" ] || complain "send: another digest"
run stdin send guest --secret-name small --file - "${trusted[@]}" <"$work/one.cbor.session.json"
wants 0 stdin
run again send guest --secret-name big.key --file "$work/secret" "${trusted[@]}" --json
wants 0 again
[ "$(field "$work/again.out" sha256)" = "$(field "$work/send.out" sha256)" ] || complain "send again: another digest"
run other send guest --secret-name big.key --file "$work/two.cbor" "${trusted[@]}"
wants 5 other "exists"

section "what is no secret, or not to be trusted, is not sent"
head -c 65537 /dev/zero >"$work/large"
: >"$work/empty"
run large send guest --secret-name large --file "$work/large" "${trusted[@]}"
wants 3 large "larger than its limit"
run empty send guest --secret-name empty --file "$work/empty" "${trusted[@]}"
wants 3 empty "is empty"
run name send guest --secret-name Not/a/name --file "$work/secret" "${trusted[@]}"
wants 2 name "--secret-name"
run untrusted send guest --secret-name k --file "$work/secret" --image "$image" --policy "$policy" --json
wants 1 untrusted "nothing was sent"
fails untrusted snp.chain
run vcpus send guest --secret-name k --file "$work/secret" --vcpus 2 "${trusted[@]}" --json
wants 1 vcpus "nothing was sent"
fails vcpus snp.measurement

section "a relay in the middle"
"$CVMIN_BUILD/tests/cvmin-test-relay" --listen "$work/relay" --target "$socket" >"$work/relay.log" &
relay=$!
for _ in $(seq 600); do
    [ -S "$work/relay" ] && break
    sleep 0.05
done
run relay send guest --vsock-socket "$work/relay" --secret-name stolen --file "$work/secret" "${trusted[@]}" --json
wants 1 relay "nothing was sent"
fails relay binding.exporter
fails relay binding.key
run relay verify --vm guest --vsock-socket "$work/relay" "${trusted[@]}" --json
wants 1 relay
fails relay binding.exporter
[ "$(sort "$work/relay.log" | uniq -c | tr -s ' ' | paste -sd,)" = " 2 relay: attest, 1 relay: listening" ] ||
    complain "the relay saw: $(cat "$work/relay.log")"
kill "$relay"
wait "$relay" 2>/dev/null || true

section "hostile peers"
"$CVMIN_BUILD/tests/cvmin-test-hostile" --socket "$socket" || complain "the agent did not stand hostile peers"
run after send guest --secret-name after --file "$work/secret" "${trusted[@]}"
wants 0 after

section "the machine goes away while evidence is asked for"
(
    while "$CVMIN" attest guest --out "$work/last.cbor" --timeout 5 >/dev/null 2>"$work/last.err"; do :; done
    # whichever moment it was: the peer is gone, or the name is
    code=0
    "$CVMIN" attest guest --out "$work/never.cbor" --timeout 2 >/dev/null 2>&1 || code=$?
    echo "$code" >"$work/last.code"
) &
loop=$!
sleep 0.5
run stop stop guest
wants 0 stop
wait "$loop"
case $(cat "$work/last.code") in
3 | 5) ;;
*) complain "attest of a machine that is gone: exit $(cat "$work/last.code")" ;;
esac
[ ! -e "$work/never.cbor" ] || complain "evidence was written without a machine"
if compgen -G "$work/*.cbor.*XXXXXX" >/dev/null || compgen -G "$work/last.cbor.??????" >/dev/null; then
    complain "half-written evidence: $(ls "$work")"
fi

section "a stop request is answered, then the machine powers off"
"$CVMIN" boot --image "$image" --name last --json >"$work/boot.json" || exit 1
"$CVMIN" describe last --json >"$work/last.json"
"$CVMIN_BUILD/tests/cvmin-test-hostile" --socket "$(field "$work/last.json" vsock_socket)" --stop ||
    complain "a stop request was not answered"
qemu=$(field "$work/last.json" qemu.pid)
for _ in $(seq 600); do
    [ -e "/proc/$qemu" ] || break
    sleep 0.05
done
[ ! -e "/proc/$qemu" ] || complain "QEMU runs 5 s after the agent said that it stops"

all_held
