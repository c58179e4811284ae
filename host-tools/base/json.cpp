#include "host-tools/base/json.hpp"

namespace cvmin {

Result<Json> parse_json(ByteView text, std::string_view where) {
    if (text.size() > max_json_size)
        return fail(Errc::too_large, where, text.size());
    bool too_deep = false;
    auto limit_depth = [&](int depth, Json::parse_event_t, Json &) {
        too_deep = too_deep || depth > max_json_depth;
        return !too_deep;
    };
    const std::string_view view = as_text(text);
    Json json = Json::parse(view.begin(), view.end(), limit_depth, false);
    if (too_deep)
        return fail(Errc::too_large, where);
    if (json.is_discarded())
        return fail(Errc::malformed, where);
    return json;
}

static Result<const Json *> member_of(const Json &object, const char *member, std::string_view where) {
    if (!object.is_object())
        return fail(Errc::malformed, where);
    const auto found = object.find(member);
    if (found == object.end())
        return fail(Errc::missing, where);
    return &*found;
}

Result<std::string> json_string(const Json &object, const char *member, std::string_view where) {
    CVMIN_TRY(value, member_of(object, member, where));
    if (!value->is_string())
        return fail(Errc::malformed, where);
    return value->get<std::string>();
}

Result<std::uint64_t> json_unsigned(const Json &object, const char *member, std::string_view where) {
    CVMIN_TRY(value, member_of(object, member, where));
    if (!value->is_number_unsigned())
        return fail(Errc::malformed, where);
    return value->get<std::uint64_t>();
}

Result<Json> json_object(const Json &object, const char *member, std::string_view where) {
    CVMIN_TRY(value, member_of(object, member, where));
    if (!value->is_object())
        return fail(Errc::malformed, where);
    return *value;
}

} // namespace cvmin
