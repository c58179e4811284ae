# CMake toolchain file for code that runs in the CVM: clang, musl, libc++ from the sysroot CVMIN_SYSROOT; static-pie.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER clang)
set(CMAKE_CXX_COMPILER clang++)
set(CMAKE_AR /usr/bin/llvm-ar-19)
set(CMAKE_RANLIB /usr/bin/llvm-ranlib-19)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES CVMIN_SYSROOT)

set(guest_flags "--target=x86_64-linux-musl -nostdlibinc -isystem ${CVMIN_SYSROOT}/include -Os -fPIE -flto=thin")
string(APPEND guest_flags " -ffunction-sections -fdata-sections -fstack-protector-strong -ftrivial-auto-var-init=zero")
string(APPEND guest_flags " -fno-asynchronous-unwind-tables -fno-unwind-tables -Werror=date-time")
string(APPEND guest_flags " -ffile-prefix-map=${CMAKE_SOURCE_DIR}=/cvmin -ffile-prefix-map=${CVMIN_SYSROOT}=/sysroot")
set(CMAKE_C_FLAGS_INIT "${guest_flags}")
set(CMAKE_CXX_FLAGS_INIT "${guest_flags} -fno-exceptions -fno-rtti -nostdinc++ -isystem ${CVMIN_SYSROOT}/include/c++/v1")
# libc++'s headers come before musl's
string(REPLACE "-isystem ${CVMIN_SYSROOT}/include -Os" "-Os" CMAKE_CXX_FLAGS_INIT "${CMAKE_CXX_FLAGS_INIT}")
string(APPEND CMAKE_CXX_FLAGS_INIT " -isystem ${CVMIN_SYSROOT}/include")
set(CMAKE_EXE_LINKER_FLAGS_INIT
    "--target=x86_64-linux-musl -fuse-ld=lld -nostdlib -static-pie -L${CVMIN_SYSROOT}/lib -Wl,--gc-sections,--icf=all,--build-id=none,-z,relro,-z,now,-z,noexecstack,--strip-all ${CVMIN_SYSROOT}/lib/rcrt1.o ${CVMIN_SYSROOT}/lib/crti.o")
set(CMAKE_CXX_STANDARD_LIBRARIES "-lc++ -lc++abi -lc -lbuiltins ${CVMIN_SYSROOT}/lib/crtn.o")
set(CMAKE_C_STANDARD_LIBRARIES "-lc -lbuiltins ${CVMIN_SYSROOT}/lib/crtn.o")
set(CMAKE_EXE_LINK_DYNAMIC_CXX_FLAGS "")
