#include "host-tools/base/json.hpp"

#include <set>

namespace cvmin {

Result<Json> parse_json(ByteView text, std::string_view where) {
    if (text.size() > max_json_size)
        return fail(Errc::too_large, where, text.size());
    bool too_deep = false;
    bool doubled =
        false; // the library keeps the last of two members of one name: readers would disagree on which counts
    std::vector<std::set<std::string, std::less<>>> members;
    auto watch = [&](int depth, Json::parse_event_t event, Json &parsed) {
        too_deep = too_deep || depth > max_json_depth;
        if (event == Json::parse_event_t::object_start)
            members.emplace_back();
        else if (event == Json::parse_event_t::object_end && !members.empty())
            members.pop_back();
        else if (event == Json::parse_event_t::key && !members.empty())
            doubled = doubled || !members.back().insert(parsed.get<std::string>()).second;
        return !too_deep;
    };
    const std::string_view view = as_text(text);
    Json json = Json::parse(view.begin(), view.end(), watch, false);
    if (too_deep)
        return fail(Errc::too_large, where);
    if (json.is_discarded() || doubled)
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
