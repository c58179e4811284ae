#!/usr/bin/env bash
# cvmin show eventlog, quote and ima as their users run them: against what tpm2_eventlog and tpm2_print (tpm2-tools) read
# of the same files, against the index of go-tpm-tools' logs, against golden texts; pages; files of another kind.
# Needs CVMIN.
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
data=$CVMIN_SRC/tests/data
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
complain() {
    echo "show_measured.sh: $*" >&2
    failed=1
}
run() { # run WANTED_CODE ARGS...: streams in $work/out and $work/err
    local wanted=$1 code=0
    shift
    "$CVMIN" show "$@" >"$work/out" 2>"$work/err" || code=$?
    [ "$code" = "$wanted" ] || complain "exit $code instead of $wanted: $* ($(head -c 300 "$work/err"))"
}

# ---- event logs: every real one ---------------------------------------------------------------------------------------
compared=0
for log in "$data"/go-tpm-tools/eventlogs/*.bin "$data"/measured/boot-*/eventlog.bin; do
    run 0 eventlog "$log" --json
    cp "$work/out" "$work/log.json"
    tpm2_eventlog "$log" >"$work/log.yaml" 2>/dev/null || complain "$log: tpm2_eventlog does not read it"
    compared=$((compared + 1))
    python3 - "$work/log.json" "$work/log.yaml" <<'END' || complain "$log: see above"
import json, re, sys
log = json.load(open(sys.argv[1]))
assert log["schema"] == 1 and log["kind"] == "eventlog" and log["verified"] is False
ours = log["eventlog"]["events"]
theirs, pcrs, event, in_pcrs, bank, alg = [], {}, None, False, None, None
for line in open(sys.argv[2], errors="replace"): # only what stands at these places: texts of events are not to be parsed
    line = line.rstrip("\n")
    if line == "pcrs:":
        in_pcrs = True
    elif in_pcrs and (m := re.fullmatch(r"  (\w+):", line)):
        bank = pcrs.setdefault(m[1], {})
    elif in_pcrs and (m := re.fullmatch(r"    (\d+) *: 0x([0-9a-f]+)", line)):
        bank[m[1]] = m[2]
    elif m := re.fullmatch(r"(?:- EventNum: (\d+)|  PCRIndex: (\d+))", line):
        if m[1] or event is None or "PCRIndex" in event: # of an old log it has no numbers
            event = {"number": len(theirs), "digests": {}}
            theirs.append(event)
        if m[1]:
            assert event["number"] == int(m[1])
        else:
            event["PCRIndex"] = m[2]
    elif event is not None and (m := re.fullmatch(r"  (EventType|EventSize): (\S+)", line)):
        event.setdefault(m[1], m[2])
    elif event is not None and (m := re.fullmatch(r"  - AlgorithmId: (\w+)", line)):
        alg = m[1]
    elif event is not None and alg and (m := re.fullmatch(r'    Digest: "([0-9a-f]+)"', line)):
        event["digests"][alg] = m[1]
        alg = None
assert len(ours) == len(theirs) > 10, (len(ours), len(theirs))
for a, b in zip(ours, theirs):
    assert a["number"] == b["number"] and a["pcr"] == int(b["PCRIndex"]) % 2**32, (a, b)
    assert a["type"] == b["EventType"] or a["type"] == "unknown", (a["type"], b["EventType"])
    assert len(a["data"]) == 2 * int(b["EventSize"]), (a["number"], b["EventSize"])
    assert a["digests"] == b["digests"], (a["digests"], b["digests"])
assert pcrs and log["pcrs"] == pcrs, (log["pcrs"], pcrs)
END
done
[ "$compared" = 13 ] || complain "only $compared logs were compared with tpm2_eventlog"
python3 - "$CVMIN" "$data/go-tpm-tools" <<'END' || complain "eventlogs.json: see above"
import json, subprocess, sys
cvmin, folder = sys.argv[1:]
index = json.load(open(folder + "/eventlogs.json"))["logs"]
for each in index:
    log = json.loads(subprocess.run([cvmin, "show", "eventlog", folder + "/" + each["file"], "--json"], check=True, capture_output=True).stdout)
    for member in ("expected_pcrs", "replayed_pcrs"):
        for bank, pcrs in each[member].items():
            assert all(log["pcrs"][bank][pcr] == value for pcr, value in pcrs.items()), (each["file"], member, bank)
assert len(index) == 10
END

