// Reads what OVMF says about its own launch: the GUIDed table at the end of the file and the SEV metadata it points to.
// A Coconut SVSM has both in the same form.
// The file is hostile input. Nothing here hashes or decides what a section is measured as; that is launch.cpp's.
#include "common/guid.hpp"
#include "common/launch.hpp"

namespace cvmin {

namespace {

// edk2 OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm: the table ends where the reset vector's last 32 bytes begin, and
// is read backwards: each entry is data, u16 size of the whole entry, GUID.
constexpr std::size_t bytes_after_table = 32;
constexpr std::size_t entry_header_size = sizeof(std::uint16_t) + sizeof(Guid);

constexpr Guid footer_guid = guid("96b582de-1fb2-45f7-baea-a366c55a082d");
constexpr Guid hash_table_guid = guid("7255371f-3a3b-4b04-927b-1da6efa8d454");
constexpr Guid reset_block_guid = guid("00f771de-1a7e-4fcb-890e-68c77e2fb44e");
constexpr Guid metadata_guid = guid("dc886566-984a-4798-a75e-5585a7bf67cc");
constexpr Guid svsm_info_guid = guid("a789a612-0597-4c4b-a49f-cbb1fe9d1ddd");

constexpr std::uint64_t metadata_signature = 0x56455341; // "ASEV"
constexpr std::uint64_t metadata_version = 1;
constexpr std::size_t metadata_header_size = 16;
constexpr std::size_t descriptor_size = 12;

struct TableEntries {
    std::optional<ByteView> hash_table, reset_block, metadata, svsm_info;
};

Result<void> keep(std::optional<ByteView> &slot, ByteView data, std::size_t size, std::string_view where) {
    if (slot) // VMMs differ in which of two they take
        return fail(Errc::malformed, where);
    if (data.size() != size)
        return fail(Errc::malformed, where, data.size());
    slot = data;
    return {};
}

Result<TableEntries> read_table(ByteView firmware) {
    ByteView rest = firmware.first(firmware.size() - bytes_after_table);
    if (!equal(rest.last(sizeof(Guid)), footer_guid))
        return fail(Errc::missing, "ovmf.footer");
    const std::size_t table_size = load_le(rest.last(entry_header_size).first(sizeof(std::uint16_t)));
    if (table_size > rest.size())
        return fail(Errc::truncated, "ovmf.table", table_size);
    if (table_size < entry_header_size)
        return fail(Errc::malformed, "ovmf.table", table_size);
    rest = rest.last(table_size);
    rest = rest.first(rest.size() - entry_header_size);

    TableEntries entries;
    while (!rest.empty()) {
        if (rest.size() < entry_header_size)
            return fail(Errc::truncated, "ovmf.table.entry", rest.size());
        const ByteView header = rest.last(entry_header_size);
        const std::size_t size = load_le(header.first(sizeof(std::uint16_t)));
        if (size > rest.size())
            return fail(Errc::truncated, "ovmf.table.entry", size);
        if (size < entry_header_size)
            return fail(Errc::malformed, "ovmf.table.entry", size);
        const ByteView data = rest.last(size).first(size - entry_header_size);
        const ByteView id = header.last(sizeof(Guid));
        if (equal(id, hash_table_guid))
            CVMIN_CHECK(keep(entries.hash_table, data, 8, "ovmf.hash_table"));
        else if (equal(id, reset_block_guid))
            CVMIN_CHECK(keep(entries.reset_block, data, 4, "ovmf.reset_block"));
        else if (equal(id, metadata_guid))
            CVMIN_CHECK(keep(entries.metadata, data, 4, "ovmf.metadata.offset"));
        else if (equal(id, svsm_info_guid))
            CVMIN_CHECK(keep(entries.svsm_info, data, 4, "svsm.info"));
        rest = rest.first(rest.size() - size); // others are not measured
    }
    return entries;
}

bool known(std::uint64_t type) {
    switch (static_cast<SectionType>(type)) {
    case SectionType::sec_mem:
    case SectionType::secrets:
    case SectionType::cpuid:
    case SectionType::svsm_caa:
    case SectionType::kernel_hashes:
        return true;
    }
    return false;
}

// The header and descriptors `from_end` bytes before the end of the file.
Result<std::vector<MetadataSection>> read_metadata(ByteView firmware, std::uint64_t from_end) {
    if (from_end > firmware.size() || from_end < metadata_header_size)
        return fail(Errc::out_of_range, "ovmf.metadata.offset", from_end);
    Reader reader{firmware.last(from_end)};
    if (reader.le(4) != metadata_signature)
        return fail(Errc::malformed, "ovmf.metadata.signature");
    const std::uint64_t size = reader.le(4);
    if (const std::uint64_t version = reader.le(4); version != metadata_version)
        return fail(Errc::unsupported, "ovmf.metadata.version", version);
    const std::uint64_t count = reader.le(4);
    if (count > max_metadata_sections)
        return fail(Errc::too_large, "ovmf.metadata.count", count);
    if (size != metadata_header_size + count * descriptor_size)
        return fail(Errc::malformed, "ovmf.metadata.size", size);
    if (count * descriptor_size > reader.left())
        return fail(Errc::truncated, "ovmf.metadata", from_end);

    std::vector<MetadataSection> sections;
    sections.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto gpa = static_cast<std::uint32_t>(reader.le(4));
        const auto length = static_cast<std::uint32_t>(reader.le(4));
        const std::uint64_t type = reader.le(4);
        if (!known(type))
            return fail(Errc::unsupported, "ovmf.metadata.section.type", type);
        sections.push_back({gpa, length, static_cast<SectionType>(type)});
    }
    return sections;
}

bool only_once(SectionType type) {
    return type == SectionType::secrets || type == SectionType::cpuid || type == SectionType::kernel_hashes;
}

// What the AMD-SP or QEMU would refuse, or what two VMMs would read differently.
Result<void> check_sections(std::span<const MetadataSection> sections, std::uint64_t firmware_gpa) {
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < sections.size(); ++i) {
        const MetadataSection &section = sections[i];
        const std::uint64_t end = std::uint64_t{section.gpa} + section.size;
        if (section.gpa % page_size != 0)
            return fail(Errc::out_of_range, "ovmf.metadata.section.gpa", section.gpa);
        if (section.size == 0 || section.size % page_size != 0)
            return fail(Errc::out_of_range, "ovmf.metadata.section.size", section.size);
        if (section.type == SectionType::kernel_hashes && section.size != page_size)
            return fail(Errc::out_of_range, "ovmf.metadata.kernel_hashes.size", section.size);
        if (end > firmware_gpa)
            return fail(Errc::out_of_range, "ovmf.metadata.section.end", end);
        total += section.size;
        if (total > max_metadata_memory)
            return fail(Errc::too_large, "ovmf.metadata.memory", total);
        for (const MetadataSection &before : sections.first(i)) { // at most max_metadata_sections squared
            if (section.gpa < std::uint64_t{before.gpa} + before.size && before.gpa < end)
                return fail(Errc::out_of_range, "ovmf.metadata.section.overlap", section.gpa);
            if (section.type == before.type && only_once(section.type))
                return fail(Errc::malformed, "ovmf.metadata.section.doubled", static_cast<std::uint64_t>(section.type));
        }
    }
    return {};
}

} // namespace

