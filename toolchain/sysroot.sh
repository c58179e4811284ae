#!/usr/bin/env bash
# Runs inside the toolchain root. Makes $1: the guest sysroot (musl, hardened libc++, mbedTLS, TinyCBOR, tpm2-tss as static
# libraries for x86_64-linux-musl) and, in $1/host, mbedTLS and TinyCBOR for the host tools. Same sources, same pins.
set -euo pipefail
# shellcheck source=toolchain/lib.sh
. "$CVMIN_SRC/toolchain/lib.sh"

out=$1
[ -f "$out/.complete" ] && exit 0
jobs=${CVMIN_JOBS:-$(nproc)}
rm -rf -- "$CVMIN_CACHE"/sysroot-*.new-* # left by an interrupted run; the caller holds the lock
new=$out.new-$$
work=$(mktemp -d "${TMPDIR:-/tmp}/cvmin-sysroot-XXXXXX")
trap 'rm -rf -- "$work" "$new"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$new/include" "$new/lib" "$new/host"
log=$work/log
run() { "$@" >>"$log" 2>&1 || { tail -n 40 "$log" >&2; die $E_SYSTEM "building the guest sysroot failed at: $*"; }; }

note "guest sysroot: musl and kernel headers"
cp -a /usr/include/x86_64-linux-musl/. "$new/include/"
cp -a /usr/lib/x86_64-linux-musl/{libc.a,rcrt1.o,crti.o,crtn.o} "$new/lib/"
cp -a /usr/include/{linux,asm-generic} "$new/include/"
asm=/usr/include/x86_64-linux-gnu/asm
[ -d "$asm" ] || asm=/usr/lib/linux/uapi/x86/asm
cp -aL "$asm" "$new/include/asm"
cp -a /usr/lib/llvm-19/lib/clang/19/lib/linux/libclang_rt.builtins-x86_64.a "$new/lib/libbuiltins.a"

# Paths must not reach the libraries' bytes.
map="-ffile-prefix-map=$work=/build -ffile-prefix-map=$new=/sysroot"
guest_flags="--target=x86_64-linux-musl -nostdlibinc -isystem $new/include -Os -fPIE -flto=thin -ffunction-sections"
guest_flags+=" -fdata-sections -fstack-protector-strong -D_FORTIFY_SOURCE=0 -Werror=date-time $map"

note "guest sysroot: libc++ (hardened, no exceptions, no RTTI)"
llvm="llvm-toolchain-19_19.1.7"
tar -x -C "$work" -f "$(source_file $llvm.orig.tar.xz)" --strip-components=1 \
    $llvm/{libcxx,libcxxabi,libunwind,runtimes,cmake,llvm/cmake,llvm/utils/llvm-lit}
run cmake -G Ninja -S "$work/runtimes" -B "$work/build-cxx" \
    -DCMAKE_BUILD_TYPE=MinSizeRel -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
    -DCMAKE_C_COMPILER_TARGET=x86_64-linux-musl -DCMAKE_CXX_COMPILER_TARGET=x86_64-linux-musl \
    -DCMAKE_AR=/usr/bin/llvm-ar-19 -DCMAKE_RANLIB=/usr/bin/llvm-ranlib-19 -DCMAKE_SYSTEM_NAME=Linux \
    -DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY -DCMAKE_C_FLAGS="$guest_flags" -DCMAKE_CXX_FLAGS="$guest_flags" \
    -DLLVM_ENABLE_RUNTIMES='libcxx;libcxxabi' -DLLVM_INCLUDE_TESTS=OFF -DLIBCXX_INCLUDE_TESTS=OFF \
    -DLIBCXX_INCLUDE_BENCHMARKS=OFF -DLIBCXXABI_INCLUDE_TESTS=OFF \
    -DLIBCXX_HAS_MUSL_LIBC=ON -DLIBCXX_ENABLE_SHARED=OFF -DLIBCXXABI_ENABLE_SHARED=OFF \
    -DLIBCXX_ENABLE_LOCALIZATION=OFF -DLIBCXX_ENABLE_FILESYSTEM=OFF -DLIBCXX_ENABLE_WIDE_CHARACTERS=OFF \
    -DLIBCXX_ENABLE_RANDOM_DEVICE=OFF -DLIBCXX_ENABLE_TIME_ZONE_DATABASE=OFF -DLIBCXX_ENABLE_UNICODE=OFF \
    -DLIBCXX_ENABLE_EXCEPTIONS=OFF -DLIBCXX_ENABLE_RTTI=OFF -DLIBCXXABI_ENABLE_EXCEPTIONS=OFF \
    -DLIBCXX_CXX_ABI=libcxxabi -DLIBCXX_ENABLE_STATIC_ABI_LIBRARY=ON -DLIBCXX_HARDENING_MODE=fast \
    -DLIBCXXABI_USE_LLVM_UNWINDER=OFF -DLIBCXXABI_ENABLE_STATIC_UNWINDER=OFF \
    -DCMAKE_INSTALL_PREFIX="$new"
run ninja -C "$work/build-cxx" -j "$jobs" install-cxx install-cxxabi

