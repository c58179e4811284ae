#!/usr/bin/env bash
# What a build of the toolchain says of bad inputs: locks, mirrors, disks and clocks; that nothing is kept of what is wrong, and
# that the next run goes on where a killed one was. A server on loopback stands for a mirror.
set -euo pipefail
: "${CVMIN_SRC:?}"
work=$(mktemp -d)
server='' slow=''
# shellcheck disable=SC2317 # called by the trap
on_exit() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$slow" ] || kill -9 "$slow" 2>/dev/null || true
    umount_disk 2>/dev/null || true
    rm -rf -- "$work"
}
trap on_exit EXIT
trap 'exit 130' INT TERM
failed=0
wrong() {
    printf 'FAILED: %s\n' "$*" >&2
    sed 's/^/    /' "$work/err" >&2 || true
    failed=1
}
# shellcheck source=toolchain/lib.sh
. "$CVMIN_SRC/toolchain/lib.sh"
export CVMIN_CACHE=$work/cache CVMIN_QUIET=1 CVMIN_SNAPSHOT_MIRROR=''

# A mirror: files of $work/archive; /stall never ends; a page for /page/*, as of a network that wants a login.
mkdir -p "$work/archive/pool" "$work/other/pool"
cat >"$work/server.py" <<'PY'
import http.server, os, sys, time
class Mirror(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/page/"):
            self.send_response(200)
            self.send_header("Content-Length", "19")
            self.end_headers()
            self.wfile.write(b"<html>please log in")
        elif self.path.endswith("/slow.deb"):
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"first bytes")
            self.wfile.flush()
            open(sys.argv[1] + "/stalled", "w").close()
            time.sleep(60)
        else:
            super().do_GET()
    def log_message(self, *_):
        pass
