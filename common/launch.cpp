// The SEV-SNP launch digest over regions of memory. Knows order, page types and contents; parses nothing and reads no
// file.
#include "common/launch.hpp"
#include "common/guid.hpp"

#include <cstring>

namespace cvmin {

namespace {

// 56860, table "PAGE_INFO". VMPL permissions and IMI stay 0: QEMU launches only VMPL0 pages.
namespace page_info {
using current = Field<0x00, 48>;
using contents = Field<0x30, 48>;
using length = Field<0x60, 2>;
using page_type = Field<0x62, 1>;
using imi = Field<0x63, 1>;
using permissions = Field<0x64, 4>;
using gpa = Field<0x68, 8>;
constexpr std::size_t size = 0x70;
static_assert(fields_tile<size, current, contents, length, page_type, imi, permissions, gpa>());
} // namespace page_info

constexpr Sha384Digest not_counted{}; // stands for the contents of pages which are not measured

// Remembers the digests of pages already hashed. One entry per slot: a collision costs a hash, never a wrong digest,
// and neither memory nor time depends on what the pages hold.
class PageDigests {
  public:
    explicit PageDigests(std::size_t pages) : slots_(std::min(pages, max_slots)) {}

    Sha384Digest operator()(ByteView page) {
        Slot &slot = slots_[mix(page) % slots_.size()];
        if (slot.page.empty() || std::memcmp(slot.page.data(), page.data(), page.size()) != 0)
            slot = {page, sha384(page)};
        return slot.digest;
    }

  private:
    static constexpr std::size_t max_slots = 1024; // as many as a 4 MiB firmware has pages; 64 KiB of slots

    struct Slot {
        ByteView page;
        Sha384Digest digest{};
    };

    // Four independent lanes, so that the multiplications overlap.
    static std::uint64_t mix(ByteView page) {
        constexpr std::size_t lanes = 4;
        constexpr std::size_t word = sizeof(std::uint64_t);
        static_assert(page_size % (lanes * word) == 0);
        std::uint64_t state[lanes] = {1, 2, 3, 4};
        for (std::size_t at = 0; at < page_size; at += lanes * word)
            for (std::size_t i = 0; i < lanes; ++i) {
                std::uint64_t value;
                std::memcpy(&value, page.data() + at + i * word, word);
                state[i] = (state[i] ^ value) * 0x9e3779b97f4a7c15; // 2^64 / golden ratio: odd, bits well spread
            }
        std::uint64_t all = 0;
        for (std::uint64_t lane : state)
            all = (all ^ lane >> 32 ^ lane) * 0x9e3779b97f4a7c15;
        return all >> 32;
    }

