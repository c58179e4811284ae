#include "host-tools/measured/pe_image.hpp"

#include "host-tools/measured/tpm_hash.hpp"

#include <utility>

namespace cvmin {

namespace {

// Microsoft "PE Format": offsets in the DOS header, the COFF header, the optional header and a section header.
using dos_magic = Field<0x00, 2>;
using dos_pe_offset = Field<0x3c, 4>;
using coff_signature = Field<0, 4>;
using coff_section_count = Field<6, 2>;
using coff_optional_size = Field<20, 2>;
using optional_magic = Field<0, 2>;
using optional_headers_size = Field<60, 4>;
using optional_checksum = Field<64, 4>;
using section_raw_size = Field<16, 4>;
using section_raw_at = Field<20, 4>;
constexpr std::size_t dos_size = 0x40;
constexpr std::size_t coff_size = 24; // with the signature
constexpr std::size_t section_size = 40;
constexpr std::uint64_t pe32 = 0x10b, pe32_plus = 0x20b;
constexpr std::size_t directory_size = 8;
constexpr std::size_t certificate_directory = 4; // IMAGE_DIRECTORY_ENTRY_SECURITY

constexpr std::string_view where = "pe_image";

} // namespace

Result<TpmDigest> authenticode_digest(ByteView image, TpmAlg alg) {
    if (!can_hash(alg))
        return fail(Errc::unsupported, "pe_image.hash", static_cast<std::uint64_t>(alg));
    if (image.size() < dos_size)
        return fail(Errc::truncated, where, image.size());
    if (as_text(dos_magic::view(image)) != "MZ")
        return fail(Errc::malformed, "pe_image.dos_header");
    const std::uint64_t coff_at = dos_pe_offset::le(image);
    if (coff_at > image.size() || image.size() - coff_at < coff_size)
        return fail(Errc::truncated, "pe_image.header", coff_at);
    const ByteView coff = image.subspan(coff_at, coff_size);
    if (as_text(coff_signature::view(coff)) != std::string_view{"PE\0\0", 4})
        return fail(Errc::malformed, "pe_image.header", coff_at);
    const std::uint64_t section_count = coff_section_count::le(coff);
    const std::uint64_t optional_at = coff_at + coff_size, optional_size = coff_optional_size::le(coff);
    if (image.size() - optional_at < optional_size)
        return fail(Errc::truncated, "pe_image.optional_header", optional_at);
    const ByteView optional = image.subspan(optional_at, optional_size);
    if (optional.size() < optional_checksum::end)
        return fail(Errc::malformed, "pe_image.optional_header", optional_size);
    const std::uint64_t magic = optional_magic::le(optional);
    if (magic != pe32 && magic != pe32_plus)
        return fail(Errc::unsupported, "pe_image.optional_header", magic);
    const std::size_t directories_at = magic == pe32 ? 96 : 112; // after NumberOfRvaAndSizes
    if (optional.size() < directories_at)
        return fail(Errc::malformed, "pe_image.optional_header", optional_size);
    const std::uint64_t directories = load_le(optional.subspan(directories_at - 4, 4));
    if (directories > (optional.size() - directories_at) / directory_size)
        return fail(Errc::malformed, "pe_image.directories", directories);

    if (section_count > max_pe_sections)
        return fail(Errc::too_large, "pe_image.sections", section_count);
    const std::uint64_t sections_at = optional_at + optional_size, headers_size = optional_headers_size::le(optional);
    if (headers_size > image.size())
        return fail(Errc::truncated, "pe_image.headers", headers_size);
    if (headers_size < sections_at + section_count * section_size)
        return fail(Errc::malformed, "pe_image.headers", headers_size);

    std::vector<ByteView> parts;
    const std::uint64_t checksum_at = optional_at + optional_checksum::offset;
    parts.push_back(image.first(checksum_at));
    std::uint64_t rest_at = checksum_at + optional_checksum::size;
    std::uint64_t certificates_size = 0;
    if (directories > certificate_directory) {
        const std::uint64_t entry_at = optional_at + directories_at + certificate_directory * directory_size;
        parts.push_back(image.subspan(rest_at, entry_at - rest_at));
        rest_at = entry_at + directory_size;
        const std::uint64_t certificates_at = load_le(image.subspan(entry_at, 4)); // an offset in the file
        certificates_size = load_le(image.subspan(entry_at + 4, 4));
        // elsewhere, what the firmware leaves out of the digest would be other bytes than the certificates
        if (certificates_size != 0 &&
            (certificates_at < headers_size || certificates_at + certificates_size != image.size()))
            return fail(Errc::malformed, "pe_image.certificates", certificates_at);
    }
    parts.push_back(image.subspan(rest_at, headers_size - rest_at));

    std::vector<std::pair<std::uint64_t, std::uint64_t>> sections; // offset, size
    for (std::uint64_t i = 0; i < section_count; ++i) {
        const ByteView section = image.subspan(sections_at + i * section_size, section_size);
        if (const std::uint64_t size = section_raw_size::le(section); size != 0)
            sections.emplace_back(section_raw_at::le(section), size);
    }
    std::ranges::sort(sections);
    std::uint64_t end = headers_size, hashed = headers_size;
    for (const auto &[at, size] : sections) {
        if (at < end || at + size > image.size() - certificates_size)
            return fail(Errc::malformed, "pe_image.section", at);
        parts.push_back(image.subspan(at, size));
        end = at + size;
        hashed += size;
    }
    // What follows the sections. Where there are gaps between them, this begins before the last one's end: so the
    // specification has it, and the firmware does it.
    if (image.size() - certificates_size > hashed)
        parts.push_back(image.subspan(hashed, image.size() - certificates_size - hashed));
    return tpm_hash(alg, parts);
}

} // namespace cvmin
