#!/usr/bin/env bash
# The agent's sandbox under the image's kernel: a guest whose /init runs hostile programs one after the other (tests/guest/) and says
# what came of each. All of it must be as tests/guest/sandbox.expected has it, line by line.
# Needs CVMIN_SRC, CVMIN_SYSROOT, and an image (CVMIN_IMAGE, else out/image.json). Runs inside the toolchain root.
# shellcheck source=tests/image/lib.sh
. "$CVMIN_SRC/tests/image/lib.sh"
image=${CVMIN_IMAGE:-$CVMIN_SRC/out/image.json}
kernel=$(dirname "$image")/bzImage
[ -s "$kernel" ] || broken "no kernel beside $image: run cvmin build first"

sys=$CVMIN_SYSROOT
guest=$CVMIN_SRC/tests/guest
mkdir -p "$work"/tree/{dev,proc,run,sys}
musl=(-Os -fPIE --target=x86_64-linux-musl -nostdlibinc -Wall -Wextra -Werror -fuse-ld=lld -nostdlib -static-pie "-Wl,--gc-sections" "-Wl,--strip-all")
start=("$sys"/lib/{rcrt1.o,crti.o})
end=("$sys"/lib/{libc.a,libbuiltins.a,crtn.o})
clang -std=c17 "${musl[@]}" -isystem "$sys/include" "$guest/sandbox_attacks.c" -o "$work/tree/attacks" "${start[@]}" "${end[@]}" &
clang++ -std=c++23 "${musl[@]}" -nostdinc++ -isystem "$sys/include/c++/v1" -isystem "$sys/include" -isystem "$sys/host/include" \
    -fno-exceptions -fno-rtti -D_LIBCPP_HARDENING_MODE=_LIBCPP_HARDENING_MODE_FAST -I "$CVMIN_SRC" \
    "$guest/sandbox_init.cpp" "$CVMIN_SRC"/agent-min/{sandbox,seccomp_filter,file,mounts}.cpp "$CVMIN_SRC/common/error.cpp" \
    -o "$work/tree/init" "${start[@]}" "$sys"/lib/{libc++.a,libc++abi.a} "${end[@]}"
wait $! || broken "the attacks do not compile"
gcc -O1 -static -s "$guest/sandbox_glibc.c" -o "$work/tree/glibc"
gcc -O1 -s "$guest/sandbox_glibc.c" -o "$work/tree/dynamic"
g++ -std=c++23 -O1 -static -s -pthread "$guest/sandbox_threads.cpp" -o "$work/tree/threads"
echo "not a program" >"$work/tree/text"
: >"$work/tree/empty"
(cd "$work/tree" && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort | cpio -o -H newc --quiet) | zstd -q -1 >"$work/initrd.zst"

timeout 150 qemu-system-x86_64 -accel tcg -M q35 -cpu EPYC-v4 -smp 2 -m 256 -nodefaults -display none -no-reboot \
    -kernel "$kernel" -initrd "$work/initrd.zst" -append "console=ttyS0 quiet loglevel=1 swiotlb=8192" \
    -serial "file:$work/console" 2>"$work/qemu.err" || { cat "$work/qemu.err" "$work/console" >&2; broken "the VM did not end by itself"; }
tr -d '\r' <"$work/console" | sed -n 's/^SANDBOX //p' >"$work/found"
tr -d '\r' <"$work/console" | grep '^TIME' || true
# A process that cannot be made has cost kernel memory all the same, which comes back later: a fork bomb ends at whichever limit it meets first.
sed -i '/^== fork_bomb$/{n;s/ended: \(memory\|wall clock\)$/ended: memory or wall clock/}' "$work/found"
diff -u "$guest/sandbox.expected" "$work/found" || broken "not what was expected"
echo "sandbox.sh: $(grep -c '^== ' "$work/found") programs, all as expected"
