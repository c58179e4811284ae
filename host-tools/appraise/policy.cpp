// Reads a policy file. Strict: a relying party's typing mistake must not become a check that is not made.
#include "host-tools/appraise/policy.hpp"

#include "host-tools/appraise/unknown_bits.hpp"

#include <set>

namespace cvmin {

std::string to_string(const PolicyError &error) {
    if (!error.why.empty())
        return error.member + ": " + std::string{error.why};
    return error.member.empty() ? to_string(error.error) : error.member + ": " + to_string(error.error);
}

namespace {

template <class T> using Parsed = std::expected<T, PolicyError>;

std::unexpected<PolicyError> refuse(Errc code, std::string member, std::uint64_t detail = 0) {
    return std::unexpected(PolicyError{Error{code, "policy", detail}, std::move(member)});
}

// A member's value with its path, for error messages.
struct Value {
    const Json *json;
    std::string path;

    bool is_skip() const { return json->is_string() && json->get_ref<const std::string &>() == "skip"; }
};

// Reads the members of an object; finish() refuses those that nobody asked for.
class Object {
  public:
    static Parsed<Object> of(Value value) {
        if (!value.json->is_object())
            return refuse(Errc::malformed, value.path);
        return Object{std::move(value)};
    }
    Parsed<Value> member(std::string_view name) {
        read_.emplace(name);
        const auto found = value_.json->find(std::string{name});
        if (found == value_.json->end())
            return refuse(Errc::missing, path(name));
        return Value{&*found, path(name)};
    }
    std::optional<Value> optional_member(std::string_view name) {
        read_.emplace(name);
        const auto found = value_.json->find(std::string{name});
        if (found == value_.json->end())
            return std::nullopt;
        return Value{&*found, path(name)};
    }
    Parsed<void> finish() const {
        for (const auto &[name, value] : value_.json->items()) {
            if (name == "comment" ? !value.is_string() : !read_.contains(name))
                return refuse(Errc::malformed, path(name));
        }
        return {};
    }
    std::string path(std::string_view name) const {
        return value_.path.empty() ? std::string{name} : value_.path + '.' + std::string{name};
    }

