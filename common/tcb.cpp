#include "common/tcb.hpp"

namespace cvmin {

std::string_view name(Product product) {
    switch (product) {
    case Product::milan:
        return "Milan";
    case Product::genoa:
        return "Genoa";
    case Product::turin:
        return "Turin";
    }
    return "unknown";
}

std::optional<Product> product_by_name(std::string_view text) {
    for (const Product product : all_products)
        if (text == name(product))
            return product;
    return std::nullopt;
}

std::optional<Product> product_of_certificate(std::string_view product_name) {
    // VCEK: "Milan-B0"; VLEK and some VCEKs: "Milan"
    return product_by_name(product_name.substr(0, product_name.find('-')));
}

std::optional<Product> product_of_cpuid(std::uint8_t family, std::uint8_t model) {
    if (family == 0x19 && model <= 0x0f)
        return Product::milan;
    if (family == 0x19 && ((model >= 0x10 && model <= 0x1f) || (model >= 0xa0 && model <= 0xaf)))
        return Product::genoa;
    if (family == 0x1a && model <= 0x11)
        return Product::turin;
    return std::nullopt;
}

std::string_view name(TcbComponent component) {
    switch (component) {
    case TcbComponent::fmc:
        return "fmc";
    case TcbComponent::boot_loader:
        return "boot_loader";
    case TcbComponent::tee:
        return "tee";
    case TcbComponent::snp:
        return "snp";
    case TcbComponent::microcode:
        return "microcode";
    }
    return "unknown";
}

std::optional<unsigned> tcb_byte(Product product, TcbComponent component) {
    const bool turin = product == Product::turin;
    switch (component) {
    case TcbComponent::fmc:
        return turin ? std::optional<unsigned>{0} : std::nullopt;
    case TcbComponent::boot_loader:
        return turin ? 1 : 0;
    case TcbComponent::tee:
        return turin ? 2 : 1;
    case TcbComponent::snp:
        return turin ? 3 : 6;
    case TcbComponent::microcode:
        return 7;
    }
    return std::nullopt;
}

Tcb decode_tcb(Product product, std::uint64_t tcb_version) {
    Tcb tcb;
    for (const TcbComponent component : all_tcb_components)
        if (const auto byte = tcb_byte(product, component))
            tcb[component] = static_cast<std::uint8_t>(tcb_version >> (8 * *byte) & 0xff);
    return tcb;
}

std::uint64_t encode_tcb(Product product, const Tcb &tcb) {
    std::uint64_t out = 0;
    for (const TcbComponent component : all_tcb_components)
        if (const auto byte = tcb_byte(product, component))
            out |= std::uint64_t{tcb[component]} << (8 * *byte);
    return out;
}

std::uint64_t unknown_tcb_bits(Product product, std::uint64_t tcb_version) {
    return tcb_version & ~encode_tcb(product, Tcb{.level = {0xff, 0xff, 0xff, 0xff, 0xff}});
}

bool tcb_at_least(const Tcb &tcb, const Tcb &minimum) {
    return std::ranges::all_of(all_tcb_components,
                               [&](TcbComponent component) { return tcb[component] >= minimum[component]; });
}

Tcb tcb_highest(const Tcb &a, const Tcb &b) {
    Tcb out;
    for (const TcbComponent component : all_tcb_components)
        out[component] = std::max(a[component], b[component]);
    return out;
}

std::string to_string(Product product, const Tcb &tcb) {
    std::string text;
    for (const TcbComponent component : all_tcb_components) {
        if (!tcb_byte(product, component))
            continue;
        if (!text.empty())
            text += ", ";
        text += name(component);
        text += ' ';
        text += std::to_string(tcb[component]);
    }
    return text;
}

} // namespace cvmin
