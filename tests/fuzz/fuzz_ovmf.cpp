// parse_ovmf over any bytes, and the launch over whatever it accepts: with and without kernel hashes.
// The input is the end of a firmware file, as the fixtures are; a short one is padded in front to whole pages.
#include "common/launch.hpp"

#include <cstdint>
#include <cstdlib>

using namespace cvmin;

static void must(bool held) {
    if (!held)
        std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    (void)parse_ovmf(input); // sizes as they come
    Bytes firmware((page_size - size % page_size) % page_size);
    firmware.insert(firmware.end(), input.begin(), input.end());
    const auto ovmf = parse_ovmf(firmware);
    if (!ovmf)
        return 0;

    // What was accepted keeps what parse_ovmf promises.
    const std::uint64_t firmware_gpa = four_gib - firmware.size();
    std::uint64_t memory = 0;
    for (const LaunchRegion &region : launch_regions(*ovmf, firmware.size(), true)) {
        must(region.gpa % page_size == 0 && region.size % page_size == 0 && region.size > 0);
        must(region.gpa + region.size <= (region.what == "firmware" ? four_gib : firmware_gpa));
        memory += region.size;
    }
    must(memory <= firmware.size() + max_metadata_memory);
    must(ovmf->sections.size() <= max_metadata_sections);

    // The launch itself only where it is quick: its time is bounded by max_metadata_memory, which a fuzzer finds at
    // once.
    constexpr std::uint64_t quick = 256 * page_size;
    if (memory > firmware.size() + quick)
        return 0;
    const auto without = measure_before_vcpus(firmware, *ovmf, std::nullopt);
    must(without.has_value());
    const auto with = measure_before_vcpus(firmware, *ovmf, KernelHashes{});
    must(!with || ovmf->has_kernel_hashes_section());
    must(!with || with->value() != without->value());
    const auto one = measure_vcpus(*without, {1, {0x800f12}}, ovmf->reset_eip);
    must(one.has_value());
    const auto two = measure_vcpus(*without, {2, {0x800f12}}, ovmf->reset_eip);
    must(two.has_value() == (ovmf->reset_eip != 0));
    return 0;
}
