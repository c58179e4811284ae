#include "image/image_parts.hpp"

#include <memory>

#include <zstd.h>

namespace cvmin {

// ---- zstd --------------------------------------------------------------------------------------------------------

Result<Unpacked> decompress_zstd(ByteView packed, std::size_t limit, std::string_view where) {
    struct Free {
        void operator()(ZSTD_DCtx *context) const { ZSTD_freeDCtx(context); }
    };
    const std::unique_ptr<ZSTD_DCtx, Free> context{ZSTD_createDCtx()};
    if (!context)
        return fail(Errc::system, where);
    Unpacked out{{}, 0};
    ZSTD_inBuffer in{packed.data(), packed.size(), 0};
    for (;;) {
        // by what comes out, not by what the frame's header promises; one byte of room more shows that it is too much
        const std::size_t size = out.bytes.size();
        const std::size_t room = std::min(limit + 1 - size, std::max(size, ZSTD_DStreamOutSize()));
        out.bytes.resize(size + room);
        ZSTD_outBuffer buffer{out.bytes.data() + size, room, 0};
        const std::size_t before = in.pos;
        const std::size_t code = ZSTD_decompressStream(context.get(), &buffer, &in);
        out.bytes.resize(size + buffer.pos);
        if (ZSTD_isError(code))
            return fail(Errc::malformed, where, in.pos);
        if (out.bytes.size() > limit)
            return fail(Errc::too_large, where, limit);
        if (code == 0) { // the end of the frame
            out.packed_size = in.pos;
            return out;
        }
        if (in.pos == before && buffer.pos == 0)
            return fail(Errc::truncated, where, in.pos);
    }
}

Result<Bytes> unpack_initrd(ByteView initrd) {
    CVMIN_TRY(unpacked, decompress_zstd(initrd, max_unpacked_initrd_size, "initrd.zstd"));
    if (unpacked.packed_size != initrd.size())
        return fail(Errc::trailing, "initrd.zstd", unpacked.packed_size);
    return std::move(unpacked.bytes);
}

// ---- parts -------------------------------------------------------------------------------------------------------

// Sorts, refuses what overlaps or lies outside, and names what lies between.
static Result<std::vector<Part>> cover(std::vector<Part> parts, std::size_t total, std::string_view where) {
    std::ranges::stable_sort(parts, {}, &Part::offset);
    std::vector<Part> all;
    std::size_t at = 0;
    for (Part &part : parts) {
        if (part.offset < at || part.offset > total || part.size > total - part.offset)
            return fail(Errc::malformed, where, part.offset);
        if (part.offset > at)
            all.push_back({"(before " + part.name + ")", at, part.offset - at});
        at = part.offset + part.size;
        all.push_back(std::move(part));
    }
    if (at < total)
        all.push_back({"(tail)", at, total - at});
    return all;
}

namespace elf { // Elf64_Ehdr and Elf64_Shdr
using ident = Field<0, 6>;
using phoff = Field<0x20, 8>;
using shoff = Field<0x28, 8>;
using phentsize = Field<0x36, 2>;
using phnum = Field<0x38, 2>;
using shentsize = Field<0x3a, 2>;
using shnum = Field<0x3c, 2>;
using shstrndx = Field<0x3e, 2>;
constexpr std::size_t header_size = 64;
constexpr std::string_view wanted_ident{"\x7f"
                                        "ELF\2\1"}; // 64-bit, little-endian

using sh_name = Field<0, 4>;
using sh_type = Field<4, 4>;
using sh_offset = Field<0x18, 8>;
using sh_size = Field<0x20, 8>;
constexpr std::size_t section_size = 64;
constexpr std::size_t segment_size = 56;
constexpr std::uint64_t type_nobits = 8;
} // namespace elf

Result<std::vector<Part>> elf_parts(ByteView file) {
    constexpr std::string_view where = "elf";
    if (file.size() < elf::header_size)
        return fail(Errc::malformed, where);
    const ByteView header = file.first(elf::header_size);
    const std::uint64_t table = elf::shoff::le(header), count = elf::shnum::le(header);
    if (as_text(elf::ident::view(header)) != elf::wanted_ident || elf::shentsize::le(header) != elf::section_size ||
        count == 0)
        return fail(Errc::malformed, where);
    if (count > max_elf_sections)
        return fail(Errc::too_large, "elf.sections", count);
    if (table > file.size() || count * elf::section_size > file.size() - table)
        return fail(Errc::malformed, "elf.sections", table);
    std::vector<Part> parts{{"(ELF header)", 0, elf::header_size},
                            {"(section headers)", static_cast<std::size_t>(table), count * elf::section_size}};
    if (const std::uint64_t segments = elf::phnum::le(header); segments != 0) {
        if (elf::phentsize::le(header) != elf::segment_size || elf::phoff::le(header) > file.size())
            return fail(Errc::malformed, "elf.segments");
        parts.push_back({"(program headers)", elf::phoff::le(header), segments * elf::segment_size});
    }
    const auto section = [&](std::uint64_t i) {
        return file.subspan(table + i * elf::section_size, elf::section_size);
    };
    const std::uint64_t names_index = elf::shstrndx::le(header);
    if (names_index >= count)
        return fail(Errc::malformed, "elf.names");
    const std::uint64_t names_at = elf::sh_offset::le(section(names_index)),
                        names_size = elf::sh_size::le(section(names_index));
    if (names_at > file.size() || names_size > file.size() - names_at)
        return fail(Errc::malformed, "elf.names");
    const std::string_view names = as_text(file.subspan(names_at, names_size));
    for (std::uint64_t i = 1; i < count; ++i) { // the first is no section
        const ByteView one = section(i);
        if (elf::sh_type::le(one) == elf::type_nobits || elf::sh_size::le(one) == 0)
            continue;
        const std::uint64_t name_at = elf::sh_name::le(one);
        const std::size_t end = name_at < names.size() ? names.find('\0', name_at) : std::string_view::npos;
        if (end == std::string_view::npos)
            return fail(Errc::malformed, "elf.name", i);
        parts.push_back(
            {std::string{names.substr(name_at, end - name_at)}, elf::sh_offset::le(one), elf::sh_size::le(one)});
    }
    return cover(std::move(parts), file.size(), "elf.section");
}

namespace setup { // Linux's setup header, and the PE headers that the EFI stub adds
using setup_sects = Field<0x1f1, 1>;
using magic = Field<0x202, 4>;
using version = Field<0x206, 2>;
using payload_offset = Field<0x248, 4>;
using payload_length = Field<0x24c, 4>;
constexpr std::size_t header_size = 0x260;
constexpr std::size_t sector = 512;
constexpr std::uint64_t first_version_with_payload = 0x208;
using pe_offset = Field<0x3c, 4>;
} // namespace setup

namespace pe {
using signature = Field<0, 4>;
using section_count = Field<6, 2>;
using optional_size = Field<20, 2>;
constexpr std::size_t header_size = 24;
using name = Field<0, 8>;
using raw_size = Field<16, 4>;
using raw_offset = Field<20, 4>;
constexpr std::size_t section_size = 40;
} // namespace pe

static bool is_bzimage(ByteView file) {
    return file.size() >= setup::header_size && as_text(setup::magic::view(file.first(setup::header_size))) == "HdrS";
}

Result<std::vector<Part>> bzimage_parts(ByteView file) {
    if (!is_bzimage(file))
        return fail(Errc::malformed, "bzimage");
    const std::uint64_t header_at = setup::pe_offset::le(file.first(setup::header_size));
    if (header_at > file.size() || file.size() - header_at < pe::header_size)
        return fail(Errc::malformed, "bzimage.pe");
    const ByteView header = file.subspan(header_at, pe::header_size);
    if (as_text(pe::signature::view(header)) != std::string_view{"PE\0\0", 4})
        return fail(Errc::malformed, "bzimage.pe");
    const std::uint64_t count = pe::section_count::le(header);
    if (count > max_bzimage_sections)
        return fail(Errc::too_large, "bzimage.sections", count);
    const std::uint64_t table = header_at + pe::header_size + pe::optional_size::le(header);
    if (table > file.size() || count * pe::section_size > file.size() - table)
        return fail(Errc::malformed, "bzimage.sections");
    std::vector<Part> parts;
    std::size_t first = file.size();
    for (std::uint64_t i = 0; i < count; ++i) {
        const ByteView section = file.subspan(table + i * pe::section_size, pe::section_size);
        const std::string_view name = as_text(pe::name::view(section));
        const std::size_t size = pe::raw_size::le(section), offset = pe::raw_offset::le(section);
        if (size == 0)
            continue;
        parts.push_back({std::string{name.substr(0, name.find('\0'))}, offset, size});
        first = std::min(first, offset);
    }
    if (first != 0)
        parts.push_back({"(headers)", 0, first});
    return cover(std::move(parts), file.size(), "bzimage.section");
}

std::optional<Part> bzimage_payload(ByteView file) {
    if (!is_bzimage(file))
        return std::nullopt;
    const ByteView header = file.first(setup::header_size);
    if (setup::version::le(header) < setup::first_version_with_payload)
        return std::nullopt;
    const std::uint64_t sectors = setup::setup_sects::le(header) == 0 ? 4 : setup::setup_sects::le(header);
    const std::uint64_t offset = (sectors + 1) * setup::sector + setup::payload_offset::le(header);
    const std::uint64_t size = setup::payload_length::le(header);
    if (size == 0 || offset > file.size() || size > file.size() - offset)
        return std::nullopt;
    return Part{"(compressed kernel)", offset, size};
}

Result<Bytes> unpack_kernel(ByteView payload) {
    CVMIN_TRY(unpacked, decompress_zstd(payload, max_unpacked_kernel_size, "bzimage.payload"));
    const ByteView size = payload.subspan(unpacked.packed_size);
    if (size.size() != 4 || load_le(size) != unpacked.bytes.size()) // scripts/Makefile.lib, size_append
        return fail(Errc::mismatch, "bzimage.payload", unpacked.packed_size);
    return std::move(unpacked.bytes);
}

} // namespace cvmin
