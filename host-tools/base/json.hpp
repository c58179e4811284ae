// JSON by nlohmann/json, with its exceptions kept inside: parsing gives a Result, members are asked for by type.
#pragma once

#include "common/bytes.hpp"

#include <nlohmann/json.hpp>

namespace cvmin {

using Json = nlohmann::ordered_json; // members stay in the order in which they are documented

inline constexpr std::size_t max_json_size =
    1u << 20; // our largest file, image.json with all reference values, is under 300 KiB
inline constexpr int max_json_depth = 32;

// malformed (also two members of one name in one object), too_large (bytes or depth).
Result<Json> parse_json(ByteView text, std::string_view where);

// A member that must be there. missing; malformed: of another type.
Result<std::string> json_string(const Json &object, const char *member, std::string_view where);
Result<std::uint64_t> json_unsigned(const Json &object, const char *member, std::string_view where);
Result<Json> json_object(const Json &object, const char *member, std::string_view where);

} // namespace cvmin
