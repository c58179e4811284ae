#!/usr/bin/env bash
# The page of `cvmin verify --html`, opened in a headless Chromium without a network: it says what the verdict says, asks
# for nothing, reports no error, and what a host put into a certificate or a claim stays text. Wide, as on a phone, dark.
# Needs CVMIN and CVMIN_BROWSER (a root with Chromium; `./dev test` makes it).
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
[ -f "${CVMIN_BROWSER:-/nonexistent}/.complete" ] || {
    echo "browser/verdict.sh: no browser root in CVMIN_BROWSER: run by ./dev test" >&2
    exit 1
}
data=$CVMIN_SRC/tests/data
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
complain() {
    echo "browser/verdict.sh: $*" >&2
    failed=1
}

# ---- pages ----------------------------------------------------------------------------------------------------------
good=$(printf 'aa%.0s' {1..48})
other=$(printf 'bb%.0s' {1..48})
emulated=(--session "$data/appraise/evidence.cbor.session.json" --policy "$CVMIN_SRC/policies/emulated.json"
    --time 2026-06-01T12:00:00Z --trust-emulated "$data/appraise/ark.der")
genoa=$data/oak/genoa-v5-oc-mitvector
milan=$data/go-sev-guest/milan-v2-gcp-debug
measured() { od -An -tx1 -v -j144 -N48 "$1" | tr -d ' \n'; }
page() { # page NAME WANTED_CODE ARGS...
    local name=$1 wanted=$2 code=0
    shift 2
    "$CVMIN" verify "$@" --html "$work/$name.html" --json >"$work/$name.json" || code=$?
    [ "$code" = "$wanted" ] || complain "$name: exit $code instead of $wanted"
}
page accepted-emulated 0 "$data/appraise/evidence.cbor" "${emulated[@]}" --measurement "$good"
page refused-emulated 1 "$data/appraise/evidence.cbor" "${emulated[@]}" --measurement "$other"
page accepted-genoa 0 --report "$genoa/report.bin" --vek "$genoa/vcek.der" --report-data skip \
    --measurement "$(measured "$genoa/report.bin")" --policy "$CVMIN_SRC/policies/genoa.json" --time 2025-10-01T00:00:00Z
page refused-debug 1 --report "$milan/report.bin" --vek "$milan/vcek.der" --report-data skip --measurement "$other" \
    --policy "$CVMIN_SRC/policies/milan.json" --time 2025-10-01T00:00:00Z
# what a stranger may have chosen: the names in a certificate
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout "$work/k.pem" -out "$work/hostile.pem" \
    -days 30 -subj "/CN=<script>document.title=1<\/script><b>bold<\/b>" 2>/dev/null
page refused-hostile 1 --report "$genoa/report.bin" --vek "$work/hostile.pem" --report-data skip --measurement "$other" \
    --policy "$CVMIN_SRC/policies/genoa.json"
printf 'nothing' >"$work/nothing"
page refused-garbage 1 "$work/nothing" "${emulated[@]}" --measurement "$good"

# ---- the browser --------------------------------------------------------------------------------------------------------
# browse FLAGS... URL: in a network namespace of its own, without so much as a loopback that is up
browse() {
    rm -rf "$work/profile"
    timeout 60 "$CVMIN_SRC/toolchain/enter.sh" "$CVMIN_BROWSER" unshare --net chromium-headless-shell --headless \
        --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$work/profile" "$@"
}
# Every page: what it says, and that the browser has nothing to complain of. The console is on standard error.
for json in "$work"/*.json; do
    name=$(basename "$json" .json)
    browse --enable-logging=stderr --dump-dom "file://$work/$name.html" >"$work/$name.dom" 2>"$work/$name.log" ||
        complain "$name: the browser failed: $(tail -n 3 "$work/$name.log")"
    if grep -E 'CONSOLE|Refused to|net::ERR' "$work/$name.log"; then complain "$name: the console is not empty"; fi
    python3 "$CVMIN_SRC/tests/browser/check_dom.py" "$work/$name.dom" "$json" || complain "$name: see above"
done
grep -q 'id="emulated"' "$work/accepted-emulated.dom" || complain "no EMULATED banner"
if grep -q 'id="emulated"' "$work/accepted-genoa.dom"; then complain "an EMULATED banner on a real report"; fi
grep -q '<script' "$work/refused-hostile.dom" && complain "a script got into the page"
grep -qF '&lt;script&gt;' "$work/refused-hostile.dom" || complain "the hostile name is not shown as text"

# A page that is not ours shows that this test can fail: a console error, a request.
cat >"$work/bad.htm" <<END
<!doctype html><title>x</title><img src="http://192.0.2.1/x.png"><script>console.error("seen")</script>
END
browse --enable-logging=stderr --dump-dom "file://$work/bad.htm" >/dev/null 2>"$work/bad.log" || true
grep -q 'CONSOLE.*seen' "$work/bad.log" || complain "console errors would not be noticed"

# ---- pictures -----------------------------------------------------------------------------------------------------------
for shot in "accepted-genoa 1280,2600" "refused-emulated 390,5200" "accepted-emulated 1280,2600 dark" \
    "refused-debug 390,6200 dark"; do
    read -r name size mode <<<"$shot"
    flags=(--window-size="$size")
    [ -z "$mode" ] || flags+=(--blink-settings=preferredColorScheme=0)
    png=$work/$name${mode:+-dark}.png
    browse "${flags[@]}" --screenshot="$png" "file://$work/$name.html" >/dev/null 2>&1 || complain "$name: no picture"
    python3 "$CVMIN_SRC/tests/browser/check_png.py" "$png" "${size%,*}" "${mode:-light}" || complain "$name: see above"
done
[ -z "${KEEP_SHOTS:-}" ] || cp "$work"/*.png "$work"/*.html "$KEEP_SHOTS"
exit $failed