# ---- quotes -----------------------------------------------------------------------------------------------------------
for folder in "$data"/measured/quotes/*/; do
    run 0 quote "$folder/quote.attest" --json
    cp "$work/out" "$work/quote.json"
    tpm2_print -t TPMS_ATTEST "$folder/quote.attest" >"$work/quote.yaml"
    python3 - "$work/quote.json" "$work/quote.yaml" <<'END' || complain "$folder: see above"
import json, re, sys
quote, text = json.load(open(sys.argv[1]))["quote"], open(sys.argv[2]).read()
field = lambda name: re.search(r"^ *%s: (\S+)$" % name, text, re.M)[1]
assert quote["qualified_signer"] == field("qualifiedSigner") and quote["extra_data"] == field("extraData")
assert quote["clock"] == int(field("clock")) and quote["reset_count"] == int(field("resetCount"))
assert quote["restart_count"] == int(field("restartCount")) and quote["safe"] == (field("safe") == "1")
assert quote["pcr_digest"] == field("pcrDigest") and quote["magic"] == "0x" + field("magic")
found = {}
for bank, bits in re.findall(r"hash: \d+ \((\w+)\)\n *sizeofSelect: 3\n *pcrSelect: (\w+)", text):
    mask = int.from_bytes(bytes.fromhex(bits), "little")
    found[bank] = [n for n in range(24) if mask >> n & 1]
assert found and quote["selection"] == found, (quote["selection"], found)
END
done
{ printf '\0\221'; cat "$data/measured/quotes/ecc-p256/quote.attest"; } >"$work/tpm2b" # 145 bytes, with their size
run 0 quote "$work/tpm2b"

# ---- golden texts -------------------------------------------------------------------------------------------------------
golden() { # golden NAME ARGS...
    local name=$1
    shift
    run 0 "$@"
    diff -u "$data/measured/golden/$name.txt" "$work/out" >&2 || complain "$name: not as tests/data/measured/golden/$name.txt"
}
golden eventlog eventlog "$data/measured/boot-ng/eventlog.bin"
golden ima ima "$data/measured/boot-sig/ima.bin"
golden quote quote "$data/measured/quotes/rsassa/quote.attest"

# ---- IMA lists ----------------------------------------------------------------------------------------------------------
for folder in "$data"/measured/boot-*/; do
    run 0 ima "$folder/ima.bin" --json
    python3 - "$work/out" "$folder/pcrs.json" <<'END' || complain "$folder: see above"
import json, sys
log, said = json.load(open(sys.argv[1])), json.load(open(sys.argv[2]))
assert all(log["pcrs"][bank]["10"] == said[bank]["10"] for bank in ("sha1", "sha256", "sha384"))
entries = log["ima"]["entries"]
assert [e["path"] for e in entries] == ["boot_aggregate", "/init", "/tmp/unexpected_program", "/tmp/violated", "/tmp/violated"]
assert [e["violation"] for e in entries] == [False, False, False, True, False]
END
done
python3 - "$data/measured/boot-ng/ima.bin" "$work/changed" <<'END'
import sys
log = bytearray(open(sys.argv[1], "rb").read())
log[log.index(b"/init")] ^= 1 # the path that is shown is not the one that was measured
open(sys.argv[2], "wb").write(log)
END
run 0 ima "$work/changed"
grep -q 'none: entry 1 has not the digest of its data' "$work/out" || complain "a changed entry is not named"

# ---- pages --------------------------------------------------------------------------------------------------------------
for kind in "eventlog measured/boot-ng/eventlog.bin" "ima measured/boot-ng/ima.bin" \
    "quote measured/quotes/rsassa/quote.attest" "runtime-log runtime_log/every_kind.cel"; do
    read -r name file <<<"$kind"
    run 0 "$name" "$data/$file" --html "$work/page.html"
    [ -s "$work/out" ] || complain "$name: --html takes the place of the text"
    grep -q 'id="unverified"' "$work/page.html" || complain "$name: the page does not say that nothing is verified"
    if grep -qiE '<script|https?://|src=' "$work/page.html"; then complain "$name: the page has a script or fetches something"; fi
done
run 4 eventlog "$data/measured/boot-ng/eventlog.bin" --html /dev/full/page.html
[ ! -s "$work/out" ] || complain "a log was printed although the page could not be written"

# ---- other files ----------------------------------------------------------------------------------------------------------
: >"$work/empty"
run 3 eventlog "$work/empty"
run 3 quote "$work/empty"
run 0 ima "$work/empty" # a list of no entries: nothing was measured
head -c 4000 "$data/measured/boot-ng/eventlog.bin" >"$work/cut"
run 3 eventlog "$work/cut"
grep -q 'event_log ends too early' "$work/err" || complain "a cut log: $(cat "$work/err")"
run 3 quote "$data/measured/boot-ng/eventlog.bin"
run 3 ima "$data/measured/boot-ng/eventlog.bin"
exit $failed
