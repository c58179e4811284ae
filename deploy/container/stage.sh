#!/usr/bin/env bash
# stage.sh CVMIN DIRECTORY: the whole file system of the verifier's container: the program, the shared libraries that it and
# the HTTP library load, an account, and the folders that files are mounted on. No shell, no package manager, nothing
# else. Run it where cvmin was built (`./dev shell -c 'deploy/container/stage.sh ...'`): that is whose libraries are taken.
set -euo pipefail
[ $# = 2 ] || {
    echo "stage.sh: wanted CVMIN DIRECTORY" >&2
    exit 2
}
program=$1 root=$2
[ ! -e "$root" ] || {
    echo "stage.sh: $root is there already" >&2
    exit 1
}
# loaded when the first socket is opened, so ldd does not see it
http=$(ldconfig -p | sed -n 's/^\tlibmicrohttpd\.so\.12 (.*x86-64.*) => //p')
[ -n "$http" ] || {
    echo "stage.sh: no libmicrohttpd.so.12 here" >&2
    exit 1
}
# shellcheck disable=SC2174 # the folders between are ordinary ones
mkdir -p -m 0755 "$root"/{usr/bin,etc/cvmin/verifier,run/cvmin/keys,proc}
install -m 0755 --strip "$program" "$root/usr/bin/cvmin"
# One folder for all of them: where the program's interpreter is, and where glibc looks without a cache.
mkdir -p "$root/usr/lib/x86_64-linux-gnu" "$root/usr/lib64"
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"
{
    ldd "$program" "$http" | sed -n 's/^\t.* => \(\/[^ ]*\) .*/\1/p; s/^\t\(\/[^ ]*ld-linux[^ ]*\) .*/\1/p'
    echo "$http"
} | sort -u | while read -r library; do
    folder=$root/usr/lib/x86_64-linux-gnu
    case $library in */ld-linux*) folder=$root/usr/lib64 ;; esac
    install -m 0755 "$(readlink -f "$library")" "$folder/$(basename "$library")"
done
printf 'verifier:x:65532:65532::/nonexistent:/nonexistent\n' >"$root/etc/passwd"
printf 'verifier:x:65532:\n' >"$root/etc/group"
chmod 0644 "$root"/etc/{passwd,group}
