// What stands between the files that somebody measures and those that a VMM launched: the Linux setup header that QEMU
// writes before it hands a kernel over, and the variable store in front of OVMF's code. Nothing here hashes or
// searches. Sources: QEMU hw/i386/x86.c, x86_load_linux; Linux Documentation/arch/x86/boot.rst; UEFI PI volume 3,
// firmware volumes.
#pragma once

#include "common/bytes.hpp"

#include <optional>
#include <string_view>

namespace cvmin {

// The front of a kernel that QEMU may write to: everything it sets lies in the first 0x260 bytes.
inline constexpr std::size_t patched_header_size = 0x260;

struct OldQemuLaunch {
    std::string_view command_line;
    std::optional<std::uint64_t> initrd_size;
    // Guest memory below 4 GiB as QEMU lays it out: what -m says up to a limit, then 2 GiB (q35) or 3 GiB (pc). It
    // decides where the initrd goes, and so a field of the header.
    std::uint64_t memory_below_4g = 0;
};
// The first bytes of the kernel as QEMU hands them over when it believes that the guest is not encrypted. Nothing: the
// file is no bzImage of boot protocol 2.02 (2000) or later, or QEMU would refuse it, its command line or its initrd.
std::optional<ByteArray<patched_header_size>> header_patched_by_qemu(ByteView kernel, const OldQemuLaunch &launch);

// Size of the UEFI variable store with which a firmware file begins (OVMF.fd is the store and the code; OVMF_CODE.fd
// the code alone). It is whole pages, and less than the file. Nothing: the file does not begin with one.
std::optional<std::size_t> variable_store_size(ByteView firmware);
// The whole file is such a store, as OVMF_VARS.fd is.
bool is_variable_store(ByteView file);

} // namespace cvmin
