#!/usr/bin/env bash
# The pages of `cvmin show --html`, opened in a headless Chromium without a network: as many dots and lines as the log has
# events, nothing asked for, no error, and what a log's writer chose stays text. Wide and as on a phone.
# Needs CVMIN and CVMIN_BROWSER (a root with Chromium; `./dev test` makes it).
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
[ -f "${CVMIN_BROWSER:-/nonexistent}/.complete" ] || {
    echo "browser/timeline.sh: no browser root in CVMIN_BROWSER: run by ./dev test" >&2
    exit 1
}
data=$CVMIN_SRC/tests/data
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
complain() {
    echo "browser/timeline.sh: $*" >&2
    failed=1
}
browse() { # in a network namespace of its own, without so much as a loopback that is up
    rm -rf "$work/profile"
    timeout 60 "$CVMIN_SRC/toolchain/enter.sh" "$CVMIN_BROWSER" unshare --net chromium-headless-shell --headless \
        --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$work/profile" "$@"
}
# an IMA list whose path is markup, of the same length as the one that was there
python3 - "$data/measured/boot-ng/ima.bin" "$work/hostile.ima" <<'END'
import sys
log = open(sys.argv[1], "rb").read()
open(sys.argv[2], "wb").write(log.replace(b"/tmp/unexpected_program", b"<script>x=1</script><b>"))
END
for page in "eventlog $data/measured/boot-ng/eventlog.bin 30" "eventlog $data/go-tpm-tools/eventlogs/ubuntu-2104-no-dbx.bin 112" \
    "ima $work/hostile.ima 5" "runtime-log $data/runtime_log/every_kind.cel 13" "quote $data/measured/quotes/rsassa/quote.attest 0"; do
    read -r kind file events <<<"$page"
    name=$kind-$events
    "$CVMIN" show "$kind" "$file" --html "$work/$name.html" >/dev/null || complain "$name: not shown"
    browse --enable-logging=stderr --dump-dom "file://$work/$name.html" >"$work/$name.dom" 2>"$work/$name.log" ||
        complain "$name: the browser failed: $(tail -n 3 "$work/$name.log")"
    if grep -E 'CONSOLE|Refused to|net::ERR' "$work/$name.log"; then complain "$name: the console is not empty"; fi
    dots=$(grep -c '<circle' "$work/$name.dom" || true)
    lines=$(grep -c '<li id="e' "$work/$name.dom" || true)
    [ "$dots $lines" = "$events $events" ] || complain "$name: $dots dots and $lines lines for $events events"
done
grep -q '<script' "$work/ima-5.dom" && complain "a script got into the page"
grep -qF '&lt;script&gt;' "$work/ima-5.dom" || complain "the hostile path is not shown as text"
for shot in "eventlog-30 1280" "ima-5 390"; do
    read -r name width <<<"$shot"
    browse --window-size="$width,1500" --screenshot="$work/$name.png" "file://$work/$name.html" >/dev/null 2>&1 || complain "$name: no picture"
    python3 "$CVMIN_SRC/tests/browser/check_png.py" "$work/$name.png" "$width" light || complain "$name: see above"
done
[ -z "${KEEP_SHOTS:-}" ] || cp "$work"/*.png "$work"/*.html "$KEEP_SHOTS"
exit $failed
