#!/usr/bin/env bash
# Inputs on their way into a CVM of little memory: a manifest that wants more than there is, one that wants all of it; two parties at once, each
# at a terminal; an upload that is killed and gone on with, one whose relay is killed, a file that changes while it is sent. What has
# been stored twice over by then would not fit: an agent that kept more than the stored bytes would be out of memory.
# Needs CVMIN, CVMIN_SRC, and an image (CVMIN_IMAGE, else out/image.json).
# shellcheck source=tests/vm/lib.sh
. "${CVMIN_SRC:?}/tests/vm/lib.sh"
cd "$work"

# a sum over each file, by which one byte in another place shows
cat >sum.c <<'C'
#include <stdio.h>
static unsigned char piece[1 << 16];
int main(int argc, char **argv) {
    char path[256];
    snprintf(path, sizeof path, "%s/sums", argc > 2 ? argv[2] : "/out");
    FILE *out = fopen(path, "w");
    for (int i = 0; i < 2; i++) {
        unsigned long sum = 0, got;
        snprintf(path, sizeof path, "%s/%s", argc > 1 ? argv[1] : "/in", i ? "bob" : "alice");
        FILE *in = fopen(path, "r");
        if (!in || !out) return 2;
        while ((got = fread(piece, 1, sizeof piece, in)))
            for (unsigned long at = 0; at < got; at++) sum = (sum ^ piece[at]) * 1099511628211ul;
        fprintf(out, "%016lx\n", sum);
    }
    return fclose(out) != 0;
}
C
gcc -O1 -static sum.c -o sum
for party in alice bob; do "$CVMIN" keygen --out "$party.pem" >/dev/null 2>&1; done
mkdir in
manifest() { # FILE ID
    rm -f "$1"
    "$CVMIN" manifest new --id "$2" --algorithm sum@bob --dataset alice=in/alice@alice --dataset bob=in/bob@bob --party alice=alice.pem.pub.pem \
        --party bob=bob.pem.pub.pem --consumer alice --memory 16M --output-limit 1M --out "$1" 2>/dev/null >/dev/null
}
sed 's/"host_data": "skip"/"host_data": "'"$(printf '0%.0s' $(seq 64))"'"/' "$CVMIN_SRC/policies/emulated.json" >policy.json
# No HOST_DATA: the first manifest that it can hold is the computation's.
"$CVMIN" boot --image "$image" --name guest --memory 112 --listen 127.0.0.1:0 --json >guest.json || exit 1
trusted=(--image "$image" --policy policy.json --trust-emulated "$(field guest.json emulated_ark)" --timeout 120)
launch=(--vcpus "$(field guest.json vcpus)" --vcpu-type "$(field guest.json cpu_model)")

section "a manifest for which there is not enough memory"
head -c 12M /dev/urandom >in/bob
truncate -s 1G in/alice
manifest large.json too-large
run large status guest --manifest large.json --party-key bob.pem "${trusted[@]}"
wants 5 large "does not take the manifest: full: inputs and limits want $((1073741824 + 12582912 + 16777216 + $(stat -c %s sum))) bytes of memory, and "
room=$(sed -n 's/.* of memory, and \([0-9]*\) are there$/\1/p' large.err)
[ -n "$room" ] || { complain "no number of bytes in: $(cat large.err)"; exit 1; }
# a byte more than there is, and then all that there is
fits=$((room - 12582912 - 16777216 - $(stat -c %s sum)))
[ $fits -gt 16000000 ] || complain "a guest of 112 MiB takes no more than $fits bytes of data"
head -c $((fits + 1)) /dev/urandom >in/alice
manifest more.json one-more
run more status guest --manifest more.json --party-key alice.pem "${trusted[@]}"
wants 5 more "full: inputs and limits want $((room + 1)) bytes of memory, and $room are there"
truncate -s $fits in/alice
cp in/alice right
manifest m.json upload-1
run fits status guest --manifest m.json --party-key alice.pem "${trusted[@]}"
wants 0 fits

