#include "image/image_audit.hpp"

#include <set>

namespace cvmin {

static constexpr std::string_view kind = "cvmin-image-audit";
static constexpr std::string_view base_configuration = "allnoconfig";
static constexpr std::string_view origins[] = {"asked", "selected", "default"};
static constexpr std::string_view recommendation_kinds[] = {"config", "cmdline", "sysctl"};
static constexpr std::string_view image_parts[] = {"kernel", "agent", "firmware", "-"};

// One line of text for people: what is in a commented file may be any UTF-8, but no control character.
static bool plain(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != 0x7f; });
}

static bool valid_option_name(std::string_view name) {
    return !name.empty() && std::ranges::all_of(name, [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
}

static bool valid(const KernelOption &option) {
    return valid_option_name(option.name) && !option.value.empty() && !option.base.empty() && !option.reason.empty() &&
           std::ranges::contains(origins, option.origin) && plain(option.value) && plain(option.base) &&
           plain(option.reason);
}

bool valid(const Recommendation &one) {
    const auto word = [](const std::string &text) { return !text.empty() && plain(text); };
    return std::ranges::contains(recommendation_kinds, one.kind) && word(one.name) && word(one.wanted) &&
           word(one.by) && word(one.ours) && plain(one.reason);
}

bool followed(const Recommendation &one) {
    if (one.kind == "cmdline" && one.wanted == "not-off")
        return one.ours != "off";
    return one.ours == one.wanted;
}

static std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        lines.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return lines;
}

static std::string_view trimmed(std::string_view text) {
    static constexpr std::string_view blanks = " \t\r";
    const std::size_t first = text.find_first_not_of(blanks);
    return first == std::string_view::npos ? std::string_view{}
                                           : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

Result<std::vector<KernelOption>> parse_kernel_options(ByteView text) {
    std::vector<KernelOption> options;
    for (const std::string_view line : lines_of(as_text(text))) {
        std::array<std::string, 5> field;
        std::size_t at = 0;
        for (std::size_t i = 0; i < field.size(); ++i) {
            const std::size_t end = i + 1 < field.size() ? line.find('\t', at) : line.size();
            if (end == std::string_view::npos)
                return fail(Errc::malformed, "kernel options", options.size() + 1);
            field[i] = line.substr(at, end - at);
            at = end + 1;
        }
        KernelOption option{field[0], field[1], field[2], field[3], field[4]};
        if (!valid(option) || (!options.empty() && options.back().name >= option.name))
            return fail(Errc::malformed, "kernel options", options.size() + 1);
        if (options.size() == max_audit_entries)
            return fail(Errc::too_large, "kernel options", max_audit_entries);
        options.push_back(std::move(option));
    }
    return options;
}

Result<std::vector<SourceLicence>> parse_licences(ByteView text) {
    std::vector<SourceLicence> licences;
    std::set<std::string> names;
    std::uint64_t number = 0;
    for (const std::string_view raw : lines_of(as_text(text))) {
        ++number;
        const std::string_view line = trimmed(raw);
        if (line.empty() || line.starts_with('#'))
            continue;
        const std::size_t first = line.find(' ');
        const std::size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
        if (second == std::string_view::npos || !plain(line))
            return fail(Errc::malformed, "licences", number);
        SourceLicence licence{std::string{line.substr(0, first)}, "",
                              std::string{line.substr(first + 1, second - first - 1)},
                              std::string{trimmed(line.substr(second))}};
        if (!std::ranges::contains(image_parts, licence.part))
            return fail(Errc::malformed, "licences", number);
        if (!names.insert(licence.name).second)
            return fail(Errc::mismatch, "licences", number);
        licences.push_back(std::move(licence));
    }
    return licences;
}

Result<std::vector<CommandLineParameter>> parse_commented_parameters(ByteView text) {
    std::vector<CommandLineParameter> parameters;
    std::uint64_t number = 0;
    for (const std::string_view line : lines_of(as_text(text))) {
        ++number;
        const std::size_t hash = std::min(line.find('#'), line.size());
        const std::string_view parameter = trimmed(line.substr(0, hash));
        if (parameter.empty())
            continue;
        std::string_view reason = hash < line.size() ? trimmed(line.substr(hash + 1)) : std::string_view{};
        if (reason == "the same" && !parameters.empty())
            reason = parameters.back().reason;
        if (reason.empty() || !plain(parameter) || !plain(reason))
            return fail(Errc::malformed, "cmdline", number);
        std::string copy{reason}; // push_back may move what `reason` looks at
        parameters.push_back({std::string{parameter}, std::move(copy)});
    }
    return parameters;
}

// ---- JSON --------------------------------------------------------------------------------------------------------

// An object with exactly these members, all of them text.
static Result<std::vector<std::string>> texts_of(const Json &object, std::span<const char *const> members,
                                                 std::string_view where) {
    if (!object.is_object() || object.size() != members.size())
        return fail(Errc::malformed, where);
    std::vector<std::string> out;
    for (const char *member : members) {
        CVMIN_TRY(text, json_string(object, member, where));
        if (!plain(text))
            return fail(Errc::malformed, where);
        out.push_back(std::move(text));
    }
    return out;
}

static Result<Json> array_of(const Json &object, const char *member, std::string_view where) {
    if (!object.contains(member))
        return fail(Errc::missing, where);
    const Json &array = object[member];
    if (!array.is_array())
        return fail(Errc::malformed, where);
    if (array.size() > max_audit_entries)
        return fail(Errc::too_large, where, array.size());
    return array;
}

Result<ImageAudit> parse_image_audit(ByteView text) {
    CVMIN_TRY(json, parse_json(text, "audit.json"));
    CVMIN_TRY(schema, json_unsigned(json, "schema", "audit.schema"));
    if (schema != image_audit_schema)
        return fail(Errc::unsupported, "audit.schema", schema);
    CVMIN_TRY(found_kind, json_string(json, "kind", "audit.kind"));
    CVMIN_TRY(base, json_string(json, "kernel_base", "audit.kernel_base"));
    if (found_kind != kind || base != base_configuration)
        return fail(Errc::unsupported, "audit.kind");
    if (json.size() != 7)
        return fail(Errc::malformed, "audit.json");
    ImageAudit audit;
    static constexpr const char *option_members[] = {"name", "value", "base", "origin", "reason"};
    CVMIN_TRY(options, array_of(json, "kernel_options", "audit.kernel_options"));
    for (const Json &one : options) {
        CVMIN_TRY(t, texts_of(one, option_members, "audit.kernel_options"));
        KernelOption option{t[0], t[1], t[2], t[3], t[4]};
        if (!valid(option) || (!audit.options.empty() && audit.options.back().name >= option.name))
            return fail(Errc::malformed, "audit.kernel_options", audit.options.size());
        audit.options.push_back(std::move(option));
    }
    static constexpr const char *parameter_members[] = {"parameter", "reason"};
    CVMIN_TRY(parameters, array_of(json, "command_line", "audit.command_line"));
    for (const Json &one : parameters) {
        CVMIN_TRY(t, texts_of(one, parameter_members, "audit.command_line"));
        audit.parameters.push_back({t[0], t[1]});
    }
    static constexpr const char *hardening_members[] = {"kind", "name", "wanted", "by", "ours", "reason"};
    CVMIN_TRY(hardening, array_of(json, "hardening", "audit.hardening"));
    for (const Json &one : hardening) {
        CVMIN_TRY(t, texts_of(one, hardening_members, "audit.hardening"));
        Recommendation recommendation{t[0], t[1], t[2], t[3], t[4], t[5]};
        if (!valid(recommendation) || (!followed(recommendation) && recommendation.reason.empty()))
            return fail(Errc::malformed, "audit.hardening", audit.hardening.size());
        audit.hardening.push_back(std::move(recommendation));
    }
    static constexpr const char *source_members[] = {"name", "version", "part", "licence"};
    CVMIN_TRY(sources, array_of(json, "sources", "audit.sources"));
    for (const Json &one : sources) {
        CVMIN_TRY(t, texts_of(one, source_members, "audit.sources"));
        if (!std::ranges::contains(image_parts, t[2]) || t[0].empty() || t[3].empty())
            return fail(Errc::malformed, "audit.sources", audit.sources.size());
        audit.sources.push_back({t[0], t[1], t[2], t[3]});
    }
    return audit;
}

Json to_json(const ImageAudit &audit) {
    Json options = Json::array(), parameters = Json::array(), hardening = Json::array(), sources = Json::array();
    for (const KernelOption &option : audit.options)
        options.push_back({{"name", option.name},
                           {"value", option.value},
                           {"base", option.base},
                           {"origin", option.origin},
                           {"reason", option.reason}});
    for (const CommandLineParameter &parameter : audit.parameters)
        parameters.push_back({{"parameter", parameter.text}, {"reason", parameter.reason}});
    for (const Recommendation &one : audit.hardening)
        hardening.push_back({{"kind", one.kind},
                             {"name", one.name},
                             {"wanted", one.wanted},
                             {"by", one.by},
                             {"ours", one.ours},
                             {"reason", one.reason}});
    for (const SourceLicence &source : audit.sources)
        sources.push_back(
            {{"name", source.name}, {"version", source.version}, {"part", source.part}, {"licence", source.licence}});
    return {{"schema", image_audit_schema},          {"kind", kind},
            {"kernel_base", base_configuration},     {"kernel_options", std::move(options)},
            {"command_line", std::move(parameters)}, {"hardening", std::move(hardening)},
            {"sources", std::move(sources)}};
}

} // namespace cvmin
