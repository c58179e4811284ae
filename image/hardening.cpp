#include "image/hardening.hpp"

#include <map>
#include <set>

namespace cvmin {

static std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    for (std::size_t at = 0; (at = text.find_first_not_of(" \t", at)) != std::string_view::npos;) {
        const std::size_t end = std::min(text.find_first_of(" \t", at), text.size());
        words.emplace_back(text.substr(at, end - at));
        at = end;
    }
    return words;
}

// Calls `use` with each line and its number, until it gives an error.
template <class Use> static Result<void> each_line(std::string_view text, Use use) {
    std::uint64_t number = 0;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        if (auto done = use(text.substr(at, end - at), ++number); !done)
            return done;
        at = end + 1;
    }
    return {};
}

Result<std::vector<Recommendation>> parse_recommendations(ByteView text) {
    std::vector<Recommendation> list;
    std::set<std::string> names;
    auto done = each_line(as_text(text), [&](std::string_view line, std::uint64_t number) -> Result<void> {
        const std::size_t hash = std::min(line.find('#'), line.size());
        std::vector<std::string> words = words_of(line.substr(0, hash));
        if (words.empty())
            return {};
        const std::vector<std::string> why = words_of(line.substr(std::min(hash + 1, line.size())));
        std::string reason;
        for (const std::string &word : why)
            reason += (reason.empty() ? "" : " ") + word;
        if (reason == "the same" && !list.empty())
            reason = list.back().reason;
        const bool sysctl = words[0] == "sysctl";
        if (words.size() != (sysctl ? 5 : 4) || (hash < line.size() && reason.empty()) || (sysctl && reason.empty()))
            return fail(Errc::malformed, "hardening", number);
        if (list.size() == max_audit_entries)
            return fail(Errc::too_large, "hardening", max_audit_entries);
        if (!names.insert(words[0] + " " + words[1]).second)
            return fail(Errc::mismatch, "hardening", number);
        Recommendation one{words[0], words[1], words[2], words[3], sysctl ? words[4] : "", std::move(reason)};
        Recommendation filled = one;
        filled.ours = "n"; // not known yet
        if (!valid(filled))
            return fail(Errc::malformed, "hardening", number);
        list.push_back(std::move(one));
        return {};
    });
    if (!done)
        return std::unexpected(done.error());
    return list;
}

Explained<void> hold_recommendations(std::vector<Recommendation> &list, ByteView config,
                                     std::span<const CommandLineParameter> parameters) {
    std::map<std::string, std::string, std::less<>> options, line;
    (void)each_line(as_text(config), [&](std::string_view text, std::uint64_t) -> Result<void> {
        static constexpr std::string_view prefix = "CONFIG_";
        const std::size_t equals = text.find('=');
        if (text.starts_with(prefix) && equals != std::string_view::npos)
            options[std::string{text.substr(prefix.size(), equals - prefix.size())}] = text.substr(equals + 1);
        return {};
    });
    for (const CommandLineParameter &parameter : parameters) { // the last one of a name holds
        const std::size_t equals = parameter.text.find('=');
        line[parameter.text.substr(0, equals)] =
            equals == std::string::npos ? "set" : parameter.text.substr(equals + 1);
    }
    std::string wrong;
    for (Recommendation &one : list) {
        if (one.kind != "sysctl") {
            const auto &values = one.kind == "config" ? options : line;
            const auto found = values.find(one.name);
            one.ours = found != values.end() ? found->second : one.kind == "config" ? "n" : "absent";
        }
        const std::string what = one.kind + " " + one.name;
        if (!followed(one) && one.reason.empty())
            wrong +=
                "; " + what + " is " + one.ours + ", and no reason says why not " + one.wanted + " (" + one.by + ")";
        else if (followed(one) && !one.reason.empty() && one.kind != "sysctl")
            wrong += "; " + what + " is " + one.wanted + " as recommended, but a reason says why not";
    }
    if (!wrong.empty())
        return explain(Errc::mismatch, wrong.substr(2));
    return {};
}

} // namespace cvmin