os.chdir(sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
server.daemon_threads = True
with open("port.new", "w") as port:
    print(server.server_address[1], file=port)
os.rename("port.new", "port")
server.serve_forever()
PY
python3 "$work/server.py" "$work" &
server=$!
for _ in $(seq 600); do [ ! -s "$work/port" ] || break; sleep 0.05; done
mirror=http://127.0.0.1:$(cat "$work/port")
python3 -c 'import os, sys; [open(sys.argv[1] + "/" + n, "wb").write(os.urandom(s)) for n, s in (("one.deb", 1000), ("two.deb", 1500000), ("slow.deb", 1000))]' "$work/archive/pool"

lock_line() { printf '%s %s pool/%s %s 1 all\n' "$(sha256_of "$work/archive/pool/$1")" "$(stat -c %s "$work/archive/pool/$1")" "$1" "${1%.deb}"; }
sha() { sha256_of "$work/archive/pool/$1"; }
# get STATUS MIRRORS LOCK: fetch of LOCK from these archives only
get() {
    local wanted=$1 status=0
    CVMIN_MIRROR=$2 bash -c '. "$CVMIN_SRC/toolchain/lib.sh"
        command() { [ "$2" != apt-get ] && builtin command "$@"; } # the archives of this machine are left out
        fetch "$1"' fetch "$3" 2>"$work/err" || status=$?
    [ $status = "$wanted" ] || wrong "exit $status instead of $wanted with $3 from $2"
}
says() { grep -qF -- "$1" "$work/err" || wrong "the error does not say: $1"; }
one_line() { [ "$(grep -c . "$work/err")" = 1 ] || wrong "not one line"; }
kept_only() { # NAME...: what the downloads hold, by sha256
    [ "$(cd "$CVMIN_CACHE/dl" && echo ./*)" = "$(cd "$CVMIN_CACHE/dl" && for name in "$@"; do echo "./$name"; done | sort | paste -sd' ')" ] ||
        wrong "kept: $(ls "$CVMIN_CACHE/dl")"
}
fresh() { rm -rf -- "$CVMIN_CACHE" && mkdir -p "$CVMIN_CACHE/dl"; }

# ---- locks -------------------------------------------------------------------------------------------------------------
lock_line one.deb >"$work/lock"
fresh
get 0 "$mirror/archive" "$work/lock"
kept_only "$(sha one.deb)"

# one digit of a digest: file, found and wanted are named, also when progress is hidden; nothing is kept
fresh
{ lock_line two.deb && lock_line one.deb | sed -E 's/^.(.*)/0\1/; s/^0(0.*)/1\1/'; } >"$work/wrong"
wanted=$(tail -n 1 "$work/wrong" | cut -d' ' -f1)
[ "$wanted" != "$(sha one.deb)" ] || wanted=none
get 5 "$mirror/archive" "$work/wrong"
one_line
says "pool/one.deb"
says "has sha256 $(sha one.deb), the lock wants $wanted"
says "git status"
kept_only "$(sha two.deb)"

for line in 'abc 10 pool/x.deb x 1 all' "$(lock_line one.deb | cut -d' ' -f1-5)" "$(lock_line one.deb | sed 's| pool/|&../|')" \
    "$(lock_line one.deb | sed 's| pool/| /pool/|')" "$(lock_line one.deb | tr a-f A-F)" "$(lock_line one.deb | sed 's/ 1000 / many /')"; do
    fresh
    { lock_line two.deb && printf '%s\n' "$line"; } >"$work/malformed"
    get 3 "$mirror/archive" "$work/malformed"
    one_line
    says "malformed, line 2"
done
get 3 "$mirror/archive" "$work/nothing"
says "cannot be read"

# ---- mirrors -----------------------------------------------------------------------------------------------------------
printf '%064d 7 pool/gone_1.deb gone 1 all\n' 7 >"$work/gone"
fresh
get 5 "$mirror/archive" "$work/gone"
one_line
for text in pool/gone_1.deb 404 CVMIN_SNAPSHOT_MIRROR './dev lock --update'; do says "$text"; done
kept_only '*'
# a second archive has it
get 0 "$mirror/other $mirror/archive" "$work/lock"
fresh
get 5 "$mirror/page" "$work/lock"
says "$(printf '<html>please log in' | sha256sum | cut -d' ' -f1)"
kept_only '*'
get 5 "http://127.0.0.1:9" "$work/lock"
says "The mirror says: "
get 5 '' "$work/lock"
says "set CVMIN_MIRROR"
kept_only '*'

# ---- a killed download: what was complete is good, and nothing is left of the rest ------------------------------------
{ lock_line one.deb && lock_line slow.deb; } >"$work/two"
fresh
CVMIN_MIRROR=$mirror/archive setsid bash -c '. "$CVMIN_SRC/toolchain/lib.sh"; fetch "$1"' fetch "$work/two" >/dev/null 2>&1 &
slow=$!
for _ in $(seq 600); do [ ! -e "$work/stalled" ] || break; sleep 0.05; done
sleep 0.2
kill -9 -- "-$slow" && wait $slow 2>/dev/null || true
slow=''
compgen -G "$CVMIN_CACHE/dl/partial.*" >/dev/null || wrong "the download was not killed in the middle"
CVMIN_QUIET='' get 0 "$mirror/archive" "$work/lock"
! grep -q fetching "$work/err" || wrong "what was complete is fetched again"
kept_only "$(sha one.deb)"

# ---- disk --------------------------------------------------------------------------------------------------------------
mount_disk() { python3 -c 'import ctypes, os, sys
if ctypes.CDLL(None, use_errno=True).mount(b"tmpfs", sys.argv[1].encode(), b"tmpfs", 0, b"size=" + sys.argv[2].encode()): sys.exit("no tmpfs")' "$@"; }
umount_disk() { python3 -c 'import ctypes, sys; ctypes.CDLL(None).umount2(sys.argv[1].encode(), 2)' "$work/disk"; }
mkdir "$work/disk"
mount_disk "$work/disk" 1m
{ lock_line one.deb && lock_line two.deb; } >"$work/both"
CVMIN_CACHE=$work/disk get 4 "$mirror/archive" "$work/both"
one_line
says "not enough space: "
says "$work/disk"
[ "$(ls -A "$work/disk/dl")" = '' ] || wrong "a full disk left $(ls -A "$work/disk/dl")"
CVMIN_CACHE=$work/disk get 0 "$mirror/archive" "$work/lock"
umount_disk

# ---- scratch directories of killed steps ------------------------------------------------------------------------------
fresh
export TMPDIR=$work/tmp
mkdir "$TMPDIR"
# shellcheck disable=SC2016 # expanded by the inner shell
step='. "$CVMIN_SRC/toolchain/lib.sh"; with_scratch step bash -c "$1"'
# shellcheck disable=SC2016
setsid bash -c "$step" step 'echo half >"$TMPDIR/half"; sleep 60' &
slow=$!
for _ in $(seq 600); do compgen -G "$TMPDIR/*/half" >/dev/null && break; sleep 0.05; done
kill -9 -- "-$slow" && wait $slow 2>/dev/null || true
slow=''
compgen -G "$TMPDIR/*/half" >/dev/null || wrong "the step was not killed in the middle"
# shellcheck disable=SC2016
bash -c "$step" step 'ls -A "$TMPDIR/.."' >"$work/seen"
[ "$(wc -l <"$work/seen")" = 1 ] || wrong "the killed step's files are there in the next: $(cat "$work/seen")"
[ -z "$(ls -A "$TMPDIR")" ] && [ ! -e "$CVMIN_CACHE/step.scratch" ] || wrong "left: $(ls -A "$TMPDIR")"
status=0
bash -c "$step" step 'exit 3' || status=$?
[ $status = 3 ] || wrong "with_scratch: exit $status instead of 3"

# ---- clock -------------------------------------------------------------------------------------------------------------
mkdir -p "$work/tree"/{common,toolchain,agent-min/x}
touch "$work/tree"/{CMakeLists.txt,common/CMakeLists.txt,agent-min/x/CMakeLists.txt,toolchain/guest.cmake}
(check_clock "$work/tree") 2>"$work/err" || wrong "a tree of now is refused"
touch -d 1980-01-02 "$work/tree/CMakeLists.txt"
(check_clock "$work/tree") 2>"$work/err" || wrong "an old file is refused"
touch -d 2040-01-02 "$work/tree/common/CMakeLists.txt"
status=0
(check_clock "$work/tree") 2>"$work/err" || status=$?
[ $status = 4 ] || wrong "a file of the future: exit $status"
says "common/CMakeLists.txt is dated 2040-01-02"
[ $failed = 0 ] && echo "locks, mirrors, killed downloads, full disks, clocks: as documented"
exit $failed
