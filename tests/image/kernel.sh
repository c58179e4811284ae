#!/usr/bin/env bash
# Boots the built kernel (CVMIN_IMAGE, default out/) with a throw-away init, without the launcher: what it must offer and what it
# must not, that a panic ends the VM, and that with the release command line nothing but the firmware writes to the console.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
out=${CVMIN_IMAGE:-$CVMIN_SRC/out}
[ -s "$out/bzImage" ] || broken "no image in $out: run cvmin build first"

sys=$CVMIN_SYSROOT
clang++ --target=x86_64-linux-musl -nostdlibinc -isystem "$sys/include" -std=c++23 -Os -fPIE -fno-exceptions -fno-rtti \
    -Wall -Wextra -Werror -fuse-ld=lld -nostdlib -static-pie "$CVMIN_SRC/tests/image/facts.cpp" -o "$work/init" \
    "$sys"/lib/{rcrt1.o,crti.o,libc.a,libbuiltins.a,crtn.o}
mkdir "$work"/{dev,proc,run,sys}
(cd "$work" && printf '%s\n' dev init proc run sys | cpio -o -H newc --quiet) | zstd -q -19 >"$work/initrd.zst"

# A table as a hostile host would add it: a device whose _STA method writes to the guest's memory at 16 MiB, where the kernel may be.
python3 - "$work/evil.aml" <<'PY'
import struct, sys
def package(body):  # PkgLength (ACPI 6.5, 20.2.4) and body, under 4 KiB
    size = len(body) + 2
    return bytes([0x40 | (size & 0xf), size >> 4]) + body
region = b"\x5b\x80" + b"REGN" + b"\x00" + b"\x0c" + struct.pack("<I", 0x1000000) + b"\x0c" + struct.pack("<I", 0x1000)
field = b"\x5b\x81" + package(b"REGN" + b"\x03" + b"FLD0" + b"\x20")
method = b"\x14" + package(b"_STA" + b"\x00" + b"\x70\x0c\xef\xbe\xad\xde" + b"FLD0" + b"\xa4\x0a\x0f")
device = b"\x5b\x82" + package(b"EVIL" + b"\x08_HID\x0dEVIL0001\x00" + region + field + method)
body = b"\x10" + package(b"\x5c_SB_" + device)
head = b"SSDT" + struct.pack("<I", 36 + len(body)) + b"\x02\x00" + b"CVMIN " + b"EVILTABL" + struct.pack("<I4sI", 1, b"TEST", 1)
table = bytearray(head + body)
table[9] = -sum(table) & 0xff
open(sys.argv[1], "wb").write(table)
PY

# boot NAME CMDLINE QEMU-OPTIONS...: to the end of the VM; the console is in $work/NAME.
boot() {
    python3 - "$out/bzImage" "$work/initrd.zst" "$2" "$work/hashes" <<'PY'
import hashlib, sys, uuid
kernel, initrd, line, target = sys.argv[1:]
sha256 = lambda data: hashlib.sha256(data).digest()
guid = lambda text: uuid.UUID(text).bytes_le
entry = lambda text, digest: guid(text) + (50).to_bytes(2, "little") + digest
table = guid("9438d606-4f22-4cc9-b479-a793d411fd21") + (168).to_bytes(2, "little")
table += entry("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", sha256(line.encode() + b"\0"))
table += entry("44baf731-3a2f-4bd7-9af1-41e29169781d", sha256(open(initrd, "rb").read()))
table += entry("4de79437-abd2-427f-b835-d5b172d2045b", sha256(open(kernel, "rb").read()))
open(target, "wb").write(table.ljust(176, b"\0"))
PY
    # under TCG about 6 s; the limit is for a loaded machine
    timeout 120 qemu-system-x86_64 -accel tcg -M q35 -cpu EPYC-v4 -smp 2 -m 128 -nodefaults -display none -no-reboot \
        -drive "if=pflash,format=raw,unit=0,readonly=on,file=$out/OVMF.fd" -kernel "$out/bzImage" \
        -initrd "$work/initrd.zst" -append "$2" -device "loader,file=$work/hashes,addr=0x810c00,force-raw=on" \
        -serial "file:$work/$1" "${@:3}" 2>"$work/qemu.err" || { cat "$work/qemu.err" >&2; broken "$1: the VM did not end by itself"; }
}

