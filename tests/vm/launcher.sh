#!/usr/bin/env bash
# cvmin boot, list, describe, console and stop with real VMs: what they start, what they leave behind, how they fail.
# Needs CVMIN, CVMIN_SRC, and an image (CVMIN_IMAGE, else out/image.json). Runs inside the toolchain root.
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
section "arguments and inputs that are refused before anything runs"
run usage boot
wants 2 usage "--image"
run missing boot --image "$work/none.json"
wants 3 missing "$work/none.json"
echo '{' >"$work/broken.json"
run broken boot --image "$work/broken.json"
wants 3 broken "not well-formed"
run model boot --image "$image" --cpu EPYC-Gena
wants 2 model "did you mean EPYC-Genoa"
run vcpus boot --image "$image" --vcpus 0
wants 2 vcpus "--vcpus"
run policy boot --image "$image" --policy 0x10000
wants 3 policy "bit 17"
run hostdata boot --image "$image" --host-data abcd
wants 2 hostdata "32 bytes"
run name boot --image "$image" --name Not/a/name
wants 2 name "no name for a CVM"
run unknown stop no-such-vm
wants 3 unknown "no-such-vm"
run unknown describe no-such-vm
wants 3 unknown "no-such-vm"
run snp boot --image "$image" --platform snp
if [ -e /dev/sev ]; then echo "(this host has /dev/sev)"; else wants 4 snp "/dev/sev"; fi
nothing_left "refusals"

section "a socket path that is too long"
long=$work/$(printf 'x%.0s' $(seq 80))
mkdir -p "$long"
code=0
XDG_RUNTIME_DIR=$long "$CVMIN" boot --image "$image" --name long >"$work/long.out" 2>"$work/long.err" || code=$?
wants 3 long "a Unix socket allows 107"
grep -qF "$long" "$work/long.err" || complain "the path is not named: $(cat "$work/long.err")"
[ ! -e "$long/cvmin/vms/long" ] || complain "a directory was made for a VM that cannot be"

section "a QEMU that is too old, and one that is no QEMU"
mkdir -p "$work/old"
printf '#!/bin/sh\necho "QEMU emulator version 7.2.19 (Debian 1:7.2)"\n' >"$work/old/qemu-system-x86_64"
chmod +x "$work/old/qemu-system-x86_64"
code=0
PATH=$work/old:$PATH "$CVMIN" boot --image "$image" --platform emulated >"$work/old.out" 2>"$work/old.err" || code=$?
wants 4 old "QEMU 7.2.19 was found, but 10.0 or newer is needed"
printf '#!/bin/sh\necho "something else"\n' >"$work/old/qemu-system-x86_64"
code=0
PATH=$work/old:$PATH "$CVMIN" boot --image "$image" --platform emulated >"$work/old.out" 2>"$work/old.err" || code=$?
wants 4 old "something else"
nothing_left "old QEMU"

section "dry run prints commands for both platforms and starts nothing"
run dry boot --image "$image" --platform emulated --dry-run
[ "$code" = 0 ] || complain "dry run: exit $code: $(cat "$work/dry.err")"
[ "$(wc -l <"$work/dry.out")" = 2 ] || complain "dry run: not two commands: $(cat "$work/dry.out")"
grep -q '^vhost-device-vsock ' "$work/dry.out" || complain "dry run: no vsock device"
run dry boot --image "$image" --platform snp --vcpus 4 --dry-run
[ "$code" = 0 ] || complain "dry run, snp: exit $code: $(cat "$work/dry.err")"
grep -q 'sev-snp-guest,id=sev0,policy=0x30000,cbitpos=[0-9]*,reduced-phys-bits=[0-9]*,kernel-hashes=on' "$work/dry.out" ||
    complain "dry run, snp: $(cat "$work/dry.out")"
# QEMU itself must be able to read the command: all but the parts that need the hardware
if ! "$CVMIN" boot --image "$image" --platform snp --dry-run --json 2>/dev/null |
    python3 -c 'import json, sys; sys.exit(len(json.load(sys.stdin)["commands"]) != 1)'; then
    complain "dry run, snp, JSON"
fi
nothing_left "dry run"

section "two VMs at once, made by two boots at once with one set of keys"
"$CVMIN" boot --image "$image" --name one --json >"$work/one.json" 2>"$work/one.err" &
first=$!
"$CVMIN" boot --image "$image" --vcpus 2 --json >"$work/two.json" 2>"$work/two.err" &
second=$!
booted=yes
wait "$first" || booted="no, the first: $(cat "$work/one.err")"
wait "$second" || booted="no, the second: $(cat "$work/two.err")"
if [ "$booted" != yes ]; then # the rest stands on these two
    complain "two boots at once: $booted"
    exit 1
