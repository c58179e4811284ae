// parse_ovmf and parse_svsm over any bytes, and the launch in every mode and under every VMM over whatever they accept.
// The input is the end of a firmware file, as the fixtures are; a short one is padded in front to whole pages.
#include "common/launch.hpp"

#include <cstdint>
#include <cstdlib>

using namespace cvmin;

static void must(bool held) {
    if (!held)
        std::abort();
}

// The launch itself only where it is quick: its time is bounded by max_metadata_memory, which a fuzzer finds at once.
constexpr std::uint64_t quick = 256 * page_size;

static std::uint64_t memory_of(std::span<const LaunchRegion> regions) {
    std::uint64_t memory = 0;
    for (const LaunchRegion &region : regions)
        memory += region.size;
    return memory;
}

// What was accepted keeps what the parsers promise.
static void check_regions(std::span<const LaunchRegion> regions, std::uint64_t file_gpa) {
    for (const LaunchRegion &region : regions) {
        const bool file = region.what == "firmware" || region.what == "svsm";
        must(region.gpa % page_size == 0 && region.size % page_size == 0 && region.size > 0);
        must(region.gpa + region.size <= (file ? four_gib : file_gpa));
    }
}

static void launch_snp(ByteView firmware, const Ovmf &ovmf, Vmm vmm) {
    const auto without = measure_before_vcpus(firmware, ovmf, std::nullopt, vmm);
    must(without.has_value());
    const auto with = measure_before_vcpus(firmware, ovmf, KernelHashes{}, vmm);
    must(!with || ovmf.has_kernel_hashes_section());
    must(!with || with->value() != without->value());
    const VcpuState vcpu{0x800f12, 1, vmm};
    must(measure_vcpus(*without, {1, vcpu}, ovmf.reset_eip).has_value());
    must(measure_vcpus(*without, {2, vcpu}, ovmf.reset_eip).has_value() == (ovmf.reset_eip != 0));
}

static void launch_sev(ByteView firmware) {
    const auto ovmf = parse_ovmf_table(firmware);
    const auto sev = sev_digest(firmware, std::nullopt);
    must(sev.has_value() == ovmf.has_value());
    const auto es = sev_es_digest(firmware, std::nullopt, {1, {0x800f12}});
    must(es.has_value() == ovmf.has_value());
    const auto with = sev_digest(firmware, KernelHashes{});
    if (!ovmf) {
        must(!with.has_value());
        return;
    }
    must(*sev != *es);
    must(with.has_value() == (ovmf->hash_table && ovmf->hash_table->size >= hash_table_size));
    must(sev_es_digest(firmware, KernelHashes{}, {2, {0x800f12}}).has_value() ==
         (with.has_value() && ovmf->reset_eip != 0));
}

// The same bytes as SVSM and as the firmware above it.
static void launch_svsm(ByteView image) {
    const auto svsm = parse_svsm(image);
    if (!svsm)
        return;
    must(svsm->start_offset < image.size());
    must(svsm->sections.size() <= max_metadata_sections);
    constexpr std::uint64_t vars_size = 0x84000; // OVMF's
    const auto regions = svsm_launch_regions(image.size(), *svsm, image.size(), vars_size);
    const auto before = memory_of(regions ? std::span<const LaunchRegion>{*regions} : std::span<const LaunchRegion>{}) >
                                2 * image.size() + quick
                            ? Result<SvsmLaunch>{fail(Errc::too_large, "quick")}
                            : measure_svsm_before_vcpus(image, image, vars_size);
    if (!before)
        return;
    must(regions.has_value());
    check_regions(*regions, four_gib - 2 * image.size() - vars_size);
    must(before->entry < four_gib - image.size());
    must(measure_svsm_vcpus(before->digest, {2, {0x800f12}}, before->entry).has_value());
    must(!measure_svsm_vcpus(before->digest, {0, {0x800f12}}, before->entry).has_value());
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    (void)parse_ovmf(input); // sizes as they come
    (void)parse_svsm(input);
    Bytes firmware((page_size - size % page_size) % page_size);
    firmware.insert(firmware.end(), input.begin(), input.end());
    launch_sev(firmware);
    launch_svsm(firmware);
    const auto ovmf = parse_ovmf(firmware);
    if (!ovmf)
        return 0;

    must(parse_ovmf_table(firmware).has_value());
    must(ovmf->sections.size() <= max_metadata_sections);
    const auto regions = launch_regions(*ovmf, firmware.size(), true);
    check_regions(regions, four_gib - firmware.size());
    must(memory_of(regions) <= firmware.size() + max_metadata_memory);
    for (const Vmm vmm : {Vmm::qemu, Vmm::ec2, Vmm::ec2_legacy, Vmm::gce, Vmm::krun}) {
        const auto others = launch_regions(*ovmf, firmware.size(), true, vmm); // another order, the same memory
        must(others.size() == regions.size() && memory_of(others) == memory_of(regions));
        if (memory_of(regions) <= firmware.size() + quick)
            launch_snp(firmware, *ovmf, vmm);
    }
    return 0;
}
