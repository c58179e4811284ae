// Members of a JSON object by type, with the path of each for error messages; what nobody asked for is refused. For the
// files that a relying party decides by: policies and advisories.
#pragma once

#include "host-tools/appraise/policy.hpp"

#include <set>

namespace cvmin::policy_reader {

template <class T> using Parsed = std::expected<T, PolicyError>;

inline std::unexpected<PolicyError> refuse(Errc code, std::string member, std::uint64_t detail = 0) {
    return std::unexpected(PolicyError{Error{code, "policy", detail}, std::move(member)});
}

// A member's value with its path, for error messages.
struct Value {
    const Json *json;
    std::string path;

    bool is(std::string_view word) const { return json->is_string() && json->get_ref<const std::string &>() == word; }
    bool is_skip() const { return is("skip"); }
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
        std::vector<PolicyError> problems;
        finish(problems);
        if (!problems.empty())
            return std::unexpected(std::move(problems.front()));
        return {};
    }
    void finish(std::vector<PolicyError> &problems) const {
        for (const auto &[name, value] : value_.json->items())
            if (name == "comment" ? !value.is_string() : !read_.contains(name))
                problems.push_back(refuse(Errc::malformed, path(name)).error());
    }
    std::string path(std::string_view name) const {
        return value_.path.empty() ? std::string{name} : value_.path + '.' + std::string{name};
    }

  private:
    explicit Object(Value value) : value_(std::move(value)) {}
    Value value_;
    std::set<std::string, std::less<>> read_;
};

inline Parsed<std::uint64_t> number(const Value &value, std::uint64_t limit) {
    if (!value.json->is_number_unsigned())
        return refuse(Errc::malformed, value.path);
    const auto n = value.json->get<std::uint64_t>();
    if (n > limit)
        return refuse(Errc::out_of_range, value.path, n);
    return n;
}

inline Parsed<bool> boolean(const Value &value) {
    if (!value.json->is_boolean())
        return refuse(Errc::malformed, value.path);
    return value.json->get<bool>();
}

inline Parsed<std::string> text(const Value &value) {
    if (!value.json->is_string())
        return refuse(Errc::malformed, value.path);
    return value.json->get<std::string>();
}

template <std::size_t N> inline Parsed<ByteArray<N>> bytes(const Value &value) {
    CVMIN_TRY(digits, text(value));
    const auto parsed = parse_hex_exactly<N>(digits, "policy");
    if (!parsed)
        return refuse(parsed.error().code, value.path, parsed.error().detail);
    return *parsed;
}

// A number of 64 bits as hex text: JSON numbers lose bits in other people's tools.
inline Parsed<std::uint64_t> mask(const Value &value) {
    CVMIN_TRY(big_endian, bytes<8>(value));
    return load_be(big_endian);
}

inline Parsed<std::uint32_t> number_32(const Value &value) {
    CVMIN_TRY(n, number(value, 0xffffffff));
    return static_cast<std::uint32_t>(n);
}

inline Parsed<Product> product(const Value &value) {
    CVMIN_TRY(name, text(value));
    const auto found = product_by_name(name);
    if (!found)
        return refuse(Errc::unsupported, value.path);
    return *found;
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

} // namespace cvmin::policy_reader
