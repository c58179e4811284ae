#!/usr/bin/env bash
# A CVM's agent over TCP: boot --listen, cvmin relay, --connect; parties in network namespaces of their own, which reach nothing but
# their relay. Needs CVMIN, CVMIN_SRC, and an image (CVMIN_IMAGE, else out/image.json). Runs inside the toolchain root, as its root.
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"

section "boot --listen"
run bad boot --image "$image" --name bad --listen 127.0.0.1
wants 2 bad "wanted HOST:PORT"
run foreign boot --image "$image" --name foreign --listen 192.0.2.1:0
wants 4 foreign "--listen: 192.0.2.1:0"
nothing_left "a boot that cannot listen"
"$CVMIN" boot --image "$image" --name guest --listen 127.0.0.1:0 --json >"$work/guest.json" || exit 1
address=$(field "$work/guest.json" listens_on)
launch=(--vcpus "$(field "$work/guest.json" vcpus)" --vcpu-type "$(field "$work/guest.json" cpu_model)")
trusted=(--image "$image" --policy "$CVMIN_SRC/policies/emulated.json" --trust-emulated "$(field "$work/guest.json" emulated_ark)")
"$CVMIN" describe guest | grep -q "listens on *$address" || complain "describe does not say where it listens"
run taken boot --image "$image" --name taken --listen "$address"
wants 4 taken "in use"

section "the same verdicts over it"
run verify verify --connect "$address" "${trusted[@]}" "${launch[@]}" --json
wants 0 verify
[ "$(field "$work/verify.out" accepted)" = True ] || complain "not accepted"
run unknown verify --connect "$address" "${trusted[@]}"
wants 2 unknown "--image needs --vcpus and --vcpu-type"
run two verify --connect "$address" --vm guest "${trusted[@]}" "${launch[@]}"
wants 2 two "wanted one of"
run other verify --connect "$address" "${trusted[@]}" --vcpus 2 --vcpu-type EPYC-v4
wants 1 other
echo secret >"$work/secret"
run send send --connect "$address" "${trusted[@]}" "${launch[@]}" --secret-name key --file "$work/secret"
wants 0 send
run events events --connect "$address" "${trusted[@]}" "${launch[@]}"
wants 0 events
grep -q secret-received "$work/events.out" || complain "the secret is not in the log"
run attest attest --connect "$address" --out "$work/evidence"
wants 0 attest
run stored verify "$work/evidence" --session "$work/evidence.session.json" "${trusted[@]}"
wants 2 stored "--image needs --vcpus and --vcpu-type"
run stored verify "$work/evidence" --session "$work/evidence.session.json" "${trusted[@]}" "${launch[@]}"
wants 0 stored

section "more connections than there is room for"
python3 - "$address" <<'PYTHON' || complain "connections"
import select, socket, sys, time
host, port = sys.argv[1].rsplit(":", 1)
peers = [socket.create_connection((host, int(port))) for _ in range(100)]
# whoever came first to the agent gives way
deadline = time.monotonic() + 10
while (closed := len(select.select(peers, [], [], 0)[0])) < 36 and time.monotonic() < deadline:
    time.sleep(0.05)
time.sleep(0.2)
closed = len(select.select(peers, [], [], 0)[0])
sys.exit(0 if closed == 36 else "%d of 36 were closed" % closed)
PYTHON
for _ in $(seq 50); do # the sixty-four go when their ends are seen to be closed
    run after verify --connect "$address" "${trusted[@]}" "${launch[@]}"
    [ "$code" = 0 ] && break
    sleep 0.1
done
wants 0 after

section "parties in network namespaces of their own"
# A party's listening socket is made in its namespace, and the relay that serves it runs in the host's.
cat >"$work/listen.py" <<'PYTHON'
import fcntl, os, socket, struct, sys
up = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
fcntl.ioctl(up, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
listener = socket.create_server(("127.0.0.1", 7000))
host = os.open(sys.argv[1], os.O_RDONLY)
os.setns(host, os.CLONE_NEWNET)
os.dup2(listener.fileno(), 0)
os.execv(sys.argv[2], sys.argv[2:])
PYTHON
for party in alice bob; do
    unshare --net sleep 600 &
    namespace=/proc/$!/ns/net
    for _ in $(seq 600); do
        [ "$(readlink "$namespace")" != "$(readlink /proc/self/ns/net)" ] && break
        sleep 0.05
    done
    nsenter --net="$namespace" python3 "$work/listen.py" /proc/$$/ns/net "$CVMIN" relay --inherited \
        --vsock-socket "$(field "$work/guest.json" vsock_socket)" >"$work/$party.relay" 2>&1 &
    for _ in $(seq 600); do [ -s "$work/$party.relay" ] && break; sleep 0.05; done
    grep -qx 127.0.0.1:7000 "$work/$party.relay" || complain "$party's relay: $(cat "$work/$party.relay")"
    nsenter --net="$namespace" "$CVMIN" verify --connect 127.0.0.1:7000 "${trusted[@]}" "${launch[@]}" >"$work/$party.out" 2>&1 ||
        complain "$party: $(cat "$work/$party.out")"
    if nsenter --net="$namespace" "$CVMIN" verify --connect "$address" "${trusted[@]}" "${launch[@]}" >"$work/$party.other" 2>&1; then
        complain "$party reaches the host's own address: the namespace divides nothing"
    fi
done

section "cvmin relay by name ends with its CVM, boot's with its own"
"$CVMIN" relay guest --listen 127.0.0.1:0 --json >"$work/named.json" &
named=$!
for _ in $(seq 600); do [ -s "$work/named.json" ] && break; sleep 0.05; done
run named verify --connect "$(field "$work/named.json" listens_on)" "${trusted[@]}" "${launch[@]}"
wants 0 named
run stop stop guest
wants 0 stop
code=0
wait "$named" || code=$?
[ "$code" = 0 ] || complain "relay ended with $code"
run gone verify --connect "$address" "${trusted[@]}" "${launch[@]}"
wants 5 gone
nothing_left "stop"

all_held
