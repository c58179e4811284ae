#!/usr/bin/env bash
# An input of a computation on its way into a CVM: TLS, hashed and stored by the agent, beside raw bytes over the same vsock device
# into a guest of the same kernel, processors and memory, in turns. Between the two, raw bytes with a part of the agent's work done:
# so one sees what of the difference is whose. And all of it once more on the host, by the same machine code over Unix
# sockets: what emulation costs, and what the code itself. Wanted: TLS at half of raw or more.
# CVMIN_BENCH_ROUNDS (3), CVMIN_BENCH_MB (32).
set -euo pipefail
cd "$CVMIN_SRC"
work=$(mktemp -d "${TMPDIR:-/tmp}/cvmin-bench-XXXXXX")
export XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state CVMIN_QUIET=1
mkdir -p "$XDG_RUNTIME_DIR" "$XDG_STATE_HOME" "$work"/{tree,native,raw}
cvmin=$PWD/build/host/host-tools/cvmin
cleanup() {
    "$cvmin" stop --all >/dev/null 2>&1 || true
    rm -rf -- "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# flags are kept from the first time, and name the sysroot
grep -qsF "CVMIN_SYSROOT:PATH=$CVMIN_SYSROOT" build/bench-guest/CMakeCache.txt || rm -rf build/bench-guest
cmake -G Ninja -S . -B build/bench-guest -DCVMIN_SYSROOT="$CVMIN_SYSROOT" -DCMAKE_TOOLCHAIN_FILE=toolchain/guest.cmake -DCVMIN_BENCH=ON \
    -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache >"$work/log" 2>&1 &&
    ninja -C build/bench-guest cvmin-bench-guest >>"$work/log" 2>&1 || { cat "$work/log" >&2; exit 4; }
mkdir -p "$work"/tree/{dev,proc,run,sys}
cp build/bench-guest/bench/cvmin-bench-guest "$work/tree/init"
(cd "$work/tree" && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort | cpio -o -H newc --quiet) | zstd -q -1 >"$work/raw/initrd.zst"

python3 - "$cvmin" "$work" <<'PY'
import json, os, signal, socket, statistics, subprocess, sys, time
cvmin, work = sys.argv[1:]
rounds = int(os.environ.get("CVMIN_BENCH_ROUNDS", "3"))
size = int(os.environ.get("CVMIN_BENCH_MB", "32")) << 20
bench = os.path.abspath("build/host/bench/cvmin-bench-upload")
children = []

def start(argv, **more):
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, **more)
    children.append(child)
    return child
def wait_for(path):
    end = time.monotonic() + 30
    while not os.path.exists(path):
        if time.monotonic() > end:
            sys.exit("no " + path)
        time.sleep(0.02)
