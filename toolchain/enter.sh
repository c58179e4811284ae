#!/usr/bin/env bash
# enter.sh ROOT COMMAND...: runs COMMAND inside the toolchain root, in a mount namespace of its own, with the host's
# directories (home, work tree, /tmp, /run, ...) at the same paths. As an ordinary user it uses a user namespace.
# enter.sh --check: whether this machine lets it.
set -euo pipefail

root=$1
shift
unshare_args=(--mount --propagation private)
[ "$(id -u)" = 0 ] || unshare_args+=(--user --map-root-user)

if ! unshare "${unshare_args[@]}" true 2>/dev/null; then
    if [ "$(id -u)" = 0 ]; then
        echo "cvmin: error: no mount namespaces here, not even for root: a container needs CAP_SYS_ADMIN (podman or docker run --privileged)" >&2
    else
        echo "cvmin: error: no user namespaces here: run as root, or allow them (sysctl user.max_user_namespaces," \
            "kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)" >&2
    fi
    exit 4
fi
[ "$root" != --check ] || exit 0

# shellcheck disable=SC2016 # expanded by the inner shell
# What a command inside may see of the caller's environment, besides what is set below.
keep=(HOME TERM TMPDIR XDG_RUNTIME_DIR XDG_STATE_HOME XDG_CACHE_HOME CVMIN_CACHE CVMIN_SRC CVMIN_SYSROOT CVMIN_BROWSER CVMIN_PEER CVMIN_FIRMWARE CVMIN_QUIET
    CVMIN_STEP CVMIN_STARTED CVMIN_JOBS CVMIN_IMAGE CCACHE_DIR DEMO_TIMES NO_COLOR CI)
environment=(PATH=/usr/lib/llvm-19/bin:/usr/sbin:/usr/bin LC_ALL=C.UTF-8 TZ=UTC TERM=dumb TMPDIR=/tmp CVMIN_ROOT=1 "CVMIN_UID=$(id -u)"
    TAR_OPTIONS=--no-same-owner # an ordinary user has only one user id in here
    "CCACHE_BASEDIR=$CVMIN_SRC" CCACHE_NOHASHDIR=1 CCACHE_COMPILERCHECK=content)
for name in "${keep[@]}"; do
    [ -z "${!name:-}" ] || environment+=("$name=${!name}")
done

# shellcheck disable=SC2016 # expanded by the inner shell
exec unshare "${unshare_args[@]}" bash -euc '
    root=$1 cwd=$2
    shift 2
    # entered from inside of the toolchain root, which has no mount(8): the one of the root that is entered serves
    command -v mount >/dev/null || mount() {
        "$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" "$root/usr/bin/mount" "$@"
    }
    mount --bind "$root" "$root"
    for dir in /*; do
        case $dir in
        /bin | /boot | /etc | /lib* | /sbin | /usr | /var | /lost+found | /proc | /sys | /dev | /run | /tmp | /home | /root) continue ;;
        esac
        [ -d "$dir" ] && [ ! -L "$dir" ] && mkdir -p "$root$dir" && mount --rbind "$dir" "$root$dir"
    done
    for dir in /proc /sys /dev /run /tmp /home /root /var/tmp; do
        [ -d "$dir" ] && [ -r "$dir" ] || continue
        mkdir -p "$root$dir"
        mount --rbind "$dir" "$root$dir"
    done
    exec chroot "$root" /usr/bin/env -i -C "$cwd" "$@"
' enter "$root" "$PWD" "${environment[@]}" "$@"