fi
two=$(field "$work/two.json" name)
[ "$(field "$work/one.json" name) $two" = "one vm1" ] || complain "names: one and $two"
for vm in one two; do
    json=$work/$vm.json
    vcpus=$(field "$json" vcpus)
    predicted=$("$CVMIN" measure --image "$image" --vcpus "$vcpus" --vcpu-type EPYC-v4)
    [ "$(field "$json" launch.digest_measured)" = "$predicted" ] || complain "$vm: measured is not what measure predicts"
    [ "$(field "$json" launch.digest_predicted)" = "$predicted" ] || complain "$vm: predicted is not what measure predicts"
    [ "$(field "$json" emulated)" = True ] || complain "$vm: not said to be emulated"
    [ -s "$(field "$json" emulated_ark)" ] || complain "$vm: no emulated ARK"
    [ "$(field "$json" agent.report_source)" = emulated ] || complain "$vm: report source $(field "$json" agent.report_source)"
done
[ "$(field "$work/one.json" launch.digest_measured)" != "$(field "$work/two.json" launch.digest_measured)" ] ||
    complain "one and two vCPUs have the same digest"
run list list
grep -q '^one  *running  *EMULATED' "$work/list.out" || complain "list: $(cat "$work/list.out")"
run list list --json
[ "$(python3 -c 'import json, sys; print([v["name"] for v in json.load(open(sys.argv[1]))["vms"]])' "$work/list.out")" = "['one', 'vm1']" ] ||
    complain "list --json: $(cat "$work/list.out")"
run describe describe one
grep -q 'launch digest MEASURED' "$work/describe.out" || complain "describe: $(cat "$work/describe.out")"
grep -q 'the two are equal' "$work/describe.out" || complain "describe: digests: $(cat "$work/describe.out")"
run console console one
[ "$code" = 0 ] || complain "console: exit $code"
if grep -q "$(printf '\033')" "$work/console.out"; then complain "console: an escape character came through"; fi
run again boot --image "$image" --name one
wants 4 again "a CVM named one is there already"

section "commands that are started without standard streams have them all the same"
"$CVMIN" console one --follow <&- >&- 2>&- &
follower=$!
for _ in $(seq 600); do
    [ "$(readlink "/proc/$follower/fd/2")" = /dev/null ] && break
    sleep 0.05
done
for fd in 0 1 2; do
    [ "$(readlink "/proc/$follower/fd/$fd")" = /dev/null ] ||
        complain "descriptor $fd is $(readlink "/proc/$follower/fd/$fd")"
done
kill "$follower"
wait "$follower" || true

section "stop leaves no process and no socket, and does not touch the other VM"
pids="$(field "$work/one.json" qemu.pid) $(field "$work/one.json" vsock_device.pid) $(field "$work/one.json" supervisor.pid)"
for pid in $pids; do alive "$pid" || complain "pid $pid of one is not alive before stop"; done
run stop stop one
[ "$code" = 0 ] || complain "stop: exit $code: $(cat "$work/stop.err")"
for pid in $pids; do alive "$pid" && complain "pid $pid of one is alive after stop"; done
[ ! -e "$vms/one" ] || complain "the directory of one is there after stop"
alive "$(field "$work/two.json" qemu.pid)" || complain "stop of one ended the other"
run stop stop one
wants 3 stop "one"

section "kill -9 of the supervisor leaves no QEMU; list cleans up"
supervisor=$(field "$work/two.json" supervisor.pid)
pids="$(field "$work/two.json" qemu.pid) $(field "$work/two.json" vsock_device.pid)"
kill -9 "$supervisor"
for _ in $(seq 600); do
    left=""
    for pid in $pids; do alive "$pid" && left="$left $pid"; done
    [ -z "$left" ] && break
    sleep 0.05
done
[ -z "$left" ] || complain "alive after their supervisor was killed: $left"
[ -d "$vms/$two" ] || complain "the dead VM's directory is gone already: nothing to clean up, nothing tested"
run list list --json
grep -q "\"$two\"" "$work/list.out" && complain "list shows a dead VM"
nothing_left "kill -9 of the supervisor" "$supervisor"

section "QEMU that ends takes its VM with it"
run gone boot --image "$image" --name gone --json
[ "$code" = 0 ] || complain "boot: $(cat "$work/gone.err")"
kill -9 "$(field "$work/gone.out" qemu.pid)"
nothing_left "kill -9 of QEMU" "$(field "$work/gone.out" supervisor.pid)"

section "Ctrl-C in boot, and boot killed"
for signal in INT TERM KILL; do
    # with its own process group, as a terminal gives it; INT is not ignored as it is for background jobs
    python3 -c 'import os, signal, sys