boot debug "$(sed 's/ *#.*//; /^$/d' "$CVMIN_SRC/image/cmdline.debug" | paste -sd' ')" \
    -acpitable "file=$work/evil.aml"
facts=$(tr -d '\r' <"$work/debug" | sed -n 's/^FACT //p')
fact() { grep -qxE -- "$1: $2" <<<"$facts" || broken "wanted $1: $2, found: $(grep "^$1:" <<<"$facts" || echo nothing)"; }
fact end yes
fact descriptors yes
for mount in dev proc sys run configfs securityfs cgroup2; do fact $mount yes; done
fact controllers 'cpu memory pids'
fact version 'Linux version 6\.12\..* \(cvmin@cvmin\) \(Debian clang.* #1 SMP Thu Jan  1 00:00:00 UTC 1970'
fact lockdown 'none integrity \[confidentiality\]'
fact lsm 'lockdown,capability,landlock,yama,ima'
fact ima '10 [0-9a-f]{40} ima-ng sha256:[0-9a-f]{64} boot_aggregate'
fact cpus 0-1
fact tsm ' *report'
fact report 'No such device or address'
fact AF_VSOCK yes
for family in AF_UNIX AF_INET AF_PACKET; do fact $family 'Address family not supported by protocol'; done
fact landlock '([6-9]|[1-9][0-9])'
fact 'seccomp filter' 'Bad address'
for call in bpf io_uring kexec init_module; do fact $call 'Function not implemented'; done
fact memfd yes
for namespace in user IPC; do fact "$namespace namespace" 'Invalid argument'; done
# what confines an algorithm: cgroups, namespaces, sealed memory
for thing in 'controllers on' limits clone3 'wait for a pidfd' 'cgroup removed' seals; do fact "$thing" yes; done
fact 'too much memory' 'signal 9'
fact 'too large a file' 'signal 9'
fact 'too many processes' 'exit 3'
fact cgroup.kill 3
fact 'pid in a namespace' 1
fact 'own root' 'exit 0'
fact 'execute sealed' 'exit 7'
for call in 'write to sealed' 'data made executable'; do fact "$call" 'Operation not permitted'; done
fact unprivileged 'exit 0'
for call in ptrace 'ptrace by root' PTRACE_TRACEME pidfd_getfd 'kernel log' 'page at 61440'; do fact "$call" 'Operation not permitted'; done
for call in perf "other's memory"; do fact "$call" 'Permission denied'; done
fact 'page at 65536' yes
# memory: no old contents, in no order that can be foreseen, nothing both writable and executable
fact cleared 'stack:all\(zero\), heap alloc:on, heap free:on'
fact 'page order' Y
fact 'writable and executable' none
for thing in modules kcore block; do fact $thing no; done
fact 'hostile table' 'loaded'
fact 'hostile write' 'refused'
free=$(sed -n 's/^memory: MemTotal: *\([0-9]*\) kB$/\1/p' <<<"$facts")
[ "$free" -gt 100000 ] || broken "only $free kB of 128 MiB are left for programs"
for device in vsock ttynull kmsg urandom; do grep -qE "^devices:.* $device( |$)" <<<"$facts" || broken "/dev/$device is missing"; done

boot panic "console=ttyS0 cvmin.test=panic"
grep -qa 'Attempted to kill init' "$work/panic" || broken "no panic in the panic test"

boot release "$(sed 's/ *#.*//; /^$/d' "$CVMIN_SRC/image/cmdline" | paste -sd' ')"
shown=$(sed 's/\x1b\[[=0-9;]*[A-Za-z]//g' "$work/release" | tr -d '\r\n')
[ -z "$shown" ] || broken "a release image shows: $shown"
echo "kernel: offers what the agent needs and nothing that was to stay out; silent in release; $free kB free of 128 MiB"