  private:
    explicit Object(Value value) : value_(std::move(value)) {}
    Value value_;
    std::set<std::string, std::less<>> read_;
};

Parsed<std::uint64_t> number(const Value &value, std::uint64_t limit) {
    if (!value.json->is_number_unsigned())
        return refuse(Errc::malformed, value.path);
    const auto n = value.json->get<std::uint64_t>();
    if (n > limit)
        return refuse(Errc::out_of_range, value.path, n);
    return n;
}

Parsed<bool> boolean(const Value &value) {
    if (!value.json->is_boolean())
        return refuse(Errc::malformed, value.path);
    return value.json->get<bool>();
}

Parsed<std::string> text(const Value &value) {
    if (!value.json->is_string())
        return refuse(Errc::malformed, value.path);
    return value.json->get<std::string>();
}

template <std::size_t N> Parsed<ByteArray<N>> bytes(const Value &value) {
    CVMIN_TRY(digits, text(value));
    const auto parsed = parse_hex_exactly<N>(digits, "policy");
    if (!parsed)
        return refuse(parsed.error().code, value.path, parsed.error().detail);
    return *parsed;
}

// A number of 64 bits as hex text: JSON numbers lose bits in other people's tools.
Parsed<std::uint64_t> mask(const Value &value) {
    CVMIN_TRY(big_endian, bytes<8>(value));
    return load_be(big_endian);
}

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

Parsed<Product> product(const Value &value) {
    CVMIN_TRY(name, text(value));
    const auto found = product_by_name(name);
    if (!found)
        return refuse(Errc::unsupported, value.path);
    return *found;
}

Parsed<VekKind> signing_key(const Value &value) {
    CVMIN_TRY(name, text(value));
    if (name == "vcek")
        return VekKind::vcek;
    if (name == "vlek")
        return VekKind::vlek;
    return refuse(Errc::unsupported, value.path);
}

Parsed<std::uint32_t> number_32(const Value &value) {
    CVMIN_TRY(n, number(value, 0xffffffff));
    return static_cast<std::uint32_t>(n);
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

// `parse` of each entry. An empty list would allow nothing: it is a mistake where `empty_is_an_error`.
template <class Parse>
auto list(const Value &value, bool empty_is_an_error, Parse parse)
    -> Parsed<std::vector<typename decltype(parse(value))::value_type>> {
    if (!value.json->is_array())
        return refuse(Errc::malformed, value.path);
    if (value.json->size() > max_policy_list || (empty_is_an_error && value.json->empty()))
        return refuse(Errc::out_of_range, value.path, value.json->size());
    std::vector<typename decltype(parse(value))::value_type> out;
    for (std::size_t i = 0; i < value.json->size(); ++i) {
        CVMIN_TRY(entry, parse(Value{&(*value.json)[i], value.path + '[' + std::to_string(i) + ']'}));
        out.push_back(std::move(entry));
    }
    return out;
}

template <class Parse>
auto skippable(const Value &value, Parse parse) -> Parsed<Skippable<typename decltype(parse(value))::value_type>> {
    if (value.is_skip())
        return std::nullopt;
    CVMIN_TRY(parsed, parse(value));
    return parsed;
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

template <std::size_t N>
Parsed<std::array<Skippable<bool>, N>> named_bits(Object &object, const std::array<NamedBit, N> &bits) {
    std::array<Skippable<bool>, N> out;
    for (std::size_t i = 0; i < N; ++i) {
        CVMIN_TRY(member, object.member(bits[i].member()));
        CVMIN_TRY(wanted, skippable(member, boolean));
        out[i] = wanted;
    }
    return out;
}

Parsed<void> read_minimum_tcb(const Value &value, Policy &policy) {
    CVMIN_TRY(products, Object::of(value));
    for (const Product of : policy.products) {
        CVMIN_TRY(by_product, products.member(name(of)));
        CVMIN_TRY(kinds, Object::of(by_product));
        for (std::size_t kind = 0; kind < tcb_kind_count; ++kind) {
            CVMIN_TRY(member, kinds.member(tcb_kind_names[kind]));
            CVMIN_TRY(minimum, skippable(member, [of](const Value &v) { return tcb(v, of); }));
            policy.minimum_tcb[static_cast<std::size_t>(of)][kind] = minimum;
        }
        CVMIN_CHECK(kinds.finish());
    }
    return products.finish();
}

std::unexpected<PolicyError> proves_nothing(std::string_view member, std::string_view why) {
    return std::unexpected(PolicyError{Error{Errc::mismatch, "policy"}, std::string{member}, why});
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
        return proves_nothing(value.path, "names no signer: id_key_digest and author_key_digest are both \"skip\"");
    return out;
}

// Demands that a hostile host can meet as they stand: worse than "skip", because a verdict would call them passed.
Parsed<void> check_meaning(const Policy &policy) {
    const std::pair<std::string_view, bool> id_block[] = {
        {"family_id", policy.family_id.has_value()},
        {"image_id", policy.image_id.has_value()},
        {"guest_svn_minimum", policy.guest_svn_minimum.has_value()},
    };
    for (const auto &[member, demanded] : id_block)
        if (demanded && !id_block_is_vouched_for(policy))
            return proves_nothing(member, "proves nothing while id_key_digest and author_key_digest are both \"skip\": "
                                          "the host can sign an ID block of its own");
    if (std::ranges::contains(policy.signing_keys, VekKind::vlek)) {
        if (!policy.csp_ids)
            return proves_nothing("csp_id",
                                  "is \"skip\" while signing_key has vlek: the VLEK of any provider would pass");
        if (policy.chip_ids)
            return proves_nothing("chip_id", "is a list while signing_key has vlek: a VLEK vouches for no chip");
    }
    return {};
}

Parsed<Policy> read_policy(const Json &json) {
    CVMIN_TRY(root, Object::of(Value{&json, ""}));
    Policy policy;

    CVMIN_TRY(schema_value, root.member("schema"));
    CVMIN_TRY(schema, number(schema_value, ~std::uint64_t{0}));
    if (schema != policy_schema)
        return refuse(Errc::unsupported, schema_value.path, schema);

    const auto read = [&root](std::string_view member, auto parse, auto &out) -> Parsed<void> {
        CVMIN_TRY(value, root.member(member));
        CVMIN_TRY(parsed, parse(value));
        out = std::move(parsed);
        return {};
    };
    const auto maybe = [](auto parse) { return [parse](const Value &value) { return skippable(value, parse); }; };
    const auto some = [](auto parse) { return [parse](const Value &value) { return list(value, true, parse); }; };

    CVMIN_CHECK(read("product", some(product), policy.products));
    CVMIN_CHECK(read("report_versions", some(number_32), policy.report_versions));
    CVMIN_CHECK(read("signing_key", some(signing_key), policy.signing_keys));
    {
        CVMIN_TRY(value, root.member("guest_policy"));
        CVMIN_TRY(object, Object::of(value));
        CVMIN_TRY(bits, named_bits(object, guest_policy_bits));
        policy.guest_policy = bits;
        CVMIN_TRY(abi_value, object.member("abi_minimum"));
        CVMIN_TRY(abi, skippable(abi_value, abi_version));
        policy.abi_minimum = abi;
        CVMIN_CHECK(object.finish());
    }
    CVMIN_CHECK(read("vmpl", privilege_level, policy.vmpl));
    CVMIN_CHECK(read("host_data", maybe(bytes<32>), policy.host_data));
    CVMIN_CHECK(read("chip_id", maybe(some(chip_id)), policy.chip_ids));
    CVMIN_CHECK(read("masked_chip_id", boolean, policy.masked_chip_id));
    CVMIN_CHECK(read("csp_id", maybe(some(text)), policy.csp_ids));
    CVMIN_CHECK(read("family_id", maybe(bytes<16>), policy.family_id));
    CVMIN_CHECK(read("image_id", maybe(bytes<16>), policy.image_id));
    CVMIN_CHECK(read("guest_svn_minimum", maybe(number_32), policy.guest_svn_minimum));
    CVMIN_CHECK(read("id_key_digest", maybe(bytes<48>), policy.id_key_digest));
    CVMIN_CHECK(read("author_key_digest", maybe(bytes<48>), policy.author_key_digest));
    if (const auto value = root.optional_member("signer")) {
        CVMIN_TRY(parsed, signer(*value));
        policy.signer = std::move(parsed);
    }
    {
        CVMIN_TRY(value, root.member("minimum_tcb"));
        CVMIN_CHECK(read_minimum_tcb(value, policy));
    }
    {
        CVMIN_TRY(value, root.member("platform_info"));
        CVMIN_TRY(object, Object::of(value));
        CVMIN_TRY(bits, named_bits(object, platform_info_bits));
        policy.platform_info = bits;
        CVMIN_CHECK(object.finish());
    }
    {
        CVMIN_TRY(value, root.member("mitigation_vector"));
        CVMIN_TRY(object, Object::of(value));
        CVMIN_TRY(launch_value, object.member("launch"));
        CVMIN_TRY(launch, skippable(launch_value, mask));
        policy.launch_mitigations = launch;
        CVMIN_TRY(current_value, object.member("current"));
        CVMIN_TRY(current, skippable(current_value, mask));
        policy.current_mitigations = current;
        CVMIN_CHECK(object.finish());
    }
    CVMIN_CHECK(read(
        "allowed_unknown_bits", [](const Value &value) { return list(value, false, bit_name); },
        policy.allowed_unknown_bits));
    {
        CVMIN_TRY(value, root.member("revocation"));
        if (value.json->is_object()) {
            CVMIN_TRY(object, Object::of(value));
            CVMIN_TRY(days_value, object.member("maximum_age_days"));
            CVMIN_TRY(days, number_32(days_value));
            CVMIN_CHECK(object.finish());
            if (days == 0) // no list is ever that new
                return refuse(Errc::out_of_range, days_value.path);
            policy.revocation = true;
            policy.crl_maximum_age_days = days;
        } else {
            CVMIN_TRY(word, text(value));
            if (word != "skip" && word != "required")
                return refuse(Errc::unsupported, value.path);
            policy.revocation = word == "required";
        }
    }
    CVMIN_CHECK(read("manifest", maybe(bytes<32>), policy.manifest));
    // this version has nothing to compare these claims with, so asking for it is refused and not ignored
    for (const std::string_view member : {"runtime_log", "ak"}) {
        CVMIN_TRY(value, root.member(member));
        if (!value.is_skip())
            return refuse(Errc::unsupported, value.path);
    }
    CVMIN_CHECK(root.finish());
    CVMIN_CHECK(check_meaning(policy));
    return policy;
}

} // namespace

std::expected<Policy, PolicyError> parse_policy(ByteView text) {
    const auto json = parse_json(text, "policy");
    if (!json)
        return std::unexpected(PolicyError{json.error(), ""});
    auto policy = read_policy(*json);
    if (policy)
        policy->digest = sha256(text);
    return policy;
}

} // namespace cvmin