    std::vector<Slot> slots_;
};

PageType measured_as(SectionType type, bool with_hashes, Vmm vmm) {
    switch (type) {
    case SectionType::secrets:
        return PageType::secrets;
    case SectionType::cpuid:
        return PageType::cpuid;
    case SectionType::kernel_hashes:
        return with_hashes ? PageType::normal : PageType::zero;
    case SectionType::sec_mem:
        return vmm == Vmm::gce ? PageType::unmeasured : PageType::zero;
    case SectionType::svsm_caa:
        break;
    }
    return PageType::zero;
}

std::string_view name_of(SectionType type) {
    switch (type) {
    case SectionType::sec_mem:
        return "sec_mem";
    case SectionType::secrets:
        return "secrets";
    case SectionType::cpuid:
        return "cpuid";
    case SectionType::svsm_caa:
        return "svsm_caa";
    case SectionType::kernel_hashes:
        break;
    }
    return "kernel_hashes";
}

LaunchRegion region_of(const MetadataSection &section, bool with_hashes, Vmm vmm) {
    const PageType type = measured_as(section.type, with_hashes, vmm);
    // Secrets and CPUID are one page each, whatever their section says.
    const bool one_page = type == PageType::secrets || type == PageType::cpuid;
    return {type, section.gpa, one_page ? page_size : section.size, name_of(section.type)};
}

// The sections in the order in which the VMM submits them.
void add_sections(std::vector<LaunchRegion> &regions, std::span<const MetadataSection> sections, bool with_hashes,
                  Vmm vmm) {
    const bool cpuid_last = vmm == Vmm::ec2 || vmm == Vmm::ec2_legacy;
    for (const MetadataSection &section : sections)
        if (!cpuid_last || section.type != SectionType::cpuid)
            regions.push_back(region_of(section, with_hashes, vmm));
    for (const MetadataSection &section : sections)
        if (cpuid_last && section.type == SectionType::cpuid)
            regions.push_back(region_of(section, with_hashes, vmm));
}

// QEMU's table of hashes for OVMF's blob verifier (QEMU target/i386/sev.c, edk2
// OvmfPkg/AmdSev/BlobVerifierLibSevHashes).
namespace hash_table {
using table_guid = Field<0, 16>;
using table_length = Field<16, 2>;
using cmdline_entry = Field<18, 50>;
using initrd_entry = Field<68, 50>;
using kernel_entry = Field<118, 50>;
using padding = Field<168, 8>;
static_assert(
    fields_tile<hash_table_size, table_guid, table_length, cmdline_entry, initrd_entry, kernel_entry, padding>());
constexpr std::uint64_t length_without_padding = padding::offset;

using entry_guid = Field<0, 16>;
using entry_length = Field<16, 2>;
using entry_digest = Field<18, 32>;

constexpr Guid table_id = guid("9438d606-4f22-4cc9-b479-a793d411fd21");
constexpr Guid cmdline_id = guid("97d02dd8-bd20-4c94-aa78-e7714d36ab2a");
constexpr Guid initrd_id = guid("44baf731-3a2f-4bd7-9af1-41e29169781d");
constexpr Guid kernel_id = guid("4de79437-abd2-427f-b835-d5b172d2045b");

template <class Entry> void put_entry(MutableBytes table, const Guid &id, const Sha256Digest &digest) {
    const MutableBytes entry = Entry::view(table);
    entry_guid::put(entry, id);
    entry_length::put_le(entry, Entry::size);
    entry_digest::put(entry, digest);
}
} // namespace hash_table

} // namespace

std::string_view name(PageType type) {
    switch (type) {
    case PageType::normal:
        return "normal";
    case PageType::vmsa:
        return "vmsa";
    case PageType::zero:
        return "zero";
    case PageType::unmeasured:
        return "unmeasured";
    case PageType::secrets:
        return "secrets";
    case PageType::cpuid:
        return "cpuid";
    }
    return "unknown";
}

void LaunchDigest::page_digest(PageType type, std::uint64_t gpa, const Sha384Digest &contents) {
    ByteArray<page_info::size> bytes{};
    const MutableBytes info{bytes};
    page_info::current::put(info, value_);
    page_info::contents::put(info, contents);
    page_info::length::put_le(info, page_info::size);
    page_info::page_type::put_le(info, static_cast<std::uint64_t>(type));
    page_info::gpa::put_le(info, gpa);
    value_ = sha384(bytes);
}

void LaunchDigest::page(PageType type, std::uint64_t gpa, ByteView contents) {
    page_digest(type, gpa, sha384(contents));
}

void LaunchDigest::uncounted_pages(PageType type, std::uint64_t gpa, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
        page_digest(type, gpa + i * page_size, not_counted);
}

void LaunchDigest::normal_pages(std::uint64_t gpa, ByteView contents) {
    const std::size_t count = contents.size() / page_size;
    PageDigests digest_of(count);
    for (std::size_t i = 0; i < count; ++i)
        page_digest(PageType::normal, gpa + i * page_size, digest_of(contents.subspan(i * page_size, page_size)));
}

KernelHashes kernel_hashes(ByteView kernel, ByteView initrd, std::string_view cmdline) {
    static constexpr ByteArray<1> nul{};
    Sha256Stream stream;
    stream.update(as_bytes(cmdline));
    stream.update(nul);
    return {sha256(kernel), sha256(initrd), stream.finish()};
}

ByteArray<hash_table_size> encode_hash_table(const KernelHashes &hashes) {
    using namespace hash_table;
    ByteArray<hash_table_size> bytes{};
    const MutableBytes table{bytes};
    table_guid::put(table, table_id);
    table_length::put_le(table, length_without_padding);
    put_entry<cmdline_entry>(table, cmdline_id, hashes.cmdline);
    put_entry<initrd_entry>(table, initrd_id, hashes.initrd);
    put_entry<kernel_entry>(table, kernel_id, hashes.kernel);
    return bytes;
}

Result<ByteArray<page_size>> hash_table_page(const HashTableArea &area, const KernelHashes &hashes) {
    const std::size_t offset = area.gpa % page_size;
    if (area.size < hash_table_size || offset + hash_table_size > page_size)
        return fail(Errc::out_of_range, "ovmf.hash_table", area.gpa);
    ByteArray<page_size> page{};
    std::ranges::copy(encode_hash_table(hashes), page.begin() + static_cast<std::ptrdiff_t>(offset));
    return page;
}

std::vector<LaunchRegion> launch_regions(const Ovmf &ovmf, std::size_t firmware_size, bool with_hashes, Vmm vmm) {
    std::vector<LaunchRegion> regions;
    regions.reserve(1 + ovmf.sections.size());
    regions.push_back({PageType::normal, four_gib - firmware_size, firmware_size, "firmware"});
    add_sections(regions, ovmf.sections, with_hashes, vmm);
    return regions;
}

LaunchDigest measure_firmware(ByteView firmware) {
    LaunchDigest digest;
    digest.normal_pages(four_gib - firmware.size(), firmware);
    return digest;
}

Result<LaunchDigest> measure_metadata(LaunchDigest digest, const Ovmf &ovmf, const std::optional<KernelHashes> &hashes,
                                      Vmm vmm) {
    ByteArray<page_size> hash_page{};
    if (hashes) {
        // Without the section the page is not measured, without the area nothing reads it: a launch with these hashes
        // does not exist.
        if (!ovmf.has_kernel_hashes_section())
            return fail(Errc::unsupported, "ovmf.kernel_hashes_section");
        if (!ovmf.hash_table)
            return fail(Errc::unsupported, "ovmf.hash_table");
        CVMIN_TRY(page, hash_table_page(*ovmf.hash_table, *hashes));
        hash_page = page;
    }
    std::vector<LaunchRegion> regions;
    regions.reserve(ovmf.sections.size());
    add_sections(regions, ovmf.sections, hashes.has_value(), vmm);
    for (const LaunchRegion &region : regions) {
        if (region.type == PageType::normal) {
            if (region.gpa != ovmf.hash_table->gpa / page_size * page_size)
                return fail(Errc::mismatch, "ovmf.kernel_hashes_section", region.gpa);
            digest.page(region.type, region.gpa, hash_page);
        } else {
            digest.uncounted_pages(region.type, region.gpa, region.size / page_size);
        }
    }
    return digest;
}

Result<LaunchDigest> measure_before_vcpus(ByteView firmware, const Ovmf &ovmf,
                                          const std::optional<KernelHashes> &hashes, Vmm vmm) {
    return measure_metadata(measure_firmware(firmware), ovmf, hashes, vmm);
}

namespace {

Result<void> check_vcpus(unsigned vcpus) {
    if (vcpus == 0 || vcpus > max_vcpus)
        return fail(Errc::out_of_range, "vcpus", vcpus);
    return {};
}

Result<void> check_vcpus(unsigned vcpus, std::uint32_t ap_reset_eip) {
    CVMIN_CHECK(check_vcpus(vcpus));
    if (vcpus > 1 && ap_reset_eip == 0)
        return fail(Errc::missing, "ovmf.reset_block");
    return {};
}

} // namespace

Result<std::vector<Sha384Digest>> measure_vcpu_counts(LaunchDigest digest, const LaunchConfig &config,
                                                      std::uint32_t ap_reset_eip) {
    CVMIN_CHECK(check_vcpus(config.vcpus, ap_reset_eip));
    std::vector<Sha384Digest> digests;
    digests.reserve(config.vcpus);
    digest.page(PageType::vmsa, vmsa_gpa, vmsa_page(config.vcpu, bsp_reset_eip));
    digests.push_back(digest.value());
    const Sha384Digest ap = sha384(vmsa_page(config.vcpu, ap_reset_eip));
    while (digests.size() < config.vcpus) {
        digest.page_digest(PageType::vmsa, vmsa_gpa, ap);
        digests.push_back(digest.value());
    }
    return digests;
}

Result<Sha384Digest> measure_vcpus(LaunchDigest digest, const LaunchConfig &config, std::uint32_t ap_reset_eip) {
    CVMIN_TRY(digests, measure_vcpu_counts(digest, config, ap_reset_eip));
    return digests.back();
}

Result<Sha384Digest> launch_digest(ByteView firmware, const std::optional<KernelHashes> &hashes,
                                   const LaunchConfig &config) {
    CVMIN_TRY(ovmf, parse_ovmf(firmware));
    CVMIN_TRY(digest, measure_before_vcpus(firmware, ovmf, hashes, config.vcpu.vmm));
    return measure_vcpus(digest, config, ovmf.reset_eip);
}

Result<std::vector<LaunchRegion>> svsm_launch_regions(std::size_t firmware_size, const Svsm &svsm,
                                                      std::size_t svsm_size, std::uint64_t vars_size) {
    if (vars_size > max_vars_size)
        return fail(Errc::too_large, "svsm.vars_size", vars_size);
    if (vars_size % page_size != 0)
        return fail(Errc::out_of_range, "svsm.vars_size", vars_size);
    const std::uint64_t firmware_gpa = four_gib - firmware_size; // each is at most 64 MiB: no underflow
    const std::uint64_t svsm_gpa = firmware_gpa - vars_size - svsm_size;
    std::vector<LaunchRegion> regions;
    regions.reserve(2 + svsm.sections.size());
    regions.push_back({PageType::normal, firmware_gpa, firmware_size, "firmware"});
    regions.push_back({PageType::normal, svsm_gpa, svsm_size, "svsm"});
    for (const MetadataSection &section : svsm.sections)
        if (std::uint64_t{section.gpa} + section.size > svsm_gpa)
            return fail(Errc::out_of_range, "ovmf.metadata.section.end", std::uint64_t{section.gpa} + section.size);
    constexpr bool with_hashes = false; // they are OVMF's, which the SVSM loads itself
    add_sections(regions, svsm.sections, with_hashes, Vmm::qemu);
    return regions;
}

Result<SvsmLaunch> measure_svsm_before_vcpus(LaunchDigest digest, std::size_t firmware_size, ByteView svsm,
                                             std::uint64_t vars_size) {
    CVMIN_TRY(parsed, parse_svsm(svsm));
    CVMIN_TRY(regions, svsm_launch_regions(firmware_size, parsed, svsm.size(), vars_size));
    const std::uint64_t svsm_gpa = regions[1].gpa;
    digest.normal_pages(svsm_gpa, svsm);
    for (const LaunchRegion &region : std::span{regions}.subspan(2))
        digest.uncounted_pages(region.type, region.gpa, region.size / page_size);
    return SvsmLaunch{digest, svsm_gpa + parsed.start_offset};
}

Result<SvsmLaunch> measure_svsm_before_vcpus(ByteView firmware, ByteView svsm, std::uint64_t vars_size) {
    CVMIN_CHECK(parse_ovmf_table(firmware));
    return measure_svsm_before_vcpus(measure_firmware(firmware), firmware.size(), svsm, vars_size);
}

Result<Sha384Digest> measure_svsm_vcpus(LaunchDigest digest, const LaunchConfig &config, std::uint64_t entry) {
    CVMIN_CHECK(check_vcpus(config.vcpus));
    const Sha384Digest page = sha384(svsm_vmsa_page(config.vcpu, entry));
    for (unsigned i = 0; i < config.vcpus; ++i)
        digest.page_digest(PageType::vmsa, vmsa_gpa, page);
    return digest.value();
}

namespace {

Result<void> update_firmware_and_hashes(Sha256Stream &stream, ByteView firmware, const Ovmf &ovmf,
                                        const std::optional<KernelHashes> &hashes) {
    stream.update(firmware);
    if (!hashes)
        return {};
    if (!ovmf.hash_table)
        return fail(Errc::unsupported, "ovmf.hash_table");
    if (ovmf.hash_table->size < hash_table_size)
        return fail(Errc::out_of_range, "ovmf.hash_table", ovmf.hash_table->gpa);
    stream.update(encode_hash_table(*hashes));
    return {};
}

} // namespace

Result<Sha256Digest> sev_digest(ByteView firmware, const std::optional<KernelHashes> &hashes) {
    CVMIN_TRY(ovmf, parse_ovmf_table(firmware));
    Sha256Stream stream;
    CVMIN_CHECK(update_firmware_and_hashes(stream, firmware, ovmf, hashes));
    return stream.finish();
}

Result<Sha256Digest> sev_es_digest(ByteView firmware, const std::optional<KernelHashes> &hashes,
                                   const LaunchConfig &config, std::uint32_t ap_reset_eip) {
    constexpr std::uint64_t snp_active = 1;
    CVMIN_TRY(ovmf, parse_ovmf_table(firmware));
    CVMIN_CHECK(check_vcpus(config.vcpus, ap_reset_eip));
    Sha256Stream stream;
    CVMIN_CHECK(update_firmware_and_hashes(stream, firmware, ovmf, hashes));
    VcpuState state = config.vcpu;
    state.sev_features &= ~snp_active;
    stream.update(vmsa_page(state, bsp_reset_eip));
    const ByteArray<page_size> ap = vmsa_page(state, ap_reset_eip);
    for (unsigned i = 1; i < config.vcpus; ++i)
        stream.update(ap);
    return stream.finish();
}

Result<Sha256Digest> sev_es_digest(ByteView firmware, const std::optional<KernelHashes> &hashes,
                                   const LaunchConfig &config) {
    CVMIN_TRY(ovmf, parse_ovmf_table(firmware));
    return sev_es_digest(firmware, hashes, config, ovmf.reset_eip);
}

} // namespace cvmin
