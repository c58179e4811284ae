#include "host-tools/collateral/kds.hpp"

#include <charconv>

namespace cvmin {

static constexpr std::size_t turin_hwid_size = 8;

Explained<Product> product_of_report(const SnpReport &report, std::optional<Product> product) {
    if (report.version < 3) { // no CPUID bytes yet
        if (!product)
            return explain(Errc::missing, "a report of version " + std::to_string(report.version) +
                                              " does not say which product it is of: --product is needed");
        return *product;
    }
    const auto found = product_of_cpuid(report.cpuid_family, report.cpuid_model);
    if (!found)
        return explain(Errc::unsupported, "the report is of a CPU without published AMD roots (family " +
                                              std::to_string(report.cpuid_family) + ", model " +
                                              std::to_string(report.cpuid_model) + ")");
    if (product && *product != *found)
        return explain(Errc::mismatch,
                       "the report is of " + std::string{name(*found)} + " and not of " + std::string{name(*product)});
    return *found;
}

Explained<VcekId> vcek_id(Product product, ByteView chip_id, const Tcb &tcb) {
    const bool turin = product == Product::turin;
    if (chip_id.size() != max_hwid_size && !(turin && chip_id.size() == turin_hwid_size))
        return explain(Errc::out_of_range,
                       "a CHIP_ID of " + std::to_string(chip_id.size()) + " bytes, wanted 64" + (turin ? " or 8" : ""));
    if (all_zero(chip_id))
        return explain(Errc::unsupported, "CHIP_ID is masked (zero): no VCEK can be asked for, the host must bring it");
    if (turin && chip_id.size() > turin_hwid_size && !all_zero(chip_id.subspan(turin_hwid_size)))
        return explain(Errc::unsupported, "a Turin CHIP_ID has 8 bytes and then zeros; this one has more");
    return VcekId{.product = product, .hwid = to_bytes(turin ? chip_id.first(turin_hwid_size) : chip_id), .tcb = tcb};
}

Explained<VcekId> vcek_id(const SnpReport &report, std::optional<Product> product) {
    CVMIN_TRY(of, product_of_report(report, product));
    if (unknown_tcb_bits(of, report.reported_tcb) != 0)
        return explain(Errc::unsupported, "REPORTED_TCB has levels that " + std::string{name(of)} +
                                              " does not define: is it of that product?");
    return vcek_id(of, report.chip_id, decode_tcb(of, report.reported_tcb));
}

Explained<Tcb> parse_tcb(Product product, std::string_view text) {
    if (text.starts_with("0x")) {
        const auto raw = parse_hex_exactly<8>(text, "tcb");
        if (!raw)
            return explain(Errc::malformed, "a TCB in hexadecimal has 16 digits");
        const std::uint64_t value = load_be(*raw);
        if (unknown_tcb_bits(product, value) != 0)
            return explain(Errc::unsupported,
                           "this TCB has levels that " + std::string{name(product)} + " does not define");
        return decode_tcb(product, value);
    }
    std::array<bool, tcb_component_count> seen{};
    Tcb tcb;
    while (!text.empty()) {
        const std::string_view item = text.substr(0, text.find(','));
        text.remove_prefix(std::min(item.size() + 1, text.size()));
        const std::size_t equals = item.find('=');
        const auto component = std::ranges::find_if(all_tcb_components, [&](TcbComponent candidate) {
            return item.substr(0, equals) == name(candidate) && tcb_byte(product, candidate).has_value();
        });
        if (component == all_tcb_components.end() || equals == item.npos)
            return explain(Errc::malformed, "no TCB component '" + std::string{item.substr(0, equals)} + "' of " +
                                                std::string{name(product)} + "; wanted NAME=LEVEL,...");
        bool &was_seen = seen[static_cast<std::size_t>(*component)];
        if (was_seen)
            return explain(Errc::malformed, "TCB component " + std::string{name(*component)} + " is there twice");
        was_seen = true;
        const std::string_view digits = item.substr(equals + 1);
        std::uint8_t level = 0;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), level);
        if (error != std::errc{} || end != digits.data() + digits.size())
            return explain(Errc::out_of_range, "TCB level '" + std::string{digits} + "': wanted 0 to 255");
        tcb[*component] = level;
    }
    for (const TcbComponent component : all_tcb_components)
        if (tcb_byte(product, component) && !seen[static_cast<std::size_t>(component)])
            return explain(Errc::missing, "TCB component " + std::string{name(component)} + " is missing");
    return tcb;
}

static std::string service(VekKind kind, Product product) {
    return (kind == VekKind::vcek ? "/vcek/v1/" : "/vlek/v1/") + std::string{name(product)} + '/';
}

std::string vcek_path(const VcekId &id) {
    static constexpr std::pair<TcbComponent, std::string_view> parameters[] = {
        {TcbComponent::fmc, "fmcSPL"}, // first, and on Turin only
        {TcbComponent::boot_loader, "blSPL"},
        {TcbComponent::tee, "teeSPL"},
        {TcbComponent::snp, "snpSPL"},
        {TcbComponent::microcode, "ucodeSPL"}};
    std::string path = service(VekKind::vcek, id.product) + hex(id.hwid);
    char separator = '?';
    for (const auto &[component, parameter] : parameters) {
        if (!tcb_byte(id.product, component))
            continue;
        const std::string level = std::to_string(id.tcb[component]);
        path += separator;
        path += parameter;
        path += (level.size() < 2 ? "=0" : "=") + level;
        separator = '&';
    }
    return path;
}

std::string cert_chain_path(VekKind kind, Product product) {
    return service(kind, product) + "cert_chain";
}

std::string crl_path(VekKind kind, Product product) {
    return service(kind, product) + "crl";
}

} // namespace cvmin
