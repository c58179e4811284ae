// The CPU models of QEMU that can run an SEV-SNP guest, and the CPUID signature which each puts in RDX at reset.
// QEMU's model decides the signature, whatever chip the host has.
#include "common/launch.hpp"

#include <array>

namespace cvmin {

std::uint32_t cpu_signature(unsigned family, unsigned model, unsigned stepping) {
    // CPUID leaf 1 EAX (AMD 25481): families above 15 are split in 15 and the rest.
    const unsigned low_family = std::min(family, 15u);
    const unsigned extended_family = family - low_family;
    return extended_family << 20 | (model >> 4 & 0xf) << 16 | low_family << 8 | (model & 0xf) << 4 | (stepping & 0xf);
}

namespace {

constexpr std::uint32_t naples = 0x800f12; // family 23, model 1, stepping 2
constexpr std::uint32_t rome = 0x830f10;   // 23, 49, 0
constexpr std::uint32_t milan = 0xa00f11;  // 25, 1, 1
constexpr std::uint32_t genoa = 0xa10f10;  // 25, 17, 0
constexpr std::uint32_t turin = 0xb00f00;  // 26, 0, 0

// `qemu-system-x86_64 -cpu help` of QEMU 10.0; 10.1 added EPYC-v5, -Rome-v5, -Milan-v3, -Genoa-v2 and -Turin (with its
// v1), and its successors -Milan-v4, -Genoa-v3 and -Turin-v2. A version changes features and caches, never family,
// model or stepping. Left out: Opteron_G*, phenom, athlon (no SEV) and Dhyana (not AMD's).
constexpr CpuModel models[] = {
    {"EPYC", naples},         {"EPYC-Genoa", genoa},    {"EPYC-Genoa-v1", genoa}, {"EPYC-Genoa-v2", genoa},
    {"EPYC-Genoa-v3", genoa}, {"EPYC-IBPB", naples},    {"EPYC-Milan", milan},    {"EPYC-Milan-v1", milan},
    {"EPYC-Milan-v2", milan}, {"EPYC-Milan-v3", milan}, {"EPYC-Milan-v4", milan}, {"EPYC-Rome", rome},
    {"EPYC-Rome-v1", rome},   {"EPYC-Rome-v2", rome},   {"EPYC-Rome-v3", rome},   {"EPYC-Rome-v4", rome},
    {"EPYC-Rome-v5", rome},   {"EPYC-Turin", turin},    {"EPYC-Turin-v1", turin}, {"EPYC-Turin-v2", turin},
    {"EPYC-v1", naples},      {"EPYC-v2", naples},      {"EPYC-v3", naples},      {"EPYC-v4", naples},
    {"EPYC-v5", naples}};
static_assert(std::ranges::is_sorted(models, {}, &CpuModel::name));

constexpr std::size_t longest_name = 32; // what is compared of a name that somebody typed

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Edit distance of the first `longest_name` characters, without regard to case. A replaced character counts as one left
// out and one put in, so that "Milan" is nearest to EPYC-Milan and not to the short EPYC.
std::size_t distance(std::string_view a, std::string_view b) {
    a = a.substr(0, longest_name);
    b = b.substr(0, longest_name);
    std::array<std::size_t, longest_name + 1> row{};
    for (std::size_t j = 0; j <= b.size(); ++j)
        row[j] = j;
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t changed = diagonal + (lower(a[i]) == lower(b[j]) ? 0 : 2);
            diagonal = row[j + 1];
            row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
        }
    }
    return row[b.size()];
}

} // namespace

std::span<const CpuModel> cpu_models() {
    return models;
}

std::optional<CpuModel> find_cpu_model(std::string_view name) {
    for (const CpuModel &model : models)
        if (model.name == name)
            return model;
    return std::nullopt;
}

std::string_view nearest_cpu_model(std::string_view name) {
    return std::ranges::min(models, {}, [name](const CpuModel &model) { return distance(name, model.name); }).name;
}

} // namespace cvmin