# stored ITEM: bytes that the agent has of it
stored() {
    run stored status guest --manifest m.json --party-key bob.pem "${trusted[@]}" --json
    wants 0 stored
    python3 -c 'import json, sys
print([i["received"] for i in json.load(open("stored.out"))["items"] if i["item"] == sys.argv[1]][0])' "$1"
}
upload=("$CVMIN" upload --manifest m.json "${trusted[@]}")
# at_terminal NAME PERCENT COMMAND... -- UPLOAD...: its progress, as a terminal of its own gets it, in NAME.tty. At PERCENT (101: never)
# COMMAND is run with the upload's pid; what the upload ends with is in $code.
cat >terminal.py <<'PYTHON'
import os, pty, re, subprocess, sys, time
name, percent = sys.argv[1], int(sys.argv[2])
split = sys.argv.index("--")
action, argv = sys.argv[3:split], sys.argv[split + 1:]
env = {k: v for k, v in os.environ.items() if k != "CVMIN_QUIET"}
leader, follower = pty.openpty()
child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=open(name + ".out", "w"), stderr=follower, env=env)
os.close(follower)
seen, times = b"", []
while True:
    try:
        got = os.read(leader, 4096)
    except OSError: # nobody has it open any more
        break
    if not got:
        break
    seen += got
    shown = re.findall(rb"(\d+) % of", seen)
    if shown:
        times = [time.monotonic()] if len(times) == 0 else [times[0], time.monotonic()]
    if action and shown and int(shown[-1]) >= percent:
        subprocess.run(action + [str(child.pid)], check=True)
        action = []
open(name + ".tty", "wb").write(seen)
open(name + ".times", "w").write(" ".join("%d" % (t * 1000) for t in times) + "\n")
code = child.wait()
sys.exit(99 if action and percent <= 100 else code if code >= 0 else 128 - code)
PYTHON
at_terminal() {
    code=0
    python3 terminal.py "$@" || code=$?
    [ "$code" != 99 ] || complain "$1: ended before it could be stopped: $(cat "$1.tty")"
}
# One line, written over: from FIRST percent or more to 100, never back, nothing of an earlier text behind a later one.
cat >lines.py <<'PYTHON'
import re, sys
name, item, first, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
text = open(name + ".tty", newline="").read()
line = text[text.index("\r" + item):].split("\r\n")[0]
parts = line.split("\r")[1:]
shown = [re.fullmatch(re.escape(item) + r": +(\d+) % of [\d.]+ MB, +([\d.]+) MB/s ", part) for part in parts]
percents = [int(s[1]) for s in shown if s]
if None in shown or percents != sorted(percents) or percents[0] < first or percents[-1] < last or len(set(map(len, parts))) != 1 or max(map(len, parts)) > 79:
    sys.exit("%s: %r" % (name, parts))
if max(float(s[2]) for s in shown) > 5000:
    sys.exit("%s: a speed that cannot be: %r" % (name, parts))
PYTHON
progress() { python3 lines.py "$@" || complain "the progress of $1"; }

section "two parties at once, and one of them is killed"
(at_terminal bob 101 -- "${upload[@]}" guest --party-key bob.pem --dataset bob=in/bob && exit "$code") &
bob=$!
at_terminal killed 50 kill -9 -- "${upload[@]}" guest --party-key alice.pem --dataset alice=in/alice
[ "$code" = 137 ] || complain "SIGKILL: exit $code"
code=0
wait $bob || code=$?
[ "$code" = 0 ] || complain "bob, beside alice: exit $code: $(cat bob.tty)"
progress killed data/alice 0 50
progress bob data/bob 0 100
read -r alice_began alice_ended <killed.times
read -r bob_began bob_ended <bob.times
[ "$alice_began" -lt "$bob_ended" ] && [ "$bob_began" -lt "$alice_ended" ] || complain "one after the other: $(cat killed.times), $(cat bob.times)"
[ "$(stored data/bob)" = 12582912 ] || complain "bob's upload is not complete"
first=$(stored data/alice)
[ "$first" -gt 0 ] && [ "$first" -lt $fits ] || complain "after SIGKILL the agent has $first of $fits bytes"

