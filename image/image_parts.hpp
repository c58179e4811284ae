// What is inside an image's files: zstd frames, sections of ELF files, headers, sections and payload of a bzImage.
// Names and places only; comparing is image_diff.hpp's, archives are newc.hpp's. Sources: System V ABI (ELF-64 object
// file format); Linux Documentation/arch/x86/boot.rst; Microsoft PE/COFF specification; RFC 8878.
#pragma once

#include "common/bytes.hpp"

#include <optional>
#include <string>
#include <vector>

namespace cvmin {

// Frames come from files of others: what they grow to is bounded before it is there.
inline constexpr std::size_t max_unpacked_initrd_size = 256u << 20; // a small guest must hold it; ours has 400 KB
inline constexpr std::size_t max_unpacked_kernel_size = 256u << 20; // ours has 23 MB, a distribution's under 100
inline constexpr std::size_t max_elf_sections = 1024;               // vmlinux has 43; bounds the work
inline constexpr std::size_t max_bzimage_sections = 96;             // Windows' own limit; Linux has three

struct Unpacked {
    Bytes bytes;
    std::size_t packed_size; // of the frame; what follows it is the caller's to judge
};
// One zstd frame at the front. malformed: not zstd, or damaged; truncated; too_large: more than `limit` bytes come out.
Result<Unpacked> decompress_zstd(ByteView packed, std::size_t limit, std::string_view where);
// A whole initrd.zst: one frame and nothing after it. As above; trailing.
Result<Bytes> unpack_initrd(ByteView initrd);

struct Part {
    std::string name; // as the file calls it, or in parentheses: "(program headers)"
    std::size_t offset, size;
    ByteView in(ByteView file) const { return file.subspan(offset, size); }
};

// In file order, together the whole file: a section without bytes in the file is left out, what lies between sections
// is "(before NAME)", what follows the last is "(tail)". malformed: not ELF-64 little-endian with sections, or parts
// outside of the file or over one another; too_large: more sections than the limit.
Result<std::vector<Part>> elf_parts(ByteView file);
// The same for a bzImage with an EFI stub: "(headers)", PE sections, "(tail)". malformed, too_large.
Result<std::vector<Part>> bzimage_parts(ByteView file);
// Where the setup header says that the compressed kernel lies; nothing: no bzImage of boot protocol 2.08 or later, or
// outside of the file.
std::optional<Part> bzimage_payload(ByteView file);
// vmlinux, from a payload that is a zstd frame and the unpacked size as 4 bytes. malformed, truncated, too_large;
// mismatch: the size is another.
Result<Bytes> unpack_kernel(ByteView payload);

} // namespace cvmin
