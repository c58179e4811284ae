// Reads a policy file. Strict: a relying party's typing mistake must not become a check that is not made.
#include "host-tools/appraise/policy.hpp"

#include "common/evidence.hpp"
#include "host-tools/appraise/advisories.hpp"
#include "host-tools/appraise/policy_reader.hpp"
#include "host-tools/appraise/unknown_bits.hpp"

namespace cvmin {

std::string to_string(const PolicyError &error) {
    if (!error.why.empty())
        return error.member + ": " + std::string{error.why};
    return error.member.empty() ? to_string(error.error) : error.member + ": " + to_string(error.error);
}

using namespace policy_reader;

namespace {

// A chip is named by its 64 bytes, or by the 8 that a Turin part has: CHIP_ID then is zero padded.
Parsed<ByteArray<64>> chip_id(const Value &value) {
    CVMIN_TRY(digits, text(value));
    const auto parsed = parse_hex(digits, "policy");
    if (!parsed)
        return refuse(parsed.error().code, value.path, parsed.error().detail);
    if (parsed->size() != 64 && parsed->size() != 8)
        return refuse(Errc::out_of_range, value.path, parsed->size());
    ByteArray<64> out{};
    std::ranges::copy(*parsed, out.begin());
    if (all_zero(out)) // a masked CHIP_ID is no machine: permission for it is a member of its own
        return refuse(Errc::out_of_range, value.path);
    return out;
}

Parsed<VekKind> signing_key(const Value &value) {
    CVMIN_TRY(name, text(value));
    if (name == "vcek")
        return VekKind::vcek;
    if (name == "vlek")
        return VekKind::vlek;
    return refuse(Errc::unsupported, value.path);
}

// "caller", "skip", or what must be there.
struct LaunchDigests {
    std::vector<Sha384Digest> digests;
    bool skipped = false;
};
Parsed<LaunchDigests> launch_digests(const Value &value) {
    if (value.is_skip() || value.is("caller"))
        return LaunchDigests{.digests = {}, .skipped = value.is_skip()};
    CVMIN_TRY(digests, list(value, true, bytes<48>));
    return LaunchDigests{.digests = std::move(digests), .skipped = false};
}
struct ReportData {
    std::optional<ByteArray<64>> wanted;
    bool skipped = false;
};
Parsed<ReportData> report_data(const Value &value) {
    if (value.is_skip() || value.is("caller"))
        return ReportData{.wanted = {}, .skipped = value.is_skip()};
    CVMIN_TRY(wanted, bytes<64>(value));
    return ReportData{.wanted = wanted, .skipped = false};
}

// Whether a masked CHIP_ID is let pass.
Parsed<bool> let_pass(const Value &value) {
    if (value.is_skip())
        return true;
    return boolean(value);
}

// The digest of a key. Zeros stand in every report without an ID block.
Parsed<Sha384Digest> key_digest(const Value &value) {
    CVMIN_TRY(digest, bytes<48>(value));
    if (all_zero(digest))
        return refuse(Errc::out_of_range, value.path);
    return digest;
}

Parsed<std::uint32_t> privilege_level(const Value &value) {
    CVMIN_TRY(n, number(value, 3));
    return static_cast<std::uint32_t>(n);
}

Parsed<std::string> bit_name(const Value &value) {
    CVMIN_TRY(name, text(value));
    if (!valid_unknown_bit(name))
        return refuse(Errc::unsupported, value.path);
    return name;
}

Parsed<AbiVersion> abi_version(const Value &value) {
    CVMIN_TRY(object, Object::of(value));
    CVMIN_TRY(major_value, object.member("major"));
    CVMIN_TRY(minor_value, object.member("minor"));
    CVMIN_TRY(abi_major, number(major_value, 0xff));
    CVMIN_TRY(abi_minor, number(minor_value, 0xff));
    CVMIN_CHECK(object.finish());
    return AbiVersion{static_cast<std::uint8_t>(abi_major), static_cast<std::uint8_t>(abi_minor)};
}

// Every component that the product has must be there.
Parsed<Tcb> tcb(const Value &value, Product of) {
    CVMIN_TRY(object, Object::of(value));
    Tcb out;
    for (const TcbComponent component : all_tcb_components) {
        if (!tcb_byte(of, component))
            continue;
        CVMIN_TRY(member, object.member(name(component)));
        CVMIN_TRY(level, number(member, 0xff));
        out[component] = static_cast<std::uint8_t>(level);
    }
    CVMIN_CHECK(object.finish());
    return out;
}

// Everything that is wrong, and not only the first: a policy is written by hand. What could not be read keeps its
// default, and a policy with problems is given to nobody.
using Problems = std::vector<PolicyError>;

// The value of a member of `object`, or a problem.
template <class Parse, class T>
void read(Object &object, std::string_view member, Parse parse, T &out, Problems &problems) {
    const auto value = object.member(member);
    if (!value) {
        problems.push_back(value.error());
        return;
    }
    auto parsed = parse(*value);
    if (parsed)
        out = std::move(*parsed);
    else
        problems.push_back(std::move(parsed.error()));
}

// `use` of a member that must be an object, and then no member in it that nobody asked for.
template <class Use> void read_object(Object &parent, std::string_view member, Problems &problems, Use use) {
    const auto value = parent.member(member);
    auto object = value ? Object::of(*value) : std::unexpected(value.error());
    if (!object) {
        problems.push_back(std::move(object.error()));
        return;
    }
    use(*object);
    object->finish(problems);
}

template <class Parse> auto maybe(Parse parse) {
    return [parse](const Value &value) { return skippable(value, parse); };
}
template <class Parse> auto some(Parse parse) {
    return [parse](const Value &value) { return list(value, true, parse); };
}

template <std::size_t N>
void read_bits(Object &object, const std::array<NamedBit, N> &bits, std::array<Skippable<bool>, N> &out,
               Problems &problems) {
    for (std::size_t i = 0; i < N; ++i)
        read(object, bits[i].member(), maybe(boolean), out[i], problems);
}

void read_minimum_tcb(Object &root, Policy &policy, Problems &problems) {
    read_object(root, "minimum_tcb", problems, [&](Object &products) {
        for (const Product of : policy.products)
            read_object(products, name(of), problems, [&](Object &kinds) {
                for (std::size_t kind = 0; kind < tcb_kind_count; ++kind)
                    read(kinds, tcb_kind_names[kind], maybe([of](const Value &v) { return tcb(v, of); }),
                         policy.minimum_tcb[static_cast<std::size_t>(of)][kind], problems);
            });
    });
}

// REPORT_ID_MA is all ones without a migration agent.
Parsed<ByteArray<32>> migration_report_id(const Value &value) {
    if (value.json->is_string() && *value.json == "none") {
        ByteArray<32> ones;
        ones.fill(std::byte{0xff});
        return ones;
    }
    return bytes<32>(value);
}

// false: firmware that could still be taken back is refused. There is no true: whoever does not mind says "skip".
Parsed<bool> only_false(const Value &value) {
    CVMIN_TRY(allowed, boolean(value));
    if (allowed)
        return refuse(Errc::unsupported, value.path);
    return allowed;
}

struct Revocation {
    bool wanted = false;
    std::optional<std::uint32_t> days;
};
Parsed<Revocation> revocation(const Value &value) {
    if (value.json->is_object()) {
        CVMIN_TRY(object, Object::of(value));
        CVMIN_TRY(days_value, object.member("maximum_age_days"));
        CVMIN_TRY(days, number_32(days_value));
        CVMIN_CHECK(object.finish());
        if (days == 0) // no list is ever that new
            return refuse(Errc::out_of_range, days_value.path);
        return Revocation{.wanted = true, .days = days};
    }
    CVMIN_TRY(word, text(value));
    if (word != "skip" && word != "required")
        return refuse(Errc::unsupported, value.path);
    return Revocation{.wanted = word == "required", .days = {}};
}

PolicyError demand(std::string_view member, std::string_view why) {
    return PolicyError{Error{Errc::mismatch, "policy"}, std::string{member}, why};
}

Parsed<Signer> signer(const Value &value) {
    CVMIN_TRY(object, Object::of(value));
    const auto keys = [&object](std::string_view name) -> Parsed<std::vector<Sha384Digest>> {
        CVMIN_TRY(member, object.member(name));
        CVMIN_TRY(digests, skippable(member, [](const Value &v) { return list(v, true, key_digest); }));
        return digests.value_or(std::vector<Sha384Digest>{});
    };
    Signer out;
    CVMIN_TRY(id_keys, keys("id_key_digest"));
    CVMIN_TRY(author_keys, keys("author_key_digest"));
    CVMIN_TRY(family_value, object.member("family_id"));
    CVMIN_TRY(family, skippable(family_value, bytes<16>));
    CVMIN_TRY(image_value, object.member("image_id"));
    CVMIN_TRY(image, skippable(image_value, bytes<16>));
    CVMIN_TRY(svn_value, object.member("guest_svn_minimum"));
    CVMIN_TRY(svn, number_32(svn_value));
    CVMIN_CHECK(object.finish());
    out.id_key_digests = std::move(id_keys);
    out.author_key_digests = std::move(author_keys);
    out.family_id = family;
    out.image_id = image;
    out.guest_svn_minimum = svn;
    if (out.id_key_digests.empty() && out.author_key_digests.empty())
        return std::unexpected(
            demand(value.path, "names no signer: id_key_digest and author_key_digest are both \"skip\""));
    return out;
}

// By any of its names. One that no report of an accepted product can be held against would always refuse.
Parsed<std::string> advisory_id(const Value &value, const std::vector<Product> &products) {
    CVMIN_TRY(given, text(value));
    const Advisory *advisory = find_advisory(given);
    if (advisory == nullptr)
        return std::unexpected(PolicyError{Error{Errc::unsupported, "policy"}, value.path, "no advisory of this name"});
    for (const Product of : products)
        if (!advisory->floors[static_cast<std::size_t>(of)])
            return std::unexpected(PolicyError{Error{Errc::mismatch, "policy"}, value.path,
                                               "for a product of this policy nothing is known that would show it"});
    return advisory->id;
}

// "required", or "skip" as false.
auto required_or_skip(std::string_view word) {
    return [word](const Value &value) -> Parsed<bool> {
        CVMIN_TRY(given, text(value));
        if (given != word && given != "skip")
            return refuse(Errc::unsupported, value.path);
        return given == word;
    };
}

Parsed<VtpmDemands> vtpm(const Value &value) {
    CVMIN_TRY(object, Object::of(value));
    VtpmDemands out;
    CVMIN_TRY(bank_value, object.member("bank"));
    CVMIN_TRY(bank, text(bank_value));
    if (bank != name(TpmAlg::sha256) && bank != name(TpmAlg::sha384)) // of others no image is predicted
        return refuse(Errc::unsupported, bank_value.path);
    out.bank = bank == name(TpmAlg::sha256) ? TpmAlg::sha256 : TpmAlg::sha384;
    for (const auto &[member, demanded] : {std::pair{"credential", &VtpmDemands::credential},
                                           {"ek_certificate", &VtpmDemands::ek_certificate},
                                           {"svsm", &VtpmDemands::svsm}}) {
        CVMIN_TRY(member_value, object.member(member));
        CVMIN_TRY(is, required_or_skip("required")(member_value));
        out.*demanded = is;
    }
    CVMIN_CHECK(object.finish());
    return out;
}

using PcrDemands = std::map<unsigned, std::vector<Bytes>>;
Parsed<PcrDemands> pcr_demands(const Value &value, TpmAlg bank) {
    CVMIN_TRY(object, Object::of(value));
    const auto digest = [bank](const Value &entry) -> Parsed<Bytes> {
        CVMIN_TRY(digits, text(entry));
        auto parsed = parse_hex(digits, "policy");
        if (!parsed)
            return refuse(parsed.error().code, entry.path, parsed.error().detail);
        if (parsed->size() != digest_size(bank))
            return refuse(Errc::out_of_range, entry.path, parsed->size());
        return std::move(*parsed);
    };
    PcrDemands out;
    for (unsigned pcr = 0; pcr < pcr_count; ++pcr) {
        const auto member = object.optional_member(std::to_string(pcr));
        if (!member)
            continue;
        if (member->json->is_array()) {
            CVMIN_TRY(values, list(*member, true, digest));
            out[pcr] = std::move(values);
        } else {
            CVMIN_TRY(one, digest(*member));
            out[pcr] = {std::move(one)};
        }
    }
    CVMIN_CHECK(object.finish());
    if (out.empty()) // nothing is demanded: then it is "skip"
        return refuse(Errc::out_of_range, value.path);
    return out;
}

Parsed<std::vector<std::string>> runtime_log(const Value &value) {
    CVMIN_TRY(object, Object::of(value));
    CVMIN_TRY(refused_value, object.member("refuse"));
    CVMIN_TRY(refused, list(refused_value, false, [](const Value &entry) -> Parsed<std::string> {
                  CVMIN_TRY(kind, text(entry));
                  if (!valid_runtime_refusal(kind))
                      return refuse(Errc::unsupported, entry.path);
                  return kind;
              }));
    CVMIN_CHECK(object.finish());
    return refused;
}

Parsed<AllowedFile> allowed_file(const Value &value) {
    CVMIN_TRY(object, Object::of(value));
    CVMIN_TRY(digest_value, object.member("sha256"));
    CVMIN_TRY(digest, bytes<32>(digest_value));
    CVMIN_TRY(path_value, object.member("path"));
    CVMIN_TRY(path, skippable(path_value, text));
    if (path && !path->starts_with('/'))
        return refuse(Errc::malformed, path_value.path);
    CVMIN_CHECK(object.finish());
    return AllowedFile{.digest = digest, .path = path};
}
Parsed<std::vector<AllowedFile>> ima(const Value &value) {
    CVMIN_TRY(object, Object::of(value));
    CVMIN_TRY(allowed_value, object.member("allowed"));
    CVMIN_TRY(allowed, list(allowed_value, false, allowed_file));
    CVMIN_CHECK(object.finish());
    return allowed;
}

// Demands that a hostile host can meet as they stand: worse than "skip", because a verdict would call them passed.
void check_meaning(const Policy &policy, Problems &problems) {
    const std::pair<std::string_view, bool> id_block[] = {
        {"family_id", policy.family_id.has_value()},
        {"image_id", policy.image_id.has_value()},
        {"guest_svn_minimum", policy.guest_svn_minimum.has_value()},
    };
    for (const auto &[member, demanded] : id_block)
        if (demanded && !id_block_is_vouched_for(policy))
            problems.push_back(demand(member,
                                      "proves nothing while id_key_digest and author_key_digest are both \"skip\": "
                                      "the host can sign an ID block of its own"));
    const std::pair<std::string_view, bool> by_quote[] = {{"pcrs", policy.pcrs.has_value()},
                                                          {"event_log", policy.event_log},
                                                          {"boot_events", policy.boot_events},
                                                          {"ima", policy.ima.has_value()}};
    for (const auto &[member, demanded] : by_quote)
        if (demanded && !policy.vtpm)
            problems.push_back(demand(member, "proves nothing while vtpm is \"skip\": no quote is looked at"));
    if (policy.boot_events && policy.vtpm && !policy.event_log)
        problems.push_back(
            demand("boot_events", "proves nothing while event_log is \"skip\": the events may be anybody's"));
    if (policy.ima && policy.vtpm && policy.vtpm->bank != TpmAlg::sha256)
        problems.push_back(demand("ima",
                                  "cannot hold while vtpm.bank is not sha256: our kernel's boot_aggregate is over "
                                  "that bank"));
    if (std::ranges::contains(policy.signing_keys, VekKind::vlek) && policy.chip_ids)
        problems.push_back(demand("chip_id", "is a list while signing_key has vlek: a VLEK vouches for no chip"));
}

Policy read_policy(const Json &json, Problems &problems) {
    Policy policy;
    auto object = Object::of(Value{&json, ""});
    if (!object) {
        problems.push_back(std::move(object.error()));
        return policy;
    }
    Object &root = *object;
    const auto take = [&](std::string_view member, auto parse, auto &out) { read(root, member, parse, out, problems); };

    std::uint64_t schema = policy_schema;
    take("schema", [](const Value &value) { return number(value, ~std::uint64_t{0}); }, schema);
    if (schema != policy_schema) { // the rest would be read under another meaning
        problems.push_back(refuse(Errc::unsupported, "schema", schema).error());
        return policy;
    }
    take("product", some(product), policy.products);
    take("report_versions", some(number_32), policy.report_versions);
    take("signing_key", some(signing_key), policy.signing_keys);
    LaunchDigests digests;
    take("measurement", launch_digests, digests);
    policy.measurements = std::move(digests.digests);
    policy.any_measurement = digests.skipped;
    ReportData data;
    take("report_data", report_data, data);
    policy.report_data = data.wanted;
    policy.any_report_data = data.skipped;
    read_object(root, "guest_policy", problems, [&](Object &bits) {
        read_bits(bits, guest_policy_bits, policy.guest_policy, problems);
        read(bits, "abi_minimum", maybe(abi_version), policy.abi_minimum, problems);
    });
    take("vmpl", maybe(privilege_level), policy.vmpl);
    take("host_data", maybe(bytes<32>), policy.host_data);
    take("report_id", maybe(bytes<32>), policy.report_id);
    take("report_id_ma", maybe(migration_report_id), policy.report_id_ma);
    take("chip_id", maybe(some(chip_id)), policy.chip_ids);
    take("masked_chip_id", let_pass, policy.masked_chip_id);
    take("csp_id", maybe(some(text)), policy.csp_ids);
    take("family_id", maybe(bytes<16>), policy.family_id);
    take("image_id", maybe(bytes<16>), policy.image_id);
    take("guest_svn_minimum", maybe(number_32), policy.guest_svn_minimum);
    take("id_key_digest", maybe(bytes<48>), policy.id_key_digest);
    take("author_key_digest", maybe(bytes<48>), policy.author_key_digest);
    if (const auto value = root.optional_member("signer")) {
        if (auto parsed = signer(*value))
            policy.signer = std::move(*parsed);
        else
            problems.push_back(std::move(parsed.error()));
    }
    take("require", maybe(some([&policy](const Value &value) { return advisory_id(value, policy.products); })),
         policy.advisories);
    read_minimum_tcb(root, policy, problems);
    Skippable<bool> provisional;
    take("provisional_firmware", maybe(only_false), provisional);
    policy.provisional_firmware = !provisional;
    read_object(root, "platform_info", problems,
                [&](Object &bits) { read_bits(bits, platform_info_bits, policy.platform_info, problems); });
    read_object(root, "mitigation_vector", problems, [&](Object &vectors) {
        read(vectors, "launch", maybe(mask), policy.launch_mitigations, problems);
        read(vectors, "current", maybe(mask), policy.current_mitigations, problems);
    });
    take(
        "allowed_unknown_bits", [](const Value &value) { return list(value, false, bit_name); },
        policy.allowed_unknown_bits);
    Revocation lists;
    take("revocation", revocation, lists);
    policy.revocation = lists.wanted;
    policy.crl_maximum_age_days = lists.days;
    take("manifest", maybe(bytes<32>), policy.manifest);
    take("ak", maybe(bytes<32>), policy.ak);
    take("vtpm", maybe(vtpm), policy.vtpm);
    const TpmAlg bank = policy.vtpm ? policy.vtpm->bank : TpmAlg::sha256;
    take("pcrs", maybe([bank](const Value &value) { return pcr_demands(value, bank); }), policy.pcrs);
    take("event_log", required_or_skip("required"), policy.event_log);
    take("boot_events", required_or_skip("image"), policy.boot_events);
    take("runtime_log", maybe(runtime_log), policy.runtime_log);
    take("ima", maybe(ima), policy.ima);
    root.finish(problems);
    if (problems.empty()) // else it would speak of what the file does not say
        check_meaning(policy, problems);
    return policy;
}

} // namespace

std::expected<Policy, std::vector<PolicyError>> check_policy(ByteView text) {
    const auto json = parse_json(text, "policy");
    if (!json)
        return std::unexpected(Problems{PolicyError{json.error(), ""}});
    Problems problems;
    Policy policy = read_policy(*json, problems);
    if (!problems.empty())
        return std::unexpected(std::move(problems));
    policy.digest = sha256(text);
    return policy;
}

std::expected<Policy, PolicyError> parse_policy(ByteView text) {
    auto policy = check_policy(text);
    if (!policy)
        return std::unexpected(std::move(policy.error().front()));
    return std::move(*policy);
}

} // namespace cvmin