section "its relay is killed"
"$CVMIN" relay guest --listen 127.0.0.1:0 --json >relay.json 2>relay.err &
relay_pid=$!
disown $relay_pid
for _ in $(seq 600); do [ -s relay.json ] && break; sleep 0.05; done
at_terminal relayed 75 sh -c "kill -9 $relay_pid" -- "${upload[@]}" --connect "$(field relay.json listens_on)" "${launch[@]}" --party-key alice.pem --dataset alice=in/alice
[ "$code" = 5 ] || complain "without its relay: exit $code: $(cat relayed.tty)"
[ "$(grep -c '^cvmin upload: error: ' relayed.tty)" = 1 ] || complain "not one line of error: $(cat relayed.tty)"
progress relayed data/alice $((first * 100 / fits)) 75
second=$(stored data/alice)
[ "$second" -gt "$first" ] && [ "$second" -lt $fits ] || complain "after the relay the agent has $second of $fits bytes, $first before"

section "a byte changes while the file is sent"
# what is gone on with does not fit: it is sent anew, whole; that does not fit either
flip() { python3 -c 'import sys
with open("in/alice", "r+b") as file:
    file.seek(int(sys.argv[1]))
    byte = file.read(1)[0]
    file.seek(-1, 1)
    file.write(bytes([byte ^ 1]))' "$1"; }
export -f flip
at_terminal changed 0 bash -c "flip $((fits - 100000))" -- "${upload[@]}" guest --party-key alice.pem --dataset alice=in/alice
[ "$code" = 5 ] || complain "a changed byte: exit $code: $(cat changed.tty)"
grep -qF "digest_mismatch: not what the manifest names; nothing of it is kept" changed.tty || complain "a changed byte: $(cat changed.tty)"
[ "$(stored data/alice)" = 0 ] || complain "of a wrong file the agent keeps $(stored data/alice) bytes"
run early upload guest --manifest m.json --party-key alice.pem "${trusted[@]}" --dataset alice=in/alice
wants 3 early "is not data/alice"

section "the right file, gone on with; --json says so and nothing else"
flip $((fits - 100000))
cmp in/alice right || exit 1
at_terminal again 40 kill -9 -- "${upload[@]}" guest --party-key alice.pem --dataset alice=in/alice
third=$(stored data/alice)
[ "$third" -gt 0 ] || complain "nothing is left of an upload that was killed"
at_terminal json 101 -- "${upload[@]}" guest --party-key alice.pem --dataset alice=in/alice --json
[ "$code" = 0 ] || complain "the rest: exit $code: $(cat json.tty)"
[ ! -s json.tty ] || complain "--json is not silent at a terminal: $(cat json.tty)"
python3 - "$third" "$fits" "$(sha256sum <right | cut -d' ' -f1)" <<'PYTHON' || complain "--json: $(cat json.out)"
import json, sys
third, size = int(sys.argv[1]), int(sys.argv[2])
got = json.load(open("json.out"))["inputs"]
sys.exit(got != [{"item": "data/alice", "size": size, "sha256": sys.argv[3], "resumed_from": third, "sent": size - third}])
PYTHON
run complete upload guest --manifest m.json --party-key alice.pem "${trusted[@]}" --dataset alice=in/alice
wants 0 complete

section "the run reads what was sent"
run program upload guest --manifest m.json --party-key bob.pem "${trusted[@]}" --algorithm sum
wants 0 program
run result result guest --manifest m.json --party-key alice.pem "${trusted[@]}" --out result --wait
wants 0 result
./sum in .
cmp sums result/output/sums || complain "the program has read something else"

echo "$fits bytes of a guest of 112 MiB"
all_held
