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
for file in bin/cvmin include/cvmin/launch.h include/cvmin/launch.hpp \
    include/cvmin/appraise.h include/cvmin/appraise.hpp lib/pkgconfig/cvmin-appraise.pc lib/cmake/cvmin/cvminConfig.cmake \
    lib/pkgconfig/cvmin-launch.pc share/bash-completion/completions/cvmin share/doc/cvmin/library.md share/doc/cvmin/LICENSE; do
    [ -s "$prefix/$file" ] || die "$file is not installed"
done
"$prefix/bin/cvmin" --version | grep -qx 'cvmin [0-9.]*' || die "the installed cvmin does not run"
bash -n "$prefix/share/bash-completion/completions/cvmin"
check_library() { # NAME VERSION-NODE: exports its interface and nothing else, needs libc and nothing else
    local library=$prefix/lib/libcvmin_$1.so.0 name foreign declared needed
    [ -L "$library" ] && [ -L "${library%.0}" ] || die "the names of libcvmin_$1 are not installed"
    foreign=$(nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | grep -vEx "cvmin_$1(_[a-z_]*)?" || true)
    [ -z "$foreign" ] || die "exported but not of the interface: $foreign"
    declared=$(grep -oE "cvmin_$1(_[a-z_]*)?\(" "$prefix/include/cvmin/$1.h" | tr -d '(' | grep -v "cvmin_$1_version" | sort -u)
    for name in $declared "cvmin_$1_version"; do
        nm -D --defined-only "$library" | grep -q " $name@@$2$" || die "$name is declared and not exported"
    done
    needed=$(readelf -d "$library" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -v -e '^libc\.so' -e '^ld-linux' || true)
    [ -z "$needed" ] || die "libcvmin_$1 needs more than libc: $needed"
}
check_library launch CVMIN_LAUNCH_0
check_library appraise CVMIN_APPRAISE_0
library=$prefix/lib/libcvmin_launch.so.0

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

# ---- appraisal: a real report under a policy in which only what no site shares with it is skipped
real=$CVMIN_SRC/tests/data/oak/milan-v3-oc-release
python3 - "$CVMIN_SRC/policies/milan.json" "$work/policy.json" <<'PY'
import json, sys
policy = json.load(open(sys.argv[1]))
skipped = lambda object: {name: value if name == "comment" else "skip" for name, value in object.items()}
policy.update(report_versions=[3], signing_key=["vcek"], masked_chip_id=True, guest_policy=skipped(policy["guest_policy"]),
              platform_info=skipped(policy["platform_info"]), minimum_tcb={"Milan": skipped(policy["minimum_tcb"]["Milan"])})
for member in ("require", "provisional_firmware", "report_id_ma"):
    if member in policy:
        policy[member] = "skip"
json.dump(policy, open(sys.argv[2], "w"))
PY
read -ra flags < <(pkg-config --cflags --libs cvmin-appraise)
cc -std=c11 -Wall -Wextra -Wpedantic -Werror "$CVMIN_SRC/tests/install/appraise.c" -o "$work/appraise" "${flags[@]}"
cp "$real/report.bin" "$work/changed.bin"
printf '\001' | dd of="$work/changed.bin" bs=1 seek=80 conv=notrunc status=none # REPORT_DATA, which is signed
cmp -s "$real/report.bin" "$work/changed.bin" && die "the changed report is not changed"
appraised() { # STATUS TEXT COMMAND...
    local wanted=$1 text=$2 status=0
    shift 2
    "$@" >"$work/out" 2>"$work/err" || status=$?
    [ $status = "$wanted" ] && grep -qF -- "$text" "$work/out" "$work/err" || die "$*: exit $status, $(cat "$work/err")"
}
october=1759276800
for user in "$work/appraise" "$work/by-cmake/appraise_c"; do
    appraised 0 '"accepted":true' "$user" "$real/report.bin" "$real/vcek.der" "$work/policy.json" $october
    appraised 1 '"accepted":false' "$user" "$work/changed.bin" "$real/vcek.der" "$work/policy.json" $october
    appraised 1 '"genuine":"no"' "$user" "$real/report.bin" "$real/vcek.der" "$work/policy.json" 1
    appraised 3 'the policy is not valid' "$user" "$real/report.bin" "$real/vcek.der" "$real/vcek.der" $october
done
appraised 0 accepted "$work/by-cmake/appraise_cpp" "$real/report.bin" "$real/vcek.der" "$work/policy.json" $october
appraised 1 refused "$work/by-cmake/appraise_cpp" "$work/changed.bin" "$real/vcek.der" "$work/policy.json" $october
appraising=(python3 "$CVMIN_SRC/tests/install/appraise.py" "$prefix/lib/libcvmin_appraise.so.0")
appraised 0 '"accepted":true' "${appraising[@]}" "$real/report.bin" "$real/vcek.der" "$work/policy.json" $october
appraised 1 '"accepted":false' "${appraising[@]}" "$work/changed.bin" "$real/vcek.der" "$work/policy.json" $october
appraised 3 'options.time is not set' "${appraising[@]}" "$real/report.bin" "$real/vcek.der" "$work/policy.json" 0

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
echo "install: C, C++ and Python agree with the published digest, and on real reports"
