#!/usr/bin/env bash
# What `cmake --install` makes is complete and may be moved: programs of others find it by CMake and by pkg-config, get the
# published digests in C, C++ and Python, and see no symbol but the interface's.
set -euo pipefail
: "${CVMIN_SRC:?}" "${CVMIN_BUILD:?}"
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
die() {
    echo "install.sh: $*" >&2
    exit 1
}

# A published case as the examples can make it: no kernel, a named vCPU type, more than one vCPU.
case_of() {
    python3 - "$CVMIN_SRC/tests/data/sev-snp-measure/cases.json" "$1" <<'PY'
import json, sys
for case in json.load(open(sys.argv[1]))["cases"]:
    if (case["mode"] == "snp" and case["vmm"] == "qemu" and case["kernel"] is None and case["vcpu_type_equiv"]
            and case["guest_features"] == 1 and not case["ovmf_hash_seed"] and case["vcpus"] > 1
            and "expect_error" not in case):
        print({"ovmf": case["ovmf"], "vcpus": case["vcpus"], "type": case["vcpu_type_equiv"][0],
               "digest": case["expect_digest"]}[sys.argv[2]])
        break
PY
}
firmware=$(case_of ovmf)
case $firmware in
debian:OVMF_CODE_4M.fd) firmware=/usr/share/OVMF/OVMF_CODE_4M.fd ;;
debian:*) firmware=/usr/share/ovmf/${firmware#debian:} ;;
*) firmware=$CVMIN_SRC/tests/data/sev-snp-measure/$firmware ;;
esac
vcpus=$(case_of vcpus)
type=$(case_of type)
digest=$(case_of digest)
[ -f "$firmware" ] && [ ${#digest} = 96 ] || die "no published case to compare with"

# DESTDIR for packagers; then the tree moves to where nobody said it would be.
DESTDIR=$work/dest cmake --install "$CVMIN_BUILD" --prefix /opt/cvmin >"$work/log"
! grep -rIlF -- "$work" "$work/dest" || die "a file names where it was installed"
prefix="$work/moved here" # a blank, as people have
mv "$work/dest/opt/cvmin" "$prefix"
[ -z "$(find "$work/dest" -type f -o -type l)" ] || die "something was installed outside of the prefix"
for file in bin/cvmin include/cvmin/launch.h include/cvmin/launch.hpp lib/cmake/cvmin/cvminConfig.cmake \
    lib/pkgconfig/cvmin-launch.pc share/bash-completion/completions/cvmin share/doc/cvmin/library.md share/doc/cvmin/LICENSE; do
    [ -s "$prefix/$file" ] || die "$file is not installed"
done
"$prefix/bin/cvmin" --version | grep -qx 'cvmin [0-9.]*' || die "the installed cvmin does not run"
bash -n "$prefix/share/bash-completion/completions/cvmin"
library=$prefix/lib/libcvmin_launch.so.0
[ -L "$library" ] && [ -L "${library%.0}" ] || die "the library's names are not installed"

foreign=$(nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | grep -vx 'cvmin_launch_[a-z_]*' || true)
[ -z "$foreign" ] || die "exported but not of the interface: $foreign"
declared=$(grep -o 'cvmin_launch_[a-z_]*(' "$prefix/include/cvmin/launch.h" | tr -d '(' | grep -v 'cvmin_launch_version' | sort -u)
for name in $declared cvmin_launch_version; do
    nm -D --defined-only "$library" | grep -q " $name@@CVMIN_LAUNCH_0$" || die "$name is declared and not exported"
done
needed=$(readelf -d "$library" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -v -e '^libc\.so' -e '^ld-linux' || true)
[ -z "$needed" ] || die "the library needs more than libc: $needed"

same() { # WHO FOUND
    [ "$2" = "$digest" ] || die "$1 printed $2, the published digest is $digest"
}

# by CMake; the toolchain root has a variable whose name CMake takes for a hint where the package cvmin is
unset CVMIN_ROOT
cmake -G Ninja -S "$CVMIN_SRC/tests/install" -B "$work/by-cmake" -DCMAKE_PREFIX_PATH="$prefix" >>"$work/log"
ninja -C "$work/by-cmake" >>"$work/log" || { cat "$work/log" >&2; die "the example does not build by CMake"; }
same "the C example" "$("$work/by-cmake/example_c" "$firmware" "$vcpus" "$type")"
same "the C++ example" "$("$work/by-cmake/example_cpp" "$firmware" "$vcpus" "$type" | tail -n 1)"
[ "$("$work/by-cmake/example_cpp" "$firmware" 255 "$type" | sort -u | wc -l)" = 255 ] || die "255 counts are not 255 digests"
if cmake -S "$CVMIN_SRC/tests/install" -B "$work/absent" -DCMAKE_PREFIX_PATH="$work/none" >/dev/null 2>&1; then
    die "the example was configured without an installed cvmin"
fi

# by pkg-config, whose output the shell splits at blanks: from a path without one
ln -s "$prefix" "$work/plain"
export PKG_CONFIG_PATH=$work/plain/lib/pkgconfig
read -ra flags < <(pkg-config --cflags --libs cvmin-launch)
[ "$(pkg-config --modversion cvmin-launch)" = "$("$prefix/bin/cvmin" --version | cut -d' ' -f2)" ] || die "versions differ"
cc -std=c11 -Wall -Wextra -Wpedantic -Werror "$CVMIN_SRC/tests/install/example.c" -o "$work/example" "${flags[@]}"
export LD_LIBRARY_PATH=$prefix/lib
same "the C example by pkg-config" "$("$work/example" "$firmware" "$vcpus" "$type")"

# by name alone
same "Python" "$(python3 "$CVMIN_SRC/tests/install/example.py" "$library" "$firmware" "$vcpus" "$type")"

# refusals reach the user
refused() { # STATUS TEXT COMMAND...
    local wanted=$1 text=$2 status=0
    shift 2
    "$@" >"$work/out" 2>"$work/err" || status=$?
    [ $status = "$wanted" ] && grep -qF -- "$text" "$work/err" && [ ! -s "$work/out" ] || die "$*: exit $status, $(cat "$work/err")"
}
refused 3 "did you mean EPYC-Milan?" "$work/example" "$firmware" 1 EPYC-Milano
refused 3 "options.vcpus is out of range (256)" "$work/example" "$firmware" 256 "$type"
refused 3 "options.vcpus is out of range" "$work/by-cmake/example_cpp" "$firmware" 0 "$type"
refused 3 "ends too early" "$work/example" /dev/null 1 "$type"
echo "install: C, C++ and Python agree with the published digest"