# Static C libraries from explicit source lists; neither upstream build system cross-compiles this without help.
# c_library OUTPUT FLAGS FILES...
c_library() {
    local output=$1 flags=$2 file objects=()
    shift 2
    local dir
    dir=$(mktemp -d "$work/obj-XXXXXX")
    local makefile=$dir/Makefile
    for file in "$@"; do objects+=("$dir/$(basename "$file" .c).o"); done
    {
        printf '%s: %s\n\trm -f $@\n\tllvm-ar-19 rcsD $@ $^\n' "$output" "${objects[*]}"
        for file in "$@"; do
            printf '%s: %s\n\tclang %s -std=c11 -c -o $@ $<\n' "$dir/$(basename "$file" .c).o" "$file" "$flags"
        done
    } >"$makefile"
    mkdir -p "$(dirname "$output")"
    run make -s -j "$jobs" -f "$makefile"
}

mkdir "$work/mbedtls" "$work/tinycbor"
tar -x -C "$work/mbedtls" -f "$(source_file mbedtls_3.6.6.orig.tar.bz2)" --strip-components=1
tar -x -C "$work/tinycbor" -f "$(source_file tinycbor_0.6.1.orig.tar.gz)" --strip-components=1
mapfile -t mbedtls_files < <(LC_ALL=C ls "$work"/mbedtls/library/*.c)
cbor_files=("$work"/tinycbor/src/cbor{encoder,encoder_close_container_checked,errorstrings,parser,parser_dup_string,validation}.c)
# depth of CBOR nesting: our deepest message has 4 levels
cbor_flags="-DCBOR_PARSER_MAX_RECURSIONS=8 -I $work/tinycbor/src"
host_flags="-O2 -g -fPIE -ffunction-sections -fdata-sections -fstack-protector-strong -D_FORTIFY_SOURCE=2 $map"

for side in guest host; do
    note "mbedTLS and TinyCBOR for the $side"
    if [ $side = guest ]; then prefix=$new flags=$guest_flags; else prefix=$new/host flags=$host_flags; fi
    mkdir -p "$prefix/include/tinycbor"
    cp "$work"/tinycbor/src/{cbor,cborinternal_p,tinycbor-version}.h "$prefix/include/tinycbor/" 2>/dev/null ||
        cp "$work"/tinycbor/src/{cbor,tinycbor-version}.h "$prefix/include/tinycbor/"
    cp -a "$work"/mbedtls/include/{mbedtls,psa} "$prefix/include/"
    cp "$CVMIN_SRC/toolchain/mbedtls/config-$side.h" "$prefix/include/mbedtls/cvmin_config.h"
    c_library "$prefix/lib/libmbedtls.a" \
        "$flags -DMBEDTLS_CONFIG_FILE='<mbedtls/cvmin_config.h>' -I $prefix/include -I $work/mbedtls/library" \
        "${mbedtls_files[@]}"
    c_library "$prefix/lib/libtinycbor.a" "$flags $cbor_flags" "${cbor_files[@]}"
done

# ESYS and what it stands on, marshalling (MU) and commands (SYS); without autotools, as the sources are. No log (MAXLOGLEVEL
# 0), no TCTI and no loader of such plug-ins, no crypto backend: the agent gives ESYS its own of both (agent-min/tpm_link,
# tpm_crypto), so mbedTLS needs no RSA, no AES-CFB and no second random generator for it. DECISIONS.md says why.
note "tpm2-tss for the guest"
mkdir "$work/tss"
tar -x -C "$work/tss" -f "$(source_file tpm2-tss_4.1.3.orig.tar.gz)" --strip-components=1
cat >"$work/tss/src/no_loader.c" <<'EOF_C'
#include "tss2_tctildr.h"
TSS2_RC Tss2_TctiLdr_Initialize(const char *name, TSS2_TCTI_CONTEXT **context) {
    (void)name;
    (void)context;
    return TSS2_ESYS_RC_NOT_IMPLEMENTED;
}
void Tss2_TctiLdr_Finalize(TSS2_TCTI_CONTEXT **context) { (void)context; }
EOF_C
rm "$work"/tss/src/tss2-esys/esys_crypto_{ossl,mbed}.c
mapfile -t tss_files < <(LC_ALL=C ls "$work"/tss/src/tss2-{mu,sys,sys/api,esys,esys/api}/*.c)
tss_files+=("$work"/tss/src/no_loader.c)
mkdir "$new/include/tss2"
cp "$work"/tss/include/tss2/tss2_{common,esys,mu,sys,tcti,tpm2_types}.h "$new/include/tss2/"
tss_include="-I $work/tss/include/tss2 -I $work/tss/src -I $work/tss/src/tss2-mu -I $work/tss/src/tss2-sys -I $work/tss/src/tss2-esys"
c_library "$new/lib/libtss2.a" "$guest_flags -D_GNU_SOURCE -DMAXLOGLEVEL=0 -w $tss_include" "${tss_files[@]}"

touch "$new/.complete"
rm -rf -- "$out" # incomplete, if it is there
mv -T -- "$new" "$out"
