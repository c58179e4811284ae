#!/usr/bin/env bash
# The main job end to end, then what must be refused. Runs inside the toolchain root (./dev demo). Exit 0 only if every step held.
# Not responsible for building the toolchain and the tools: dev did that, and passes the times it took in DEMO_TIMES.
set -euo pipefail
cd "$CVMIN_SRC"
readonly CVMIN=build/host/host-tools/cvmin RELAY=build/host/tests/cvmin-test-relay
out=$CVMIN_SRC/out
vm=demo-$$
work=$(mktemp -d "${TMPDIR:-/tmp}/cvmin-demo-XXXXXX")
relay_pid=

cleanup() {
    [ -z "$relay_pid" ] || kill "$relay_pid" 2>/dev/null || true
    for name in "$vm" "$vm-cmdline" "$vm-kernel"; do "$CVMIN" stop "$name" >/dev/null 2>&1 || true; done
    rm -rf -- "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ---- steps: one line each, with its time ---------------------------------------------------------------------------

step_name='' step_start=0
begin() { step_name=$1 step_start=$EPOCHREALTIME; }
seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }
done_step() { printf '%-34s %6s s  %s\n' "$step_name" "$(seconds_since "$step_start")" "${1:-}"; }
broken() {
    printf '%-34s FAILED    %s\n' "$step_name" "$1" >&2
    exit 1
}
field() { python3 -c 'import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."): value = value[key]
print(value)' "$1" "$2"; }
# refused_by FILE CHECK: the verdict in FILE refuses and CHECK is among the failed checks; prints found and wanted.
refused_by() {
    python3 -c 'import json, sys
verdict = json.load(open(sys.argv[1]))
if verdict["accepted"]: sys.exit("the verdict accepts")
failed = {c["check"]: c for c in verdict["checks"] if c["outcome"] == "failed"}
if sys.argv[2] not in failed: sys.exit("%s did not fail, but %s did" % (sys.argv[2], ", ".join(failed)))
c = failed[sys.argv[2]]
short = lambda s: s if len(s) <= 20 else s[:16] + "..."
print("refused by %s: found %s, wanted %s" % (sys.argv[2], short(c["found"]), short(c["wanted"])))' "$1" "$2"
}

# ---- build -------------------------------------------------------------------------------------------------------------

if [ -n "${DEMO_TIMES:-}" ]; then
    read -r started toolchain_done tools_done <<<"$DEMO_TIMES"
    printf '%-34s %6.1f s  Debian root and guest sysroot from toolchain/*.lock\n' toolchain \
        "$(awk -v a="$started" -v b="$toolchain_done" 'BEGIN { print b - a }')"
    printf '%-34s %6.1f s\n' "host tools" "$(awk -v a="$toolchain_done" -v b="$tools_done" 'BEGIN { print b - a }')"
fi

begin "kernel, agent, image"
"$CVMIN" build --source "$CVMIN_SRC" --out "$out" --json >"$work/build.json"
done_step "kernel + initramfs $((($(stat -c %s "$out"/bzImage) + $(stat -c %s "$out"/initrd.zst)) / 1024)) KiB"

begin "predicted digest"
predicted=$("$CVMIN" measure --image "$out/image.json" --mode snp --vcpus 1 --vcpu-type EPYC-v4)
done_step "$predicted"

# ---- boot, attest, verify, send ------------------------------------------------------------------------------------------

export CVMIN_QUIET=1 # from here the steps' own lines say it all
begin "boot"
"$CVMIN" boot --image "$out/image.json" --vtpm --name "$vm" --json >"$work/boot.json"
"$CVMIN" describe "$vm" --json >"$work/vm.json"
ark=$(field "$work/vm.json" emulated_ark)
ek_root=$(field "$work/vm.json" vtpm.ek_root)
[ "$(field "$work/vm.json" launch.digest_measured)" = "$predicted" ] || broken "the launch digest is not the predicted one"
done_step "EMULATED launch, QEMU under $(field "$work/vm.json" accelerator | tr "[:lower:]" "[:upper:]"), a vTPM of its own; digest as predicted"
guest_ms=$(awk -v a="$(field "$work/vm.json" times.started)" -v b="$(field "$work/vm.json" times.agent_answered)" 'BEGIN { print b - a }')

# the vTPM must be one that this user's CA made, too
policy=$work/policy.json
python3 - policies/emulated-vtpm.json "$policy" <<'EOF'
import json, sys
policy = json.load(open(sys.argv[1]))
policy["vtpm"]["ek_certificate"] = "required"
json.dump(policy, open(sys.argv[2], "w"))
EOF
trusted=(--policy "$policy" --trust-emulated "$ark" --ek-root "$ek_root")

begin "evidence"
"$CVMIN" attest "$vm" --out "$work/evidence.cbor" >/dev/null
done_step "$(stat -c %s "$work/evidence.cbor") bytes"

begin "verdict"
"$CVMIN" verify "$work/evidence.cbor" --session "$work/evidence.cbor.session.json" --image "$out/image.json" \
    "${trusted[@]}" >"$work/verdict.txt" || { cat "$work/verdict.txt"; broken "refused"; }
done_step "accepted"
cat "$work/verdict.txt"

begin "secret sent, digest confirmed"
head -c 32 /dev/urandom >"$work/secret"
"$CVMIN" send "$vm" --secret-name demo-key --file "$work/secret" --image "$out/image.json" \
    "${trusted[@]}" --json >"$work/send.json"
[ "$(field "$work/send.json" sha256)" = "$(sha256sum "$work/secret" | cut -d' ' -f1)" ] || broken "the agent holds something else"
done_step "sha256 $(field "$work/send.json" sha256 | cut -c1-16)... confirmed by the agent"

# ---- several parties, one result ----------------------------------------------------------------------------------------------

echo "joined statistics of a hospital and a clinic in a CVM of their own (./dev example joined-statistics shows each step)"
step_name="joined statistics"
env CVMIN="$PWD/$CVMIN" examples/joined-statistics/run.sh --brief --image "$out/image.json" || broken "a step of the example did not hold"

# ---- what must be refused --------------------------------------------------------------------------------------------------

begin "relay in the middle"
"$RELAY" --listen "$work/relay.sock" --target "$(field "$work/vm.json" vsock_socket)" >"$work/relay.log" 2>&1 &
relay_pid=$!
for _ in $(seq 600); do [ -S "$work/relay.sock" ] && break; sleep 0.05; done
if "$CVMIN" send "$vm" --vsock-socket "$work/relay.sock" --secret-name stolen --file "$work/secret" \
    --image "$out/image.json" "${trusted[@]}" --json >"$work/relay.json" 2>/dev/null; then
    broken "the secret went to the relay"
fi
why=$(refused_by "$work/relay.json" binding.exporter) || broken "$why"
# the relay says which requests it passed on: the secret must not be among them
grep -q '^relay: attest$' "$work/relay.log" || broken "nothing went through the relay"
! grep -q 'put-secret' "$work/relay.log" || broken "the secret went through the relay"
kill "$relay_pid" && wait "$relay_pid" 2>/dev/null || true
relay_pid=
done_step "$why"

begin "old evidence replayed"
"$CVMIN" attest "$vm" --out "$work/new.cbor" >/dev/null
if "$CVMIN" verify "$work/evidence.cbor" --session "$work/new.cbor.session.json" --image "$out/image.json" \
    "${trusted[@]}" --json >"$work/replay.json"; then
    broken "a replay was accepted"
fi
why=$(refused_by "$work/replay.json" binding.nonce) || broken "$why"
done_step "$why"

begin "without --trust-emulated"
if "$CVMIN" verify "$work/new.cbor" --session "$work/new.cbor.session.json" --image "$out/image.json" \
    --policy "$policy" --ek-root "$ek_root" --json >"$work/untrusted.json"; then
    broken "an emulated root was accepted unasked"
fi
why=$(refused_by "$work/untrusted.json" snp.chain) || broken "$why"
done_step "$why"

begin "another command line"
"$CVMIN" boot --image "$out/image.json" --vtpm --name "$vm-cmdline" --append "$(cat "$out/cmdline") cvmin.other=1" --json >/dev/null
"$CVMIN" attest "$vm-cmdline" --out "$work/cmdline.cbor" >/dev/null
if "$CVMIN" verify "$work/cmdline.cbor" --session "$work/cmdline.cbor.session.json" --image "$out/image.json" \
    "${trusted[@]}" --json >"$work/cmdline.json"; then
    broken "another command line was accepted"
fi
why=$(refused_by "$work/cmdline.json" snp.measurement) || broken "$why"
done_step "boots with its own hash page; $why"
"$CVMIN" stop "$vm-cmdline" >/dev/null

begin "one byte of the kernel changed"
python3 - "$out/bzImage" "$work/bzImage" <<'EOF'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
# a byte of the version text in the setup header: nothing depends on it but the kernel's hash
offset = 0x200 + int.from_bytes(data[0x20e:0x210], "little")
assert data[offset:offset + 2] == b"6."
data[offset] = ord("7")
open(sys.argv[2], "wb").write(data)
EOF
# The host hands OVMF the changed kernel under the page of the good one, so that the digest would still be right. The good
# kernel comes up this way, in $guest_ms ms; that the changed one does under a page of its own is shown by the test vm_refusals.
code=0
"$CVMIN" boot --image "$out/image.json" --name "$vm-kernel" --kernel "$work/bzImage" --hash-page from-image \
    --timeout "$(awk -v ms="$guest_ms" 'BEGIN { t = ms * 4 / 1000; printf "%d", (t > 20 ? t : 20) }')" --json \
    >/dev/null 2>"$work/kernel.err" || code=$?
[ $code = 5 ] || broken "exit $code instead of 5: $(tail -n 1 "$work/kernel.err")"
grep -q 'stage reached: .*started' "$work/kernel.err" || broken "the guest was not even started: $(tail -n 1 "$work/kernel.err")"
done_step "did not come up: OVMF refuses it"

begin "stop"
"$CVMIN" stop "$vm" >/dev/null
"$CVMIN" list --json >"$work/list.json" || broken "list failed"
if grep -q "\"$vm" "$work/list.json"; then broken "something is left behind"; fi
for process in qemu vsock_device vtpm supervisor; do
    # ended but not yet reaped by the system's init (state Z) counts as ended
    state=$(cut -d' ' -f3 "/proc/$(field "$work/vm.json" $process.pid)/stat" 2>/dev/null || echo Z)
    [ "$state" = Z ] || broken "$process is still running"
done
done_step "nothing left running"
echo "demo: every step held"
