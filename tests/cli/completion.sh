#!/usr/bin/env bash
# The completion script parses, and completes commands and options from what cvmin itself says.
set -euo pipefail
: "${CVMIN:?}"
PATH=$(dirname "$CVMIN"):$PATH
# shellcheck disable=SC1090 # generated
source <(cvmin completion bash)
complete_words() {
    COMP_WORDS=(cvmin "$@") COMP_CWORD=$#
    COMPREPLY=()
    _cvmin
    printf '%s ' "${COMPREPLY[@]}"
}
failed=0
expect() {
    local wanted=$1 found
    shift
    found=$(complete_words "$@")
    [[ " $found" == *" $wanted "* ]] || { echo "completion.sh: '$*' gives '$found', without '$wanted'"; failed=1; }
}
expect measure me
expect --vcpu-type measure --vc
expect --timeout boot --t
expect --vtpm-state boot --vt
expect explain policy e
expect --skip-all policy init --s
expect keygen key
expect digest manifest d
expect --dataset manifest new --da
expect --manifest boot --man
expect --manifest verify --man
expect --author-key sign --au
expect --id-block boot --id
expect --minimum-svn verify --min
expect fetch certs f
expect evidence show ev
expect runtime-log show ru
expect eventlog show ev
expect quote show q
expect --html show --ht
expect serve verifier s
expect --session-key verifier serve --se
expect obtain passport o
expect --renew passport obtain --ren
expect --trust-verifier passport show --trust-v
expect --passport send --pas
expect --verifier verify --verif
expect --follow events --fo
expect --listen boot --li
expect --connect verify --con
expect relay rel
expect verify receipt v
expect --output receipt verify --outp
expect --party-key upload --pa
expect --html verify --ht
expect --html send --ht
expect --reference send --refe
expect --ek-root verify --ek
expect --after verify --af
expect --pcrs attest --pc
expect inspect image i
expect --vary reproduce --v
expect hardening image h
expect --json image diff --j
expect check release ch
expect --publisher verify --publ
expect --chip-id certs fetch --ch
expect --expires certs bundle --e
[ "$(complete_words me)" = "measure " ] || { echo "completion.sh: 'me' gives more than measure"; failed=1; }
code=0
cvmin completion fish >/dev/null 2>&1 || code=$?
[ $code = 2 ] || { echo "completion.sh: another shell: exit $code instead of 2"; failed=1; }
exit $failed
