#!/usr/bin/env bash
# A manifest that wants every byte that the agent says is there: inputs take one part, a run that uses its whole limit the other, and peers
# meanwhile all that the agent's connections take. The run must have its result, and PID 1 survive. Needs CVMIN, CVMIN_SRC, CVMIN_BUILD, and an
# image (CVMIN_IMAGE, else out/image.json). CVMIN_MEMORY_MIB: of the CVM, default 96.
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
# shellcheck source=tests/vm/parties.sh
. "$CVMIN_SRC/tests/vm/parties.sh"
cd "$work"

# Reads its input, takes memory up to so many bytes (argument), keeps it for 3 s, and says what it found.
cat >fill.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
int main(int argc, char **argv) {
    size_t size = strtoull(argv[argc - 1], 0, 10), sum = 0, full = 0;
    FILE *in = fopen("/in/data", "r"), *out = fopen("/out/sum", "w");
    if (!in || !out) return 2;
    for (int c; (c = getc_unlocked(in)) != EOF;) sum += (unsigned char)c;
    char *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 3;
    for (size_t i = 0; i < size; i += 4096) memory[i] = 1;
    struct timespec pause = {.tv_sec = 3};
    nanosleep(&pause, 0);
    for (size_t i = 0; i < size; i += 4096) full += memory[i];
    fprintf(out, "%zu %zu\n", sum, full);
    return fclose(out) != 0;
}
C
gcc -O1 -static -s fill.c -o fill
make_parties alice carol
python3 - "$CVMIN_SRC/policies/emulated.json" policy.json <<'PYTHON'
import json, sys
policy = json.load(open(sys.argv[1]))
policy["host_data"] = "00" * 32 # the CVM is launched for no manifest: what is there is asked of the agent first
json.dump(policy, open(sys.argv[2], "w"))
PYTHON
manifest() { # MEMORY ARGUMENT
    "$CVMIN" manifest new --id all-of-it --algorithm fill@carol --dataset data=data@alice --party alice=alice.pem.pub.pem \
        --party carol=carol.pem.pub.pem --consumer alice --memory "$1" --output-limit 1M --wall-seconds 120 --argument "$2" --force --out m.json
}
"$CVMIN" boot --image "$image" --name guest --memory "${CVMIN_MEMORY_MIB:-96}" --json >guest.json || exit 1
trusted=(--image "$image" --policy policy.json --trust-emulated "$(field guest.json emulated_ark)")
socket=$(field guest.json vsock_socket)
# what_is_there: sets $there, as the agent refuses more than that
what_is_there() {
    manifest 1T 0
    as alice upload --dataset data=data
    wants 5 "$last" "bytes of memory, and"
    there=$(sed -n 's/.*bytes of memory, and \([0-9]*\) are there.*/\1/p' "$work/$last.err")
}

section "more than there is"
echo >data
what_is_there
echo "a CVM with $(field guest.json memory_mib) MiB has $there bytes for inputs and run"
[ "${there:-0}" -gt $((32 << 20)) ] || exit 1

section "32 MiB of passports, of which one is kept"
before=$there
"$CVMIN_BUILD/tests/cvmin-test-attacker" --socket "$socket" attest=evidence passport-puts:2048=stored passport-get=passport >puts 2>&1 ||
    complain "passports: $(cat puts)"
what_is_there
[ $((before - there)) -lt $((1 << 20)) ] || complain "passports took $((before - there)) bytes"

section "all of it"
size=$((there / 2 < 32 << 20 ? there / 2 : 32 << 20))
python3 -c 'import sys; open("data", "wb").write(bytes(range(256)) * (int(sys.argv[1]) // 256) + b"\1" * (int(sys.argv[1]) % 256))' $size
memory=$((there - size - $(stat -c %s fill)))
manifest $((memory + 1)) 0
as alice upload --dataset data=data
wants 5 "$last" "bytes of memory, and"
used=$((memory - memory / 256 - (1 << 20))) # page tables, the program's own pages and kernel stacks count, too
manifest $memory $used
as alice upload --dataset data=data
wants 0 "$last"
mkfifo hold
"$CVMIN_BUILD/tests/cvmin-test-attacker" --socket "$socket" --hold 64 <hold >held 2>&1 &
holder=$!
exec 9>hold
for _ in $(seq 600); do [ -s held ] && break; sleep 0.1; done
grep -q '^64 connections held' held || complain "connections: $(cat held)"
as carol upload --algorithm fill
wants 0 "$last"
as alice result --out result --wait
wants 0 "$last"
wanted="$(python3 -c 'print(sum(open("data", "rb").read()))') $(((used + 4095) / 4096))"
[ "$(cat result/output/sum 2>/dev/null)" = "$wanted" ] || complain "the result is not $wanted: $(cat result/output/sum)"
exec 9>&-
wait "$holder" || complain "connections: $(cat held)"
run events events guest --manifest m.json "${trusted[@]}" --json
wants 0 events
[ "$(grep -c '"event": "boot"' events.out)" = 1 ] || complain "the machine did not survive"

cat held
all_held
