// Products and their TCB_VERSION layouts. AMD 56860, table TCB_VERSION; AMD 57230 for product names.
// A TCB is compared component by component, never as one integer: it is only partially ordered.
#pragma once

#include "common/bytes.hpp"

#include <optional>

namespace cvmin {

// Product lines with a published root. Genoa stands for its whole line (Genoa, Bergamo, Siena), Turin for Turin Dense.
enum class Product : std::uint8_t { milan, genoa, turin };
inline constexpr std::array<Product, 3> all_products{Product::milan, Product::genoa, Product::turin};
std::string_view name(Product product); // "Milan"

std::optional<Product> product_by_name(std::string_view name); // "Milan", exact
// Of a certificate's product name: with or without stepping ("Milan-B0", "Genoa"). Nothing: unknown product.
std::optional<Product> product_of_certificate(std::string_view product_name);
// Of a report's combined CPUID family and model (version >= 3). Nothing: a CPU without published roots here.
std::optional<Product> product_of_cpuid(std::uint8_t family, std::uint8_t model);

enum class TcbComponent : std::uint8_t { fmc, boot_loader, tee, snp, microcode };
inline constexpr std::size_t tcb_component_count = 5;
inline constexpr std::array<TcbComponent, tcb_component_count> all_tcb_components{
    TcbComponent::fmc, TcbComponent::boot_loader, TcbComponent::tee, TcbComponent::snp, TcbComponent::microcode};
std::string_view name(TcbComponent component); // "boot_loader", as in a policy file

// Which byte of TCB_VERSION holds a component; nothing: this product has none (FMC before Turin).
std::optional<unsigned> tcb_byte(Product product, TcbComponent component);

// Security patch levels. A component that a product does not have is 0.
struct Tcb {
    std::array<std::uint8_t, tcb_component_count> level{};

    std::uint8_t &operator[](TcbComponent component) { return level[static_cast<std::size_t>(component)]; }
    std::uint8_t operator[](TcbComponent component) const { return level[static_cast<std::size_t>(component)]; }
    friend bool operator==(const Tcb &, const Tcb &) = default;
};

Tcb decode_tcb(Product product, std::uint64_t tcb_version);
std::uint64_t encode_tcb(Product product, const Tcb &tcb);
// The bytes of TCB_VERSION that this product does not define, in place; zero when all is known.
std::uint64_t unknown_tcb_bits(Product product, std::uint64_t tcb_version);
// Every component of `tcb` is at least its minimum.
bool tcb_at_least(const Tcb &tcb, const Tcb &minimum);
// The higher level of each component: the least TCB that meets both as minima.
Tcb tcb_highest(const Tcb &a, const Tcb &b);
// "boot_loader 4, tee 0, snp 24, microcode 219"; with fmc first for Turin.
std::string to_string(Product product, const Tcb &tcb);

} // namespace cvmin
