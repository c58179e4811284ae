#!/usr/bin/env bash
# cvmin boot --vtpm with real VMs, and with programs in place of swtpm's that fail, hang or are something else: what the guest
# sees, who vouches for whose TPM, and that nothing is left behind.
# Needs CVMIN, CVMIN_SRC, and an image (CVMIN_IMAGE, else out/image.json). Runs inside the toolchain root.
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
root=$XDG_STATE_HOME/cvmin/vtpm-ca/ek-root.der
boot_vtpm() { # NAME OPTIONS...: run NAME, with --vtpm, on the emulated platform
    local name=$1
    shift
    run "$name" boot --image "$image" --platform emulated --accel tcg --vtpm --name "$name" "$@"
}
# fake PROGRAM, with its text on standard input: takes the place of one of swtpm's
fake() {
    mkdir -p "$work/fake"
    cat >"$work/fake/$1"
    chmod +x "$work/fake/$1"
}
# with_fakes NAME OPTIONS...: as boot_vtpm
with_fakes() { PATH=$work/fake:$PATH boot_vtpm "$@"; }
# interrupted_by SIGNAL FILE: boots with the fakes and sends SIGNAL to boot once FILE is there
interrupted_by() {
    PATH=$work/fake:$PATH python3 -c 'import os, signal, sys
os.setpgid(0, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$CVMIN" boot --image "$image" --platform emulated --accel tcg --vtpm --name cut >/dev/null 2>&1 &
    local boot=$!
    for _ in $(seq 600); do
        [ -s "$2" ] && break
        sleep 0.05
    done
    [ -s "$2" ] || complain "SIG$1: $2 did not come"
    kill -"$1" "$boot"
    wait "$boot" 2>/dev/null || true # the shell reports who was killed
}
# a swtpm that listens where it is told to, and then does what is on standard input with the first connection
listening_fake() {
    fake swtpm <<END
#!/usr/bin/env python3
import os, re, socket, sys, time
path = re.search("path=([^,]*)", " ".join(sys.argv)).group(1)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(1)
connection, _ = listener.accept()
$(cat)
time.sleep(300)
END
}
answers_well='connection.recv(4)
connection.send((0x7fff).to_bytes(8, "big"))'
good_setup() { fake swtpm_setup <<<$'#!/bin/sh\nexit 0'; }

section "without swtpm, and without its tools"
mkdir -p "$work/none"
code=0
PATH=$work/none "$CVMIN" boot --image "$image" --vtpm >"$work/none.out" 2>"$work/none.err" || code=$?
wants 4 none "swtpm is not in PATH, and --vtpm needs it (Debian's package swtpm)"
ln -s "$(command -v swtpm)" "$work/none/swtpm"
code=0
PATH=$work/none "$CVMIN" boot --image "$image" --vtpm >"$work/none.out" 2>"$work/none.err" || code=$?
wants 4 none "swtpm_setup is not in PATH, and --vtpm needs it (Debian's package swtpm-tools)"
nothing_left "no swtpm"

section "paths that swtpm cannot be given"
boot_vtpm comma --vtpm-state "$work/a,mode=0777"
wants 3 comma "swtpm cannot be given a path with a comma"
[ ! -e "$work/a,mode=0777" ] || complain "a directory was made for a vTPM that cannot be"
nothing_left "comma"

section "a manufacture that fails"
fake swtpm_setup <<'END'
#!/bin/sh
echo "no entropy today" >&2
exit 7
END
with_fakes failing
wants 4 failing "swtpm_setup ended with status 7; it said:"
wants 4 failing "no entropy today"
nothing_left "failing swtpm_setup"

section "a manufacture that hangs: deadline, Ctrl-C, a boot that is killed, a supervisor that is killed"
# it leaves a process behind that has left its session, as swtpm_setup's own swtpm does
fake swtpm_setup <<END
#!/bin/sh
echo "making primes"
(setsid sh -c 'echo \$\$ >>$work/orphans; exec sleep 300' swtpm_setup "\$@" &)
echo \$\$ >>$work/orphans
exec sleep 300
END
orphans_gone() {
    local pid left
    for _ in $(seq 600); do
        left=""
        while read -r pid; do alive "$pid" && left="$left $pid"; done <"$work/orphans"
        [ -z "$left" ] && break
        sleep 0.05
    done
    [ -z "$left" ] || complain "$1: of swtpm_setup's processes there still are: $left"
    rm -f "$work/orphans"
}
unset CVMIN_QUIET
with_fakes hanging --timeout 3
export CVMIN_QUIET=1
wants 5 hanging "stage reached: starting the vTPM"
wants 5 hanging "manufacturing the vTPM: keys and EK certificates"
wants 5 hanging "making primes"
nothing_left "hanging swtpm_setup"
orphans_gone deadline
for signal in INT KILL; do
    interrupted_by $signal "$work/orphans"
    nothing_left "SIG$signal while swtpm_setup hangs"
    orphans_gone "SIG$signal"
done
PATH=$work/fake:$PATH "$CVMIN" boot --image "$image" --platform emulated --accel tcg --vtpm --name cut >/dev/null 2>&1 &
boot=$!
for _ in $(seq 600); do
    [ -s "$work/orphans" ] && break
    sleep 0.05
done
kill -9 "$(field "$vms/cut/vm.json" supervisor.pid)"
wait "$boot" || true
orphans_gone "kill -9 of the supervisor while swtpm_setup hangs"
run list list --json
nothing_left "kill -9 of the supervisor while swtpm_setup hangs"

section "a swtpm that dies, listens elsewhere, is something else, or hangs"
good_setup
fake swtpm <<<$'#!/bin/sh\necho "libtpms is broken" >&2\nexit 3'
with_fakes dying
wants 4 dying "swtpm ended with status 3; it said:"
wants 4 dying "libtpms is broken"
nothing_left "dying swtpm"
fake swtpm <<<$'#!/bin/sh\nexec sleep 300'
with_fakes elsewhere
wants 5 elsewhere "swtpm made no control socket within 10 s"
nothing_left "swtpm without a socket"
listening_fake <<<'connection.send(b"HTTP/1.1 400 Bad Request")'
with_fakes rubbish
wants 4 rubbish "swtpm: swtpm's control socket"
nothing_left "something else than swtpm"
listening_fake <<<'sys.exit(9)'
with_fakes hangup
wants 4 hangup "swtpm ended with status 9"
nothing_left "swtpm that hangs up"
listening_fake <<<''
with_fakes mute
wants 5 mute "swtpm: swtpm's control socket"
nothing_left "mute swtpm"
listening_fake <<<"$answers_well"$'\nconnection, _ = listener.accept()'
with_fakes qemu-waits --timeout 4
wants 5 qemu-waits "stage reached: vtpm_ready"
nothing_left "swtpm that answers us and not QEMU"
rm -rf "$work/fake"

section "dry run prints what is run, and starts nothing"
boot_vtpm dry --dry-run
[ "$code" = 0 ] || complain "dry run: exit $code: $(cat "$work/dry.err")"
[ "$(sed 's/ .*//; s,.*/,,' "$work/dry.out" | paste -sd' ')" = "vhost-device-vsock env swtpm qemu-system-x86_64" ] ||
    complain "dry run: $(cat "$work/dry.out")"
grep -q -- '-tpmdev emulator,id=tpm0,chardev=vtpm0 -device tpm-crb,tpmdev=tpm0' "$work/dry.out" || complain "dry run: no tpm-crb"
run dry boot --image "$image" --platform snp --vtpm --dry-run
grep -q -- '-object sev-snp-guest.*-device tpm-crb,tpmdev=tpm0' "$work/dry.out" || complain "dry run, snp: $(cat "$work/dry.out")"
nothing_left "dry run"

section "two VMs at once, each with a TPM of its own, certified by the same CA; the guests' kernels see them"
line="$(sed 's/ *#.*//; /^$/d' "$CVMIN_SRC/image/cmdline.debug" | paste -sd' ')"
"$CVMIN" boot --image "$image" --platform emulated --accel tcg --vtpm --append "$line" --name one --json >"$work/one.json" 2>"$work/one.err" &
first=$!
"$CVMIN" boot --image "$image" --platform emulated --accel tcg --vtpm --append "$line" --name two --json >"$work/two.json" 2>"$work/two.err" &
second=$!
booted=yes
wait "$first" || booted="no, the first: $(cat "$work/one.err")"
wait "$second" || booted="no, the second: $(cat "$work/two.err")"
if [ "$booted" != yes ]; then # the rest stands on these two
    complain "two boots at once: $booted"
    exit 1
fi
for vm in one two; do
    [ "$(field "$work/$vm.json" vtpm.ek_root)" = "$root" ] || complain "$vm: another CA: $(field "$work/$vm.json" vtpm.ek_root)"
    for certificate in ek-rsa2048.crt ek-secp384r1.crt; do
        openssl x509 -inform der -in "$vms/$vm/vtpm/$certificate" -out "$work/$vm-$certificate.pem"
        openssl x509 -inform der -in "$root" -out "$work/root.pem"
        openssl verify -CAfile "$work/root.pem" "$work/$vm-$certificate.pem" >"$work/openssl" 2>&1 ||
            complain "$vm: $certificate: $(cat "$work/openssl")"
    done
    pid=$(field "$work/$vm.json" vtpm.pid)
    tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "swtpm socket --tpm2 --tpmstate dir=$vms/$vm/vtpm/state" || complain "$vm: pid $pid is no swtpm"
    [ "$(stat -c %a "$vms/$vm/vtpm/state")" = 700 ] || complain "$vm: others may read the TPM's state"
    "$CVMIN" console "$vm" >"$work/$vm.console"
    grep -q 'efi:.* TPMEventLog=0x' "$work/$vm.console" || complain "$vm: the firmware left no event log: $(grep efi: "$work/$vm.console")"
    grep -q 'ACPI: TPM2 0x' "$work/$vm.console" || complain "$vm: no ACPI table of a TPM"
    grep -q 'tpm_crb MSFT0101:00' "$work/$vm.console" || complain "$vm: the kernel does not name the TPM"
done
cmp -s "$vms/one/vtpm/ek-rsa2048.crt" "$vms/two/vtpm/ek-rsa2048.crt" && complain "two TPMs with one EK certificate"
[ "$(openssl x509 -in "$work/one-ek-rsa2048.crt.pem" -noout -pubkey)" != "$(openssl x509 -in "$work/two-ek-rsa2048.crt.pem" -noout -pubkey)" ] ||
    complain "two TPMs with one EK"
[ "$(openssl x509 -in "$work/one-ek-rsa2048.crt.pem" -noout -serial)" != "$(openssl x509 -in "$work/two-ek-rsa2048.crt.pem" -noout -serial)" ] ||
    complain "two certificates with one serial number"
run list list
grep -q '^one .* swtpm ' "$work/list.out" || complain "list: $(cat "$work/list.out")"
run list list --json
[ "$(python3 -c 'import json, sys; print([v["vtpm"] for v in json.load(open(sys.argv[1]))["vms"]])' "$work/list.out")" = "[True, True]" ] ||
    complain "list --json: $(cat "$work/list.out")"
run describe describe one
grep -qF "$root  (for --ek-root)" "$work/describe.out" || complain "describe: $(cat "$work/describe.out")"

section "without --vtpm the guest has no TPM"
run plain boot --image "$image" --platform emulated --accel tcg --append "$line" --name plain --json
[ "$(field "$work/plain.out" vtpm)" = None ] || complain "a vTPM that nobody asked for"
"$CVMIN" console plain >"$work/plain.console"
grep -q 'efi:' "$work/plain.console" || complain "the console of plain is empty: nothing compared"
! grep -qE 'TPMEventLog|tpm_crb|ACPI: TPM2' "$work/plain.console" || complain "a TPM that nobody asked for"
run stop stop plain

section "a swtpm that ends takes its VM with it, and touches no other"
pids="$(field "$work/one.json" qemu.pid) $(field "$work/one.json" vsock_device.pid) $(field "$work/one.json" supervisor.pid)"
kill -9 "$(field "$work/one.json" vtpm.pid)"
for _ in $(seq 600); do
    left=""
    for pid in $pids; do alive "$pid" && left="$left $pid"; done
    [ -z "$left" ] && [ ! -e "$vms/one" ] && break
    sleep 0.05
done
[ -z "$left" ] && [ ! -e "$vms/one" ] || complain "after kill -9 of swtpm: $left, $(ls "$vms")"
for process in qemu vtpm; do alive "$(field "$work/two.json" $process.pid)" || complain "two lost its $process"; done

section "kill -9 of the supervisor, and of QEMU, leave no swtpm"
kill -9 "$(field "$work/two.json" supervisor.pid)"
for _ in $(seq 600); do
    alive "$(field "$work/two.json" vtpm.pid)" || break
    sleep 0.05
done
alive "$(field "$work/two.json" vtpm.pid)" && complain "swtpm outlives its supervisor"
run list list --json
nothing_left "kill -9 of the supervisor" "$(field "$work/two.json" vtpm.pid)"
boot_vtpm three --json
[ "$code" = 0 ] || complain "boot: $(cat "$work/three.err")"
kill -9 "$(field "$work/three.out" qemu.pid)"
nothing_left "kill -9 of QEMU" "$(field "$work/three.out" vtpm.pid)"

section "a TPM that is kept: the same one at the next boot, for one VM at a time"
kept=$work/kept
boot_vtpm kept --vtpm-state "$kept" --json
[ "$code" = 0 ] || complain "kept: $(cat "$work/kept.err")"
[ "$(field "$work/kept.out" vtpm.kept_in)" = "$kept" ] || complain "kept in $(field "$work/kept.out" vtpm.kept_in)"
[ "$(field "$work/kept.out" vtpm.ek_root)" = "$kept/ek-root.der" ] || complain "the CA of a kept TPM"
cmp -s "$kept/ek-root.der" "$root" || complain "a kept TPM has its certificate of another CA"
cp "$kept/ek-rsa2048.crt" "$work/before.crt"
boot_vtpm thief --vtpm-state "$kept"
wants 4 thief "$kept: another CVM uses this vTPM"
run stop stop kept
nothing_left "stop of a VM with a kept TPM" "$(field "$work/kept.out" vtpm.pid)"
[ -s "$kept/state/tpm2-00.permall" ] || complain "the kept state is gone"
cp "$kept/state/tpm2-00.permall" "$work/permall"
boot_vtpm kept --vtpm-state "$kept" --json
[ "$code" = 0 ] || complain "kept, again: $(cat "$work/kept.err")"
cmp -s "$kept/ek-rsa2048.crt" "$work/before.crt" || complain "the kept TPM has another EK certificate"
grep -qs "manufacturing" "$vms/kept/vtpm.log" && complain "the kept TPM was manufactured again"
run stop stop kept
cmp -s "$kept/state/tpm2-00.permall" "$work/permall" && complain "the kept TPM did not count its restart"
mkdir -m 700 "$work/not-ours"
touch "$work/not-ours/precious"
boot_vtpm other --vtpm-state "$work/not-ours"
wants 3 other "it is not empty, and not a vTPM of ours"
[ -e "$work/not-ours/precious" ] || complain "something else's file is gone"
nothing_left "kept"

section "a CA that others can read, or that is broken, is named and not replaced"
chmod 755 "$XDG_STATE_HOME/cvmin/vtpm-ca"
boot_vtpm readable
wants 3 readable "directory (owner or mode)"
chmod 700 "$XDG_STATE_HOME/cvmin/vtpm-ca"
: >"$XDG_STATE_HOME/cvmin/vtpm-ca/ek-root.key"
boot_vtpm broken
wants 3 broken "ek-root.key"
wants 3 broken "remove that directory"
[ ! -s "$XDG_STATE_HOME/cvmin/vtpm-ca/ek-root.key" ] || complain "the broken key was replaced"
nothing_left "broken CA"
[ -z "$(find /tmp -maxdepth 1 -name 'swtpm_setup.certs.*' -newer "$work/none.err" 2>/dev/null)" ] || complain "swtpm_setup left its files in /tmp"

all_held
