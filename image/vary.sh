#!/usr/bin/env bash
# Runs a build with another environment than the one it is in, for `cvmin reproduce --vary`; ends with 4 when one of the
# variations cannot be made here, rather than leave it out. Not responsible for paths, jobs, dates of files and the order in
# directories: cvmin makes these itself.
#
#   vary.sh LIST COMMAND...   LIST: of umask, locale, time, hostname and user, with commas between; "-" for none
set -euo pipefail
# shellcheck source=toolchain/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../toolchain/lib.sh"
readonly NAME=another-host.example USER_ID=1234

[ $# -ge 2 ] || die $E_USAGE "vary.sh LIST COMMAND..."
list=,$1,
shift
wanted() { [[ $list == *,"$1",* ]]; }

if wanted hostname && [ "${CVMIN_VARIED_HOST:-}" != 1 ]; then
    export CVMIN_VARIED_HOST=1
    exec unshare --uts bash "${BASH_SOURCE[0]}" "${list:1:-1}" "$@" ||
        die $E_SYSTEM "hostname cannot be varied here: no UTS namespaces"
fi
if wanted hostname; then
    printf %s "$NAME" >/proc/sys/kernel/hostname 2>/dev/null || true
    [ "$(uname -n)" = $NAME ] || die $E_SYSTEM "hostname cannot be varied here"
    export HOSTNAME=$NAME
fi
unset CVMIN_VARIED_HOST
# C.UTF-8 is what the toolchain root sets, and C the only other locale that it has; what reads LANG alone sees a third
if wanted locale; then export LC_ALL=C LANG=tr_TR.UTF-8 LANGUAGE=tr; fi
if wanted time; then export TZ=EAST-14; fi # written out, so that it works without a time zone database
if wanted umask; then umask 077; fi
if wanted user; then
    export USER=another-user LOGNAME=another-user HOME=/nonexistent
    # it may read what the caller may, cache and work tree included, and write what cvmin has given it; without the
    # securebit access(2), which asks for the real user, would say otherwise
    as=(setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups --securebits=+no_setuid_fixup
        --inh-caps=+dac_read_search --ambient-caps=+dac_read_search)
    [ "$("${as[@]}" id -u 2>/dev/null)" = $USER_ID ] ||
        die $E_SYSTEM "user cannot be varied here: that takes root, not an ordinary user's namespace"
    exec "${as[@]}" "$@"
fi
exec "$@"
