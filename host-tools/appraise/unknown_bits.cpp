#include "host-tools/appraise/unknown_bits.hpp"

#include <charconv>

namespace cvmin {

namespace f = report_field;

namespace {

struct Region {
    std::string_view name;
    std::size_t offset, size;
    std::uint64_t known; // bits with a meaning; only fields of up to 8 bytes have any
};

} // namespace

template <class F> static Region region(std::string_view name, std::uint64_t known = 0) {
    return {name, F::offset, F::size, known};
}

static constexpr std::uint64_t all_bits = ~std::uint64_t{0};
static constexpr std::uint64_t policy_must_be_one = 1u << 17;

static std::vector<Region> regions(std::uint32_t version, std::optional<Product> product) {
    // Versions beyond ours keep what we know: fields have only ever been added. Their newer fields show up as unknown.
    const bool has_cpuid = version >= 3;
    const bool has_version_5 = version >= 5;
    const std::uint64_t tcb = product ? encode_tcb(*product, Tcb{.level = {0xff, 0xff, 0xff, 0xff, 0xff}}) : all_bits;
    return {region<f::policy>("policy", has_version_5 ? 0x3ffffff : 0x1ffffff),
            region<f::current_tcb>("current_tcb", tcb),
            region<f::platform_info>("platform_info", 0xbf),
            region<f::key_info>("key_info", 0x1f),
            region<f::reserved_04c>("reserved_04c"),
            region<f::reported_tcb>("reported_tcb", tcb),
            region<f::cpuid_family>("cpuid_family", has_cpuid ? all_bits : 0),
            region<f::cpuid_model>("cpuid_model", has_cpuid ? all_bits : 0),
            region<f::cpuid_stepping>("cpuid_stepping", has_cpuid ? all_bits : 0),
            region<f::reserved_18b>("reserved_18b"),
            region<f::committed_tcb>("committed_tcb", tcb),
            region<f::reserved_1eb>("reserved_1eb"),
            region<f::reserved_1ef>("reserved_1ef"),
            region<f::launch_tcb>("launch_tcb", tcb),
            region<f::launch_mit_vector>("launch_mit_vector", has_version_5 ? all_bits : 0),
            region<f::current_mit_vector>("current_mit_vector", has_version_5 ? all_bits : 0),
            region<f::reserved_208>("reserved_208"),
            region<f::reserved_330>("reserved_330")};
}

std::vector<std::string> unknown_bits(ByteView raw, const SnpReport &report, std::optional<Product> product) {
    std::vector<std::string> names;
    if ((report.policy & policy_must_be_one) == 0)
        names.push_back("!policy.17");
    for (const Region &area : regions(report.version, product)) {
        const ByteView bytes = raw.subspan(area.offset, area.size);
        for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
            const bool set = (std::to_integer<unsigned>(bytes[bit / 8]) >> (bit % 8) & 1) != 0;
            const bool known = bit < 64 && (area.known >> bit & 1) != 0;
            if (set && !known)
                names.push_back(std::string{area.name} + '.' + std::to_string(bit));
        }
    }
    return names;
}

bool valid_unknown_bit(std::string_view name) {
    const std::size_t dot = name.find('.');
    if (dot == name.npos)
        return false;
    const std::string_view digits = name.substr(dot + 1);
    std::size_t bit = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bit);
    if (error != std::errc{} || end != digits.data() + digits.size() || std::to_string(bit) != digits)
        return false;
    // version 2 and no product: everything that could ever be unknown
    for (const Region &area : regions(2, Product::milan))
        if (area.name == name.substr(0, dot))
            return bit < area.size * 8;
    return false;
}

} // namespace cvmin
