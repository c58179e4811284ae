#!/usr/bin/env bash
# The page of `cvmin verifier serve` in a headless Chromium, in a network that has a loopback and nothing
# else: it shows what was accepted and what was refused, each with a link to its verdict; the console stays empty; wide, as on a
# phone, dark. Off where others can connect, unless it was asked for. Needs CVMIN and CVMIN_BROWSER (`./dev test` makes it).
set -euo pipefail
: "${CVMIN:?}" "${CVMIN_SRC:?}"
[ -n "${CVMIN_OWN_NETWORK:-}" ] || CVMIN_OWN_NETWORK=1 exec unshare --net bash "$0"
ip link set lo up
[ -f "${CVMIN_BROWSER:-/nonexistent}/.complete" ] || {
    echo "browser/verifier.sh: no browser root in CVMIN_BROWSER: run by ./dev test" >&2
    exit 1
}
work=$(mktemp -d)
broken() {
    echo "browser/verifier.sh: $*" >&2
    exit 1
}
# shellcheck source=tests/peer/service.sh
. "$CVMIN_SRC/tests/peer/service.sh"
trap 'stop_services; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# browse FLAGS... URL
browse() {
    rm -rf "$work/profile"
    timeout 60 "$CVMIN_SRC/toolchain/enter.sh" "$CVMIN_BROWSER" chromium-headless-shell --headless --no-sandbox \
        --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update \
        --disable-sync --hide-scrollbars --no-proxy-server \
        --user-data-dir="$work/profile" "$@"
}
# dom NAME PATH: the page's document in $work/NAME.dom; the console, on standard error, must be empty. No script can run: the
# policy that the service sends forbids them all, and Chromium dumps and paints nothing where they are off by its own setting.
dom() {
    browse --enable-logging=stderr --dump-dom "${service_url[page]}$2" >"$work/$1.dom" 2>"$work/$1.err" ||
        broken "$1: the browser failed: $(tail -n 3 "$work/$1.err")"
    if grep -E 'CONSOLE|Refused to|net::ERR' "$work/$1.err"; then broken "$1: the console is not empty"; fi
}
has() { grep -qF -- "$2" "$work/$1.dom" || broken "$1: no '$2'"; }

# ask METHOD PATH [FILE [TYPE]]: status and headers to $work/reply, the body to $work/body
ask() { python3 "$CVMIN_SRC/tests/peer/ask.py" "${service_url[$service]}" "$@" >"$work/reply" 3>"$work/body"; }
status() { head -n 1 "$work/reply"; }
# submit NONCE FILE: a session and evidence to it
submit() {
    ask POST "/challenge-response/v1/newSession?nonce=$1"
    ask POST "/challenge-response/v1/$(sed -n 's/^location: //p' "$work/reply")" "$2" application/cmw+cbor
    [ "$(status)" = 200 ] || broken "evidence: $(cat "$work/reply" "$work/body")"
}

make_values "$work/values"
serve page "$work/values"
service=page
dom empty /
has empty 'id="empty"'

submit "$nonce" "$evidence"
submit "$(printf 'A%.0s' {1..43})" "$evidence" # evidence for another nonce
python3 - "$evidence" >"$work/changed.cbor" <<'PY'
import sys
data = open(sys.argv[1], "rb").read()
at = data.index(b"\xaa" * 48) # the launch digest, of another machine now
sys.stdout.buffer.write(data[:at] + b"\xbb" * 48 + data[at + 48:])
PY
submit "$nonce" "$work/changed.cbor"
printf '<script>document.title=1</script>' >"$work/garbage"
ask POST "/challenge-response/v1/newSession?nonce=$nonce"
ask POST "/challenge-response/v1/$(sed -n 's/^location: //p' "$work/reply")" "$work/garbage" application/cmw+cbor

# ---- what is served -------------------------------------------------------------------------------------------------
ask GET /
[ "$(status)" = 200 ] || broken "/: $(status)"
grep -q "^content-security-policy: default-src 'none'; style-src 'unsafe-inline'; .*frame-ancestors 'none'" "$work/reply" || broken "no policy against scripts"
grep -qx 'cache-control: no-store' "$work/reply" || broken "the page may be kept by others: $(cat "$work/reply")"
grep -qx 'referrer-policy: no-referrer' "$work/reply" || broken "links say where they were"
if grep -qiE '<script|javascript:|https?://| on[a-z]+=' "$work/body"; then broken "a script, or something to fetch"; fi

# ---- the list -------------------------------------------------------------------------------------------------------
dom list /
has list '<b id="accepted">1</b>'
has list '<b id="emulated">3</b>' # the chain of all three ends there
mapfile -t links < <(grep -oE '/appraisals/[A-Za-z0-9_-]{22}' "$work/list.dom")
[ ${#links[@]} -ge 3 ] || broken "${#links[@]} appraisals instead of 3"
has list "<b id=\"refused\">$((${#links[@]} - 1))</b>"
has list 'binding.nonce'
has list 'snp.signature'
has list 'EMULATED'
[ "$(grep -c 'class="badge passed"' "$work/list.dom")" = 1 ] || broken "not one accepted row"
# newest first: the accepted one is at the end
dom accepted "${links[-1]}"
has accepted '<h1 id="verdict">ACCEPTED</h1>'
has accepted 'id="emulated"'
has accepted '<a href="/">'
dom refused "${links[-2]}"
has refused '<h1 id="verdict">REFUSED</h1>'
has refused 'binding.nonce'
[ "$(printf '%s\n' "${links[@]}" | sort -u | wc -l)" = ${#links[@]} ] || broken "two appraisals have one address"
ask GET "/appraisals/$(printf 'A%.0s' {1..22})"
[ "$(status)" = 404 ] || broken "an appraisal that is not there: $(status)"

# ---- pictures -------------------------------------------------------------------------------------------------------
for shot in "list / 1280,1000" "narrow / 390,1600" "dark / 1280,1000 dark" "verdict ${links[-2]} 390,5200"; do
    read -r name path size mode <<<"$shot"
    blink=
    [ -z "$mode" ] || blink=--blink-settings=preferredColorScheme=0
    browse --window-size="$size" --screenshot="$work/$name.png" ${blink:+"$blink"} "${service_url[page]}$path" >/dev/null 2>&1 || broken "$name: no picture"
    python3 "$CVMIN_SRC/tests/browser/check_png.py" "$work/$name.png" "${size%,*}" "${mode:-light}" || broken "$name: see above"
done
blink=
[ -z "${KEEP_SHOTS:-}" ] || cp "$work"/*.png "$KEEP_SHOTS"

# ---- where others can connect there is none, unless it was asked for ----------------------------------------------------
# page_of WANTED ARGS...: status of "/" and of an appraisal's address
page_of() {
    local wanted=$1
    shift
    service=other
    serve other "$work/values" "$@"
    service_url[other]=http://127.0.0.1:${service_url[other]##*:}
    ask GET /
    [ "$(status)" = "$wanted" ] || broken "$*: /: $(status) instead of $wanted"
    kill "${service_pid[other]}" && wait "${service_pid[other]}" || broken "$*: exit $?"
    unset 'service_pid[other]'
}
page_of 404 --listen 0.0.0.0:0
page_of 200 --listen 0.0.0.0:0 --page on
page_of 404 --page off