os.setpgid(0, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$CVMIN" boot --image "$image" --name interrupted >/dev/null 2>&1 &
    boot=$!
    for _ in $(seq 600); do
        [ -n "$(vm_processes)" ] && grep -qs '"measured"' "$vms/interrupted/vm.json" && break
        sleep 0.02
    done
    [ -d "$vms/interrupted" ] || complain "boot was over before it could be interrupted"
    kill -"$signal" "$boot"
    status=0
    wait "$boot" || status=$?
    [ "$status" -gt 128 ] || complain "boot ended with $status after SIG$signal"
    [ "$signal" = KILL ] || [ -z "$(vm_processes)" ] || complain "SIG$signal: processes left when boot was over"
    nothing_left "SIG$signal in boot"
done

section "Ctrl-C twice, with a supervisor that hangs"
python3 -c 'import os, signal, sys
os.setpgid(0, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$CVMIN" boot --image "$image" --name hanging >/dev/null 2>&1 &
boot=$!
for _ in $(seq 600); do
    grep -qs '"measured"' "$vms/hanging/vm.json" && break
    sleep 0.02
done
supervisor=$(field "$vms/hanging/vm.json" supervisor.pid)
kill -STOP "$supervisor"
kill -INT "$boot"
sleep 0.5
alive "$boot" || complain "boot did not wait for its supervisor"
kill -INT "$boot"
status=0
wait "$boot" || status=$?
[ "$status" = 130 ] || complain "boot ended with $status after SIGINT"
nothing_left "hanging supervisor" "$supervisor"

section "a directory of VMs that somebody else could have planted"
mkdir -p "$work/planted/cvmin" "$work/elsewhere/victim"
chmod 700 "$work/planted/cvmin" "$work/elsewhere" "$work/elsewhere/victim"
echo "1 1" >"$work/elsewhere/victim/lock"
ln -s "$work/elsewhere" "$work/planted/cvmin/vms"
for arguments in list "stop victim" "stop --all" "describe victim" "boot --image $image --platform emulated"; do
    code=0
    # shellcheck disable=SC2086 # words
    XDG_RUNTIME_DIR=$work/planted "$CVMIN" $arguments >"$work/planted.out" 2>"$work/planted.err" || code=$?
    wants 4 planted "$work/planted/cvmin/vms was refused: it is a symbolic link"
done
[ -e "$work/elsewhere/victim/lock" ] || complain "what a symbolic link points to was removed"

section "a stop while boot waits"
"$CVMIN" boot --image "$image" --name early >/dev/null 2>"$work/early.err" &
boot=$!
for _ in $(seq 600); do
    grep -qs '"measured"' "$vms/early/vm.json" && break
    sleep 0.02
done
run stop stop early
[ "$code" = 0 ] || complain "early stop: exit $code: $(cat "$work/stop.err")"
status=0
wait "$boot" || status=$?
[ "$status" = 5 ] || complain "boot ended with $status after stop"
grep -q "was stopped before its agent answered" "$work/early.err" || complain "early: $(cat "$work/early.err")"
nothing_left "early stop"

section "a kernel with one changed byte under the image's own hash page does not start"
python3 - "$image" "$work/bzImage" <<'EOF'
import json, os, sys
manifest = json.load(open(sys.argv[1]))
data = bytearray(open(os.path.join(os.path.dirname(sys.argv[1]), manifest["files"]["kernel"]["path"]), "rb").read())
# the version text: not used to start, so that nothing but the hash page can keep this kernel from it
offset = 0x200 + int.from_bytes(data[0x20e:0x210], "little") # kernel_version of the setup header
assert data[offset:offset + 2] == b"6."
data[offset] = ord("7")
open(sys.argv[2], "wb").write(data)
EOF
started=$EPOCHSECONDS
# twice what a boot takes on this host, so that slowness is not taken for a refusal
limit=$(python3 -c 'import json, sys
print(max(12, int(2 * json.load(open(sys.argv[1]))["times"]["agent_answered"] / 1000) + 1))' "$work/one.json")
run kernel boot --image "$image" --name kernel --kernel "$work/bzImage" --hash-page from-image --timeout "$limit"
wants 5 kernel "the agent did not answer within $limit s"
wants 5 kernel "stage reached: started"
wants 5 kernel "OVMF refuses them"
[ $((EPOCHSECONDS - started)) -lt $((limit + 8)) ] || complain "the deadline was not kept: $((EPOCHSECONDS - started)) s"
nothing_left "changed kernel"

section "another command line boots with its own page only, and its digest differs"
line="$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["command_line"])' "$image") cvmin.other=1"
run line boot --image "$image" --name line --append "$line" --json
[ "$code" = 0 ] || complain "another command line: $(cat "$work/line.err")"
[ "$(field "$work/line.out" launch.digest_measured)" != "$(field "$work/line.out" launch.digest_predicted)" ] ||
    complain "another command line has the image's digest"
[ "$(field "$work/line.out" altered)" = True ] || complain "another command line is not said to be an alteration"

section "stop --all"
run all stop --all --json
[ "$(field "$work/all.out" stopped)" = "['line']" ] || complain "stop --all: $(cat "$work/all.out")"
nothing_left "stop --all"
run all stop --all
[ "$code" = 0 ] || complain "stop --all with nothing to stop: exit $code"

section "broken keys of the emulated AMD-SP are named, and not replaced"
: >"$XDG_STATE_HOME/cvmin/emulated-sp/vcek.key"
run keys boot --image "$image"
wants 3 keys "vcek.key"
wants 3 keys "remove that directory"
[ ! -s "$XDG_STATE_HOME/cvmin/emulated-sp/vcek.key" ] || complain "the broken key was replaced"
nothing_left "broken keys"

all_held
