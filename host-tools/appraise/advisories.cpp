#include "host-tools/appraise/advisories.hpp"

#include "host-tools/appraise/policy_reader.hpp"
#include "host-tools/appraise/unknown_bits.hpp"

#include "embedded_policies.hpp"

#include <algorithm>

namespace cvmin {

using namespace policy_reader;

namespace {

// "19/a0/2": hexadecimal, of two, two and one digits.
Parsed<CpuId> cpuid(const Value &value) {
    CVMIN_TRY(given, text(value));
    if (given.size() != 7 || given[2] != '/' || given[5] != '/')
        return refuse(Errc::malformed, value.path);
    const auto bytes = parse_hex_exactly<3>(given.substr(0, 2) + given.substr(3, 2) + "0" + given.substr(6), "policy");
    if (!bytes)
        return refuse(Errc::malformed, value.path);
    const auto number = [&](std::size_t i) { return std::to_integer<std::uint8_t>((*bytes)[i]); };
    return CpuId{.family = number(0), .model = number(1), .stepping = number(2)};
}

template <std::size_t N>
Parsed<std::array<std::optional<bool>, N>> some_bits(Object &object, std::string_view member,
                                                     const std::array<NamedBit, N> &bits) {
    std::array<std::optional<bool>, N> out;
    const auto value = object.optional_member(member);
    if (!value)
        return out;
    CVMIN_TRY(named, Object::of(*value));
    for (std::size_t i = 0; i < N; ++i) {
        if (const auto bit = named.optional_member(bits[i].member())) {
            CVMIN_TRY(set, boolean(*bit));
            out[i] = set;
        }
    }
    CVMIN_CHECK(named.finish());
    return out;
}

Parsed<Floor> floor(const Value &value, Product of) {
    CVMIN_TRY(object, Object::of(value));
    Floor out;
    if (const auto part = object.optional_member("cpuid")) {
        CVMIN_TRY(parsed, cpuid(*part));
        if (product_of_cpuid(parsed.family, parsed.model) != of) // would never be looked at
            return refuse(Errc::mismatch, part->path);
        out.cpuid = parsed;
    }
    if (const auto value_of_tcb = object.optional_member("tcb")) {
        CVMIN_TRY(levels, Object::of(*value_of_tcb));
        for (const TcbComponent component : all_tcb_components) {
            const auto level = tcb_byte(of, component) ? levels.optional_member(name(component)) : std::nullopt;
            if (!level)
                continue;
            CVMIN_TRY(least, number(*level, 0xff));
            out.tcb[static_cast<std::size_t>(component)] = static_cast<std::uint8_t>(least);
        }
        CVMIN_CHECK(levels.finish());
    }
    CVMIN_TRY(of_guest, some_bits(object, "guest_policy", guest_policy_bits));
    CVMIN_TRY(of_platform, some_bits(object, "platform_info", platform_info_bits));
    out.guest_policy = of_guest;
    out.platform_info = of_platform;
    if (const auto bits = object.optional_member("current_mitigations")) {
        CVMIN_TRY(parsed, mask(*bits));
        out.current_mitigations = parsed;
    }
    CVMIN_CHECK(object.finish());
    const auto some = [](const auto &list) {
        return std::ranges::any_of(list, [](const auto &v) { return v.has_value(); });
    };
    if (!some(out.tcb) && !some(out.guest_policy) && !some(out.platform_info) && out.current_mitigations == 0)
        return refuse(Errc::missing, value.path); // a floor that everything meets
    return out;
}

Parsed<std::string> words(const Value &value) {
    CVMIN_TRY(given, text(value));
    if (given.empty())
        return refuse(Errc::out_of_range, value.path);
    return given;
}

Parsed<Advisory> advisory(const Value &value) {
    CVMIN_TRY(object, Object::of(value));
    Advisory out;
    const auto read = [&object](std::string_view member, auto parse, auto &to) -> Parsed<void> {
        CVMIN_TRY(found, object.member(member));
        CVMIN_TRY(parsed, parse(found));
        to = std::move(parsed);
        return {};
    };
    CVMIN_CHECK(read("id", words, out.id));
    CVMIN_CHECK(read("also", [](const Value &v) { return list(v, false, words); }, out.also));
    CVMIN_CHECK(read("what", words, out.what));
    CVMIN_CHECK(read("date", words, out.date));
    std::string status;
    CVMIN_CHECK(read("status", words, status));
    if (status != "confirmed" && status != "unconfirmed")
        return refuse(Errc::unsupported, object.path("status"));
    out.confirmed = status == "confirmed";
    CVMIN_CHECK(read("source", [](const Value &v) { return list(v, true, words); }, out.sources));
    if (const auto comment = object.optional_member("comment")) {
        CVMIN_TRY(said, text(*comment));
        out.comment = std::move(said);
    }
    CVMIN_TRY(products_value, object.member("products"));
    CVMIN_TRY(products, Object::of(products_value));
    for (const Product of : all_products) {
        CVMIN_TRY(found, products.member(name(of)));
        if (found.json->is_string()) {
            if (*found.json != "unset")
                return refuse(Errc::unsupported, found.path);
            continue;
        }
        CVMIN_TRY(floors, list(found, true, [of](const Value &v) { return floor(v, of); }));
        if (floors.size() > max_floors)
            return refuse(Errc::out_of_range, found.path, floors.size());
        out.floors[static_cast<std::size_t>(of)] = std::move(floors);
    }
    CVMIN_CHECK(products.finish());
    CVMIN_CHECK(object.finish());
    return out;
}

} // namespace

std::expected<std::vector<Advisory>, PolicyError> parse_advisories(ByteView text) {
    const auto json = parse_json(text, "policy");
    if (!json)
        return std::unexpected(PolicyError{json.error(), ""});
    CVMIN_TRY(root, Object::of(Value{&*json, ""}));
    CVMIN_TRY(schema_value, root.member("schema"));
    CVMIN_TRY(schema, number(schema_value, ~std::uint64_t{0}));
    if (schema != advisories_schema)
        return refuse(Errc::unsupported, schema_value.path, schema);
    CVMIN_TRY(value, root.member("advisories"));
    CVMIN_TRY(all, list(value, true, advisory));
    CVMIN_CHECK(root.finish());
    std::set<std::string, std::less<>> names; // each leads to one
    for (const Advisory &one : all) {
        bool unique = names.insert(one.id).second;
        for (const std::string &other : one.also)
            unique = names.insert(other).second && unique;
        if (!unique)
            return refuse(Errc::malformed, "advisories: " + one.id);
    }
    return all;
}

std::span<const Advisory> advisories() {
    // A file that cannot be read leaves none, and then no policy can require one: refused, and a test would see it.
    static const std::vector<Advisory> all =
        parse_advisories(embedded::bytes(embedded::advisories)).value_or(std::vector<Advisory>{});
    return all;
}

const Advisory *find_advisory(std::string_view name) {
    for (const Advisory &one : advisories())
        if (one.id == name || std::ranges::contains(one.also, name))
            return &one;
    return nullptr;
}

std::string_view name(AdvisoryState state) {
    switch (state) {
    case AdvisoryState::met:
        return "met";
    case AdvisoryState::unmet:
        return "unmet";
    case AdvisoryState::unknown:
        return "unknown";
    }
    return "unknown";
}

namespace {

void add(std::string &why, const std::string &text) {
    why += (why.empty() ? "" : ", ") + text;
}

std::string hex_word(std::uint64_t value) {
    ByteArray<8> big_endian;
    store_be(big_endian, value);
    return hex(big_endian);
}

void judge_tcbs(const Floor &floor, const SnpReport &report, Product product, std::string &why) {
    // a guest that was launched before an update keeps its launch TCB; what is not committed can be rolled back
    const std::array<std::uint64_t, tcb_kind_count> values{report.reported_tcb, report.committed_tcb, report.launch_tcb,
                                                           report.current_tcb};
    for (const TcbComponent component : all_tcb_components) {
        const auto &least = floor.tcb[static_cast<std::size_t>(component)];
        if (!least)
            continue;
        std::array<std::uint8_t, tcb_kind_count> found{};
        for (std::size_t kind = 0; kind < tcb_kind_count; ++kind)
            found[kind] = decode_tcb(product, values[kind])[component];
        const bool same = std::ranges::count(found, found[0]) == std::ssize(found);
        for (std::size_t kind = 0; kind < (same ? 1 : tcb_kind_count); ++kind)
            if (found[kind] < *least)
                add(why, (same ? "" : std::string{tcb_kind_names[kind]} + " ") + std::string{name(component)} + " " +
                             std::to_string(found[kind]) + ", wanted " + std::to_string(*least));
    }
}

template <std::size_t N>
void judge_bits(std::uint64_t value, const std::array<NamedBit, N> &bits,
                const std::array<std::optional<bool>, N> &wanted, std::string &why) {
    for (std::size_t i = 0; i < N; ++i)
        if (wanted[i] && ((value >> bits[i].bit & 1) != 0) != *wanted[i])
            add(why, std::string{bits[i].check.substr(4)} + (*wanted[i] ? " is clear" : " is set"));
}

} // namespace

AdvisoryResult judge_advisory(const Advisory &advisory, const SnpReport &report, Product product) {
    AdvisoryResult result{.advisory = &advisory, .state = AdvisoryState::unknown, .why = {}};
    const auto &floors = advisory.floors[static_cast<std::size_t>(product)];
    if (!floors) {
        result.why = "nothing is known that a report of " + std::string{name(product)} + " would show";
        return result;
    }
    // of an unknown version only the fields of version 2 are believed
    const bool known = known_report_version(report.version);
    const CpuId part{report.cpuid_family, report.cpuid_model, report.cpuid_stepping};
    bool names_parts = false, names_this_part = false;
    std::string why;
    for (const Floor &floor : *floors) {
        names_parts = names_parts || floor.cpuid;
        if (floor.cpuid && !(known && report.version >= 3 && *floor.cpuid == part))
            continue;
        names_this_part = names_this_part || floor.cpuid;
        judge_tcbs(floor, report, product, why);
        judge_bits(report.policy, guest_policy_bits, floor.guest_policy, why);
        judge_bits(report.platform_info, platform_info_bits, floor.platform_info, why);
        if (floor.current_mitigations != 0 &&
            (!known || report.version < 5 ||
             (report.current_mit_vector & floor.current_mitigations) != floor.current_mitigations))
            add(why, "the current mitigations have not all of " + hex_word(floor.current_mitigations));
    }
    if (!why.empty()) {
        result.state = AdvisoryState::unmet;
        result.why = why;
    } else if (names_parts && !names_this_part) {
        result.why = "no level is known for this part";
    } else {
        result.state = AdvisoryState::met;
    }
    return result;
}

} // namespace cvmin