def run(*argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("%s: exit %d: %s" % (argv[0], done.returncode, done.stderr))
    return done.stdout

os.chdir(work)
with open("data", "wb") as out:
    for _ in range(size >> 20):
        out.write(os.urandom(1 << 20))
open("program.c", "w").write("int main(void) { return 0; }")
run("gcc", "-static", "program.c", "-o", "program")
run(cvmin, "keygen", "--out", "key.pem")
# one dataset more than rounds: the run never begins
names = ["d%d" % i for i in range(rounds + 1)]
datasets = [a for n in names for a in ("--dataset", "%s=data@p" % n)]
run(cvmin, "manifest", "new", "--id", "bench", "--algorithm", "program@p", *datasets, "--party", "p=key.pem.pub.pem", "--consumer", "p",
    "--memory", "16M", "--output-limit", "1M", "--out", "m.json")
memory = str((rounds + 1) * (size >> 20) + 96)

try:
    # ---- the CVM, and beside it a guest that takes bytes: QEMU as the launcher has started it, with another initramfs and no firmware
    src = os.environ["CVMIN_SRC"]
    run(cvmin, "boot", "--image", src + "/out/image.json", "--name", "bench", "--manifest", "m.json", "--memory", memory, "--json")
    vm = json.loads(run(cvmin, "describe", "bench", "--json"))
    argv = None
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open("/proc/%s/cmdline" % pid, "rb").read().decode().split("\0")[:-1]
        except (OSError, UnicodeDecodeError):
            continue
        if words and os.path.basename(words[0]).startswith("qemu-system") and "cvmin-bench" in words and work in " ".join(words):
            argv, agent = words, int(pid)
    if argv is None:
        sys.exit("no QEMU of ours")
    kept, i = [argv[0]], 1
    while i < len(argv):
        option, value = argv[i], argv[i + 1] if i + 1 < len(argv) and not argv[i + 1].startswith("-") else None
        i += 1 if value is None else 2
        if option in ("-S", "-qmp", "-drive", "-bios", "-name") or (option == "-device" and value.startswith("loader")):
            continue
        if option == "-initrd":
            value = work + "/raw/initrd.zst"
        if option == "-chardev" and value.startswith("socket,id=vsock0"):
            value = "socket,id=vsock0,path=" + work + "/raw/device"
        if option == "-chardev" and value.startswith("stdio,id=console0"):
            value = "file,id=console0,path=" + work + "/raw/console"
        kept += [option] + ([] if value is None else [value])
    start(["vhost-device-vsock", "--guest-cid=3", "--socket=raw/device", "--uds-path=raw/vsock"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for("raw/device")
    sink = start(kept, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid
    native = start(["tree/init", "native"]).pid
    wait_for("native/5000")

    tls = ["data", "m.json", "key.pem"]
    works = [("raw, dropped", "7000"), ("raw, written into memory", "7001"), ("raw, written and hashed", "7002"), ("raw, decrypted (AES-128-GCM)", "7003"), ("raw, decrypted (AES-256-GCM)", "7004")]
    times = {}
    def nanoseconds(pids): # of processors, of these and what they have started
        total = 0
        for pid in pids:
            for task in os.listdir("/proc/%d/task" % pid):
                base = "/proc/%d/task/%s/" % (pid, task)
                total += int(open(base + "schedstat").read().split()[0])
                total += nanoseconds([int(c) for c in open(base + "children").read().split()])
        return total
    def measure(where, name, pid, *argv):
        before = nanoseconds([pid])
        seconds = float(run(bench, *argv))
        times.setdefault((where, name), []).append((seconds, (nanoseconds([pid]) - before) / 1e9))
    for i in range(rounds):
        for where in ("guest", "host"):
            for name, port in works:
                path = "raw/vsock" if where == "guest" else "native/" + port
                measure(where, name, sink if where == "guest" else native, "raw", path, port, "data")
            path = vm["vsock_socket"] if where == "guest" else "native/5000"
            measure(where, "TLS into the agent", agent if where == "guest" else native, "tls", path, "5000", *tls, "data/" + names[i])
finally:
    for child in reversed(children):
        child.kill()
        child.wait()

def speed(where, name, which): # 0: by the clock, 1: of the receiving end's processor
    return size / 1e6 / max(min(t[which] for t in times[where, name]), 1e-6)
print("%d MiB, best of %d rounds, guest under %s; MB/s by the clock, and of a second of processor time: QEMU's, and that of the guest's"
      "\ncode on the host, with no emulation, over a Unix socket" % (size >> 20, rounds, vm["accelerator"]))
print("%-30s %14s %14s %14s" % ("", "guest, clock", "guest, CPU", "host, CPU"))
columns = (("guest", 0), ("guest", 1), ("host", 1))
for name in [w[0] for w in works] + ["TLS into the agent"]:
    print("%-30s" % name + "".join("%10.0f MB/s" % speed(where, name, which) for where, which in columns))
print("%-30s" % "TLS of raw (wanted: 0.50)" + "".join("%15.3f" % (speed(where, "TLS into the agent", which) / speed(where, "raw, dropped", which)) for where, which in columns))
PY