bool Ovmf::has_kernel_hashes_section() const {
    return std::ranges::any_of(sections, [](const auto &s) { return s.type == SectionType::kernel_hashes; });
}

namespace {

Result<void> check_file_size(ByteView file, std::string_view where) {
    if (file.size() > max_firmware_size)
        return fail(Errc::too_large, where, file.size());
    if (file.empty())
        return fail(Errc::truncated, where);
    if (file.size() % page_size != 0)
        return fail(Errc::out_of_range, where, file.size());
    return {};
}

// What every mode needs of the table.
Result<Ovmf> read_addresses(const TableEntries &entries, std::uint64_t firmware_gpa) {
    Ovmf ovmf;
    if (entries.hash_table) {
        const HashTableArea area{static_cast<std::uint32_t>(load_le(entries.hash_table->first(4))),
                                 static_cast<std::uint32_t>(load_le(entries.hash_table->last(4)))};
        if (std::uint64_t{area.gpa} + area.size > firmware_gpa)
            return fail(Errc::out_of_range, "ovmf.hash_table", area.gpa);
        if (area.gpa != 0)
            ovmf.hash_table = area;
    }
    if (entries.reset_block)
        ovmf.reset_eip = static_cast<std::uint32_t>(load_le(*entries.reset_block));
    return ovmf;
}

Result<std::vector<MetadataSection>> read_sections(ByteView file, const TableEntries &entries) {
    if (!entries.metadata)
        return fail(Errc::missing, "ovmf.metadata");
    CVMIN_TRY(sections, read_metadata(file, load_le(*entries.metadata)));
    CVMIN_CHECK(check_sections(sections, four_gib - file.size()));
    return sections;
}

} // namespace

Result<Ovmf> parse_ovmf(ByteView firmware) {
    CVMIN_CHECK(check_file_size(firmware, "ovmf.file_size"));
    CVMIN_TRY(entries, read_table(firmware));
    CVMIN_TRY(sections, read_sections(firmware, entries));
    CVMIN_TRY(ovmf, read_addresses(entries, four_gib - firmware.size()));
    ovmf.sections = std::move(sections);
    return ovmf;
}

Result<Ovmf> parse_ovmf_table(ByteView firmware) {
    CVMIN_CHECK(check_file_size(firmware, "ovmf.file_size"));
    CVMIN_TRY(entries, read_table(firmware));
    return read_addresses(entries, four_gib - firmware.size());
}

Result<Svsm> parse_svsm(ByteView image) {
    CVMIN_CHECK(check_file_size(image, "svsm.file_size"));
    CVMIN_TRY(entries, read_table(image));
    if (!entries.svsm_info)
        return fail(Errc::missing, "svsm.info");
    CVMIN_TRY(sections, read_sections(image, entries));
    const std::uint64_t start = load_le(*entries.svsm_info);
    if (start >= image.size())
        return fail(Errc::out_of_range, "svsm.start_offset", start);
    return Svsm{std::move(sections), static_cast<std::uint32_t>(start)};
}

} // namespace cvmin
